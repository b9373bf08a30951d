"""Which strategies look at a setting is declared once, and is true."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mtcli.catalog import DECODING
from mtcli.decoding.contradiction import refuse_contradictions
from mtcli.decoding.translator import Translator
from mtcli.errors import UsageError
from mtcli.settings import DecodingSettings, strategies_of
from tests.decoding.test_evidence import Looking
from tests.decoding.test_translator import Letters

CHANGES: dict[str, tuple[dict[str, Any], Any]] = {
    "beam_size": ({}, 1),
    "length_normalization": ({}, "none"),
    "length_penalty": ({}, 0.0),
    "beam_patience": ({}, 0.0),
    "coverage_penalty": ({}, 9.0),
    "diversity_groups": ({}, 5),
    "diversity_strength": ({"diversity_groups": 5}, 3.0),
    "temperature": ({}, 3.0),
    "top_k": ({}, 2),
    "top_p": ({}, 0.3),
    "min_p": ({}, 0.7),
    "epsilon_cutoff": ({}, 0.3),
    "sampling_seed": ({}, 2),
    "mbr_samples": ({}, 3),
    "mbr_utility": ({}, "bleu"),
}
"""For each setting that some strategies look at: a context, and a value in it that makes a difference."""

SPECIAL = {name for name, field in DecodingSettings.model_fields.items() if strategies_of(field)}
LINES = [f"{first}{second}{first} {first}" for first in "abcdef" for second in "abcdef"]


def texts(settings: DecodingSettings) -> list[str]:
    translator = Translator(Looking(9, 5), Letters(), settings, torch.device("cpu"))
    return [translation.text for translation in translator.translate(LINES)]


def test_every_setting_that_some_strategies_look_at_has_an_example():
    assert set(CHANGES) == SPECIAL
    for name in SPECIAL:
        assert set(strategies_of(DecodingSettings.model_fields[name])) < set(DECODING)


@pytest.mark.parametrize("strategy", DECODING)
@pytest.mark.parametrize("name", CHANGES)
def test_a_setting_changes_the_translations_of_the_strategies_that_it_names(name, strategy):
    context, value = CHANGES[name]
    base = DecodingSettings(decoding=strategy, max_output_ratio=0.1, **context)
    changed = texts(base) != texts(base.model_copy(update={name: value}))
    assert changed == (strategy in strategies_of(DecodingSettings.model_fields[name]))


class Watched(DecodingSettings):
    """Settings that remember which of them were read."""

    def __getattribute__(self, name: str) -> Any:
        if name in DecodingSettings.model_fields:
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()


@pytest.mark.parametrize("strategy", DECODING)
def test_every_strategy_reads_the_settings_that_name_none(strategy):
    settings = Watched(decoding=strategy)
    READ.clear()
    texts(settings)
    assert DecodingSettings.model_fields.keys() - SPECIAL <= READ


def reasons(settings: DecodingSettings, *typed: str, attention: bool = True) -> tuple[str, ...]:
    with pytest.raises(UsageError) as raised:
        refuse_contradictions(settings, {"decoding", *typed}, attention)
    assert raised.value.message == "these decoding settings contradict each other"
    return raised.value.details


@pytest.mark.parametrize("strategy", DECODING)
def test_all_that_is_ignored_is_named_at_once_and_nothing_else(strategy):
    ignored = {n for n in SPECIAL if strategy not in strategies_of(DecodingSettings.model_fields[n])}
    # One group and a strength for several contradict each other in beam search itself.
    settings = DecodingSettings(decoding=strategy, diversity_groups=5)
    found = reasons(settings, *DecodingSettings.model_fields)
    assert {line.split()[1] for line in found} == {f"--{name.replace('_', '-')}" for name in ignored}
    refuse_contradictions(settings, set(DecodingSettings.model_fields) - ignored)


def test_what_beam_search_itself_would_ignore_is_named():
    wanted = DecodingSettings(length_normalization="none")
    assert "means nothing with --length-normalization none" in reasons(wanted, "length_penalty")[0]
    assert "give --diversity-groups too" in reasons(DecodingSettings(), "diversity_strength")[0]


def test_what_cannot_be_done_is_named_with_the_rest():
    wanted = DecodingSettings(n_best=9, beam_size=4, diversity_groups=3, coverage_penalty=1)
    assert [line.split(";")[0] for line in reasons(wanted, "top_k", attention=False)] == [
        "- --top-k means nothing in beam decoding",
        "- a beam of 4 cannot find 9 translations",
        "- a beam of 4 cannot be divided into 3 groups",
        "- --coverage-penalty needs weights of source tokens, which this model does not have",
    ]
    assert len(reasons(wanted, "top_k")) == 3
    refuse_contradictions(wanted.model_copy(update={"decoding": "greedy", "n_best": 1}), {"decoding"}, False)
    assert "--mbr-samples of at least 17" in reasons(DecodingSettings(decoding="mbr", n_best=17))[0]
