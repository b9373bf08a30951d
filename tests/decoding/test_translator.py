"""From lines to lines."""

from __future__ import annotations

import random
from collections.abc import Sequence
from queue import Queue

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.decoding.arrivals import chunks
from mtcli.decoding.searcher import seed_of
from mtcli.decoding.translator import Translation, Translator
from mtcli.errors import UsageError
from mtcli.layout import EOS
from mtcli.settings import DecodingSettings
from tests.decoding.toys import Table

STRATEGIES = ("greedy", "beam", "sample", "mbr")


JOINER = "\u200d"


class Letters:
    """A token per visible character, and one for a blank line; token 8 is decoded to a line break."""

    def encode_source(self, lines: Sequence[str]) -> list[list[int]]:
        return [
            [4 + ord(c) % 5 for c in line if not (c.isspace() or c == JOINER) or line.isspace()] for line in lines
        ]

    def decode_target(self, outputs: Sequence[Sequence[int]]) -> list[str]:
        return ["".join("abcd\n"[token - 4] for token in output) for output in outputs]


def translator(seed: int = 0, max_source: int = 1024, **changes) -> Translator:
    wanted = DecodingSettings(**{"max_output_ratio": 0.5, "batch_tokens": 60, "mbr_samples": 4, **changes})
    made = Translator(Table(9, seed, ending=1.0), Letters(), wanted, torch.device("cpu"))
    made.max_source = max_source
    return made


lines = st.lists(st.text(st.sampled_from("abcdef \t\u2028\u0085\x0c"), max_size=8), max_size=12)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(deadline=None, max_examples=15)
@given(lines=lines)
def test_each_line_gets_its_translation_whatever_is_around_it(strategy, lines):
    ready = translator(decoding=strategy, n_best=1)
    together = ready.translate(lines)
    assert [t.source for t in together] == lines
    assert together == [ready.translate([line])[0] for line in lines]
    assert ready.translate(lines[::-1]) == together[::-1]
    assert translator(decoding=strategy, batch_tokens=1).translate(lines) == together
    assert translator(decoding=strategy, batch_tokens=10**6).translate(lines) == together
    for line, translation in zip(lines, together, strict=True):
        assert bool(translation.hypotheses) == bool(line.strip())
        assert "\n" not in translation.text
        assert not translation.split


@pytest.mark.parametrize("blank", [[], [""], ["", "  ", "\u2028", "\t"], [JOINER]])
def test_blank_lines_do_not_touch_the_model(blank):
    ready = translator()
    assert ready.translate(blank) == [Translation(line) for line in blank]
    assert [t.text for t in ready.translate(blank)] == [""] * len(blank)
    assert ready.model.steps == 0


def test_line_breaks_of_the_model_become_spaces():
    ready = translator(n_best=5, seed=3)
    texts = [h.text for t in ready.translate(["abc", "fed", "cab"]) for h in t.hypotheses]
    assert any(" " in text for text in texts)
    assert not any("\n" in text for text in texts)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batches_keep_to_the_budget(strategy):
    ready = translator(decoding=strategy, batch_tokens=100, beam_size=16)
    shapes = []
    encode, width = ready.model.encode, {"beam": 16, "mbr": 4}.get(strategy, 1)

    def spy(source, rows):
        shapes.append(tuple(source.shape))
        return encode(source, rows)

    ready.model.encode = spy
    ready.translate(["abcdef" * n for n in (1, 2, 1, 5, 3, 1)] + [""] + ["a"] * 50)
    assert sum(sentences for sentences, _ in shapes) == 56
    assert all(sentences == 1 or sentences * length * max(1, width / 8) <= 100 for sentences, length in shapes)
    assert len(shapes) < 10 * width


def test_outputs_keep_to_the_ratio():
    for ratio, expected in ((0.5, 22), (2.0, 26)):
        ready = translator(max_output_ratio=ratio)
        ready.model.ending = -50
        (hypothesis,) = ready.translate(["abc"])[0].hypotheses
        assert (len(hypothesis.tokens), hypothesis.finished) == (expected, False)


def test_samples_depend_on_the_line_and_the_seed():
    line = "abcdef"
    first = translator(decoding="sample", sampling_seed=1).translate([line, "fed", line])
    assert first[0] == first[2]
    others = {translator(decoding="sample", sampling_seed=n).translate([line])[0].text for n in range(20)}
    assert len(others) > 5
    assert len({seed_of(1, "a"), seed_of(1, "b"), seed_of(2, "a"), seed_of(1, "\ud800")}) == 4


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_line_too_long_is_translated_in_parts_and_says_so(strategy):
    ready = translator(decoding=strategy, max_source=8)
    parts = ["abcde.", "fedcba.", "bad"]
    short, long = ready.translate(["abc", "  ".join(parts)])
    apart = [ready.translate([part])[0].hypotheses[0] for part in parts]
    assert not short.split
    assert long.split
    assert long.text == " ".join(h.text for h in apart)
    assert long.hypotheses[0].log_prob == pytest.approx(sum(h.log_prob for h in apart))
    assert long.hypotheses[0].tokens == tuple(token for h in apart for token in h.tokens)


def test_n_best_lists_of_split_lines_are_sorted():
    ready = translator(max_source=8, n_best=3)
    (translation,) = ready.translate(["abcde. " * 6])
    scores = [h.score for h in translation.hypotheses]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


def test_a_line_too_long_without_any_space():
    ready = translator(max_source=8)
    (translation,) = ready.translate(["abc" * 100])
    assert translation.split
    assert translation.text


def test_no_part_is_longer_than_the_model_takes():
    ready = translator(max_source=8)
    lengths = []
    encode = ready.model.encode

    def spy(source, rows):
        lengths.extend(rows.lengths.tolist())
        assert (source == EOS).any(-1).all()
        return encode(source, rows)

    ready.model.encode = spy
    numbers = random.Random(0)
    ready.translate(["".join(numbers.choice("abc. ") for _ in range(n)) for n in range(60)])
    assert max(lengths) == 8


def test_a_slow_pipe_gets_its_first_answer_at_once():
    pipe: Queue[str | None] = Queue()
    ready = translator()
    answers = (t for lines in chunks(iter(pipe.get, None), 4096) for t in ready.translate(lines))
    expected = ready.translate(["abc", "", "fed"])
    for line, translation in zip(["abc", "", "fed"], expected, strict=True):
        pipe.put(line)
        assert next(answers) == translation
    pipe.put(None)
    assert list(answers) == []


def test_the_model_goes_on_training():
    ready = translator()
    ready.model.train()
    ready.translate(["abc"])
    assert ready.model.training


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UsageError, match="greedi"):
        translator(decoding="greedi")
