"""What is said of a translator's pace: rates, percentiles, and its share of the machine's best speed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from math import floor
from typing import Any

from mtcli.decoding.pace import Lap
from mtcli.decoding.translator import Translation
from mtcli.machine import Spread, beside_peak
from mtcli.model.flops import countable, decoding_flops
from mtcli.settings import ModelSettings

PERCENTILES = (50, 90, 99)


def throughput(laps: Sequence[Lap], sentences: int, tokens: int) -> dict[str, Any]:
    """Sentences and target tokens per second, with and without normalisation and (de)tokenisation."""

    def rates(seconds: Sequence[float]) -> dict[str, Any]:
        return {
            "sentences_per_second": asdict(Spread.of([sentences / each for each in seconds])),
            "target_tokens_per_second": asdict(Spread.of([tokens / each for each in seconds])),
            "seconds": [*seconds],
        }

    return {
        "text_to_text": rates([lap.text for lap in laps]),
        "tokens_to_tokens": rates([lap.tokens for lap in laps]),
    }


def latency(seconds: Sequence[float]) -> dict[str, Any] | None:
    """Percentiles of the milliseconds that single lines took; None without lines."""
    if not seconds:
        return None
    percentiles = {f"p{percent}_ms": 1000 * percentile(seconds, percent) for percent in PERCENTILES}
    return {"lines": len(seconds), **percentiles, "seconds": [*seconds]}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many of all lie; between two neighbours in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def lengths(translations: Sequence[Translation]) -> tuple[list[int], list[int]]:
    """Source and target tokens, EOS counted, of each sentence or part of one, by the best translation.

    A translation that was cut has no EOS.
    """
    sources = [len(part.tokens) + 1 for each in translations for part in each.parts]
    best = [each.hypotheses[0] for each in translations if each.hypotheses]
    parts = [part for hypothesis in best for part in hypothesis.parts or (hypothesis,)]
    return sources, [len(part.tokens) + part.finished for part in parts]


def model_flops(
    members: Sequence[ModelSettings], vocabulary: int, translations: Sequence[Translation], width: int
) -> int | None:
    """Operations that all members together need for the translations; None if there is no formula for one of them.

    All `width` hypotheses of a sentence are taken to be as long as the best: an approximation.
    """
    if not all(map(countable, members)):
        return None
    counts = lengths(translations)
    return sum(decoding_flops(member, vocabulary, *counts, width) for member in members)


def share(flops: int, laps: Sequence[Lap], best: float, processors: int) -> dict[str, Any]:
    """Operations per second from tokens to tokens, beside the `best` that each of the `processors` can do.

    All operations count alike, also those of attention, which are in floating point where the matrices are in int8.
    """
    rate = flops / statistics.median([lap.tokens for lap in laps])
    return {"model_flops": flops, **beside_peak(rate, best, processors)}
