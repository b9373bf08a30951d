"""Passes over lines, timed by a clock that goes on only when somebody works; and what is made of their times."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from itertools import pairwise

import numpy
import pytest
import torch

from mtcli.decoding.figures import latency, lengths, model_flops, percentile, share, throughput
from mtcli.decoding.pace import Lap, Pace, TimedTokenizer, evenly
from mtcli.decoding.translator import Translator
from mtcli.machine import Spread
from mtcli.model.flops import decoding_flops
from mtcli.settings import DecodingSettings, ModelSettings
from tests.decoding.test_translator import Letters
from tests.decoding.toys import Table

ENCODING, STEP, DECODING = 100.0, 1.0, 1000.0


class Clock:
    """Stands still until work is done."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


class SlowLetters(Letters):
    """Takes its time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def encode_source(self, lines: Sequence[str]) -> list[list[int]]:
        self.clock.time += ENCODING
        return super().encode_source(lines)

    def decode_target(self, outputs: Sequence[Sequence[int]]) -> list[str]:
        self.clock.time += DECODING
        return super().decode_target(outputs)


class SlowTable(Table):
    """Takes its time for each step."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(9, 0, ending=1.0)
        self.clock = clock

    def step(self, tokens, state):
        self.clock.time += STEP
        return super().step(tokens, state)


def paced() -> tuple[Pace, SlowTable]:
    clock = Clock()
    model, tokenizer = SlowTable(clock), TimedTokenizer(SlowLetters(clock), clock)
    return Pace(Translator(model, tokenizer, DecodingSettings(batch_tokens=60), torch.device("cpu"))), model


def test_a_lap_is_tokenisation_and_steps() -> None:
    pace, model = paced()
    for _ in range(2):
        before = model.steps
        lap, translations = pace.lap(["abc", "", "fed cba"])
        steps = (model.steps - before) * STEP
        assert steps > 0
        assert lap == Lap(text=ENCODING + steps + DECODING, tokens=steps)
        assert [bool(each.hypotheses) for each in translations] == [True, False, True]


def test_lines_alone_are_timed_after_one_that_does_not_count() -> None:
    pace, model = paced()
    steps = []
    lines = ["abc", "fed cba", "a"]
    for line in lines:
        before = model.steps
        pace.lap([line])
        steps.append(model.steps - before)
    model.steps = 0
    assert pace.latencies(lines) == [ENCODING + STEP * each + DECODING for each in steps]
    assert model.steps == steps[0] + sum(steps)


def test_lines_are_normalised_as_when_they_are_translated() -> None:
    pace, _ = paced()
    _, (translation,) = pace.lap([" a\t b "])
    assert translation.source == "a b"


@pytest.mark.parametrize("count", [1, 2, 7, 10, 50])
def test_lines_come_from_everywhere_once_and_in_order(count: int) -> None:
    lines = [f"{number:02}" for number in range(10)]
    chosen = evenly(lines, count)
    assert len(chosen) == len(set(chosen)) == min(count, 10)
    assert chosen == sorted(chosen)
    gaps = {int(b) - int(a) for a, b in pairwise(chosen)}
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("count", [1, 2, 5, 50, 101])
def test_percentiles_are_those_of_numpy(count: int) -> None:
    numbers = [random.Random(f"{count} {i}").expovariate(1) for i in range(count)]
    for percent in (0, 1, 50, 90, 99, 100):
        assert percentile(numbers, percent) == pytest.approx(float(numpy.percentile(numbers, percent)))


def test_percentiles_are_told_in_milliseconds_with_the_raw_times() -> None:
    found = latency([0.004, 0.002, 0.003])
    assert found is not None
    assert found == {"lines": 3, "p50_ms": 3.0, "p90_ms": 3.8, "p99_ms": 3.98, "seconds": [0.004, 0.002, 0.003]}
    assert latency([]) is None


def test_rates_are_medians_of_the_laps() -> None:
    laps = [Lap(text=8.0, tokens=4.0), Lap(text=2.0, tokens=1.0), Lap(text=4.0, tokens=2.0)]
    found = throughput(laps, sentences=16, tokens=64)
    assert found["text_to_text"] == {
        "sentences_per_second": {"median": 4.0, "low": 2.0, "high": 8.0},
        "target_tokens_per_second": {"median": 16.0, "low": 8.0, "high": 32.0},
        "seconds": [8.0, 2.0, 4.0],
    }
    assert found["tokens_to_tokens"]["target_tokens_per_second"]["median"] == 32.0


def test_a_spread_of_one() -> None:
    assert Spread.of([3.0]) == Spread(3.0, 3.0, 3.0)


def test_tokens_are_counted_with_their_ends_part_by_part() -> None:
    settings = DecodingSettings(max_output_ratio=0.1, n_best=2, beam_size=3)
    translator = Translator(Table(9, 0, ending=-4.0), Letters(), settings, torch.device("cpu"))
    translator.max_source = 6
    translations = translator.translate(["abc", "", "abc. fed. cba. fed", "a"])
    assert [len(each.parts) for each in translations][:2] == [1, 0]
    assert len(translations[2].parts) > 1
    sources, targets = lengths(translations)
    assert sources == [len(part.tokens) + 1 for each in translations for part in each.parts]
    best = [each.hypotheses[0] for each in translations if each.hypotheses]
    tokens = sum(len(hypothesis.tokens) for hypothesis in best)
    ends = sum(part.finished for hypothesis in best for part in hypothesis.parts or [hypothesis])
    assert len(sources) == len(targets)
    assert sum(targets) == tokens + ends
    assert ends < len(targets), "one should be cut, else nothing is tested"


def test_the_work_of_an_ensemble_is_that_of_its_members() -> None:
    translator = Translator(Table(9, 0, ending=1.0), Letters(), DecodingSettings(), torch.device("cpu"))
    translations = translator.translate(["abc", "fed cba"])
    members = [ModelSettings(), ModelSettings(decoder_layers=1)]
    each = [decoding_flops(member, 9, *lengths(translations), 5) for member in members]
    assert model_flops(members, 9, translations, 5) == sum(each)
    assert model_flops([*members, ModelSettings(architecture="recurrent")], 9, translations, 5) is None


def test_the_share_is_of_all_processors_and_without_tokenisation() -> None:
    laps = [Lap(text=100.0, tokens=seconds) for seconds in (1.0, 2.0, 10.0)]
    found = share(600, laps, best=100.0, processors=4)
    assert found["flops_per_second"] == 600 / statistics.median([1.0, 2.0, 10.0])
    assert found["share_of_matmul_peak"] == 300 / 400
