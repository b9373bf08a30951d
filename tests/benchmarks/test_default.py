"""The default beside the same without the kit: what is trained, and when a difference counts."""

from __future__ import annotations

import random
import shlex

import pytest
from default import DEFAULT, NEUTRAL, WITHOUT, chances, rows

from mtcli import recipe
from mtcli.presets import PRESETS
from mtcli.settings import TrainingSettings

SIGNED = {"signature": "the signature"}


def test_translations_of_like_quality_may_differ_by_chance() -> None:
    reference = [f"the {word} one of {word} and {word}" for word in map(str, range(200))]
    spoil = random.Random(1)
    one, other = ([line if spoil.random() < 0.5 else "something else" for line in reference] for _ in range(2))
    assert all(p > 0.05 for p in chances(one, other, reference, "en").values())
    assert all(p < 0.001 for p in chances(one, reference, reference, "en").values())


def test_characters_count_where_words_have_no_spaces() -> None:
    """Each line shares all its characters but one with its reference, and no words."""
    reference = [f"他们的{chr(0x4E00 + number)}正在修理电脑" for number in range(200)]
    near = [line.replace("电", "大") for line in reference]
    assert chances(["不"] * 200, near, reference, "zh")["BLEU"] < 0.001


@pytest.mark.parametrize("preset", PRESETS)
def test_without_the_kit_training_is_plain(preset: str) -> None:
    words = shlex.split(NEUTRAL)
    flags = dict(zip(words[::2], words[1::2], strict=True))
    typed = {flag.removeprefix("--").replace("-", "_"): value for flag, value in flags.items()}
    training = recipe.resolve({}, {"preset": preset, **typed}).training
    plain = TrainingSettings()
    for name in typed:
        assert getattr(training, name) == getattr(plain, name)


def test_the_default_is_shown_with_its_chances() -> None:
    def result(bleu: float) -> dict[str, object]:
        figures = {"minutes": 1.0, "steps": 1000, "epochs": 2, "validation loss": 2.0}
        return {**figures, "scores": [{"name": "BLEU", "value": bleu, **SIGNED}]}

    plain, shown = rows(3, {DEFAULT: result(31.0), WITHOUT: result(30.0), "p": {"BLEU": 0.01, "chrF2": 0.5}})
    assert (plain["training"], plain["test BLEU"], plain["p, BLEU"]) == (WITHOUT, "30.00", "")
    assert (shown["training"], shown["test BLEU"], shown["p, BLEU"]) == (DEFAULT, "31.00", "0.0100")
