"""Whether a translation depends on the lines around it, the batch, or the process that made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from measure import Stopwatch
from promise_subject import Promise, Subject

from mtcli.decoding.translator import Translation
from mtcli.decoding.wishes import Wishes

STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {"decoding": "greedy"},
    "beam 5": {"decoding": "beam"},
    "beam 5, gnmt 0.6": {"decoding": "beam", "length_normalization": "gnmt", "length_penalty": 0.6},
    "beam 5, no normalisation": {"decoding": "beam", "length_normalization": "none"},
    "beam 5, patience 2, 5 best": {"decoding": "beam", "beam_patience": 2.0, "n_best": 5},
    "beam 4, patience 0": {"decoding": "beam", "beam_size": 4, "beam_patience": 0.0},
    "beam 4 in 2 groups, 2 best": {"decoding": "beam", "beam_size": 4, "diversity_groups": 2, "n_best": 2},
    "sample": {"decoding": "sample"},
    "sample, temperature 0.7": {"decoding": "sample", "temperature": 0.7},
    "sample, top-k 10": {"decoding": "sample", "top_k": 10},
    "sample, top-p 0.9": {"decoding": "sample", "top_p": 0.9},
    "sample, min-p 0.05": {"decoding": "sample", "min_p": 0.05},
    "sample, epsilon 0.002": {"decoding": "sample", "epsilon_cutoff": 0.002},
    "4 samples, all filters": {
        "decoding": "sample",
        "n_best": 4,
        "temperature": 1.2,
        "top_k": 50,
        "top_p": 0.95,
        "min_p": 0.01,
        "epsilon_cutoff": 0.001,
    },
    "mbr, chrf": {"decoding": "mbr", "mbr_utility": "chrf"},
    "mbr, bleu": {"decoding": "mbr", "mbr_utility": "bleu"},
}
"""Every way to search, and every setting that it has."""

SLOW = {"mbr": 10}
"""Of as many lines one is translated by a slow strategy: mbr draws 16 samples of each."""


@dataclass(frozen=True)
class Way:
    """Another way to the same translations."""

    name: str
    every: int
    """Of as many lines one is translated, the first among them."""
    batch_tokens: int = 4096
    step: int = 1
    """-1: from the last line to the first."""
    workers: int = 1
    alone: bool = False
    """Whether each line is translated by a call of its own."""

    def translations(
        self, subject: Subject, changes: dict[str, Any], sources: Sequence[str], wishes: Wishes | None = None
    ) -> list[Translation]:
        """The translations of the lines, in their order."""
        settings = {**changes, "batch_tokens": self.batch_tokens}
        if self.alone:
            return [subject.translate([line], settings, wishes)[0] for line in sources]
        found = subject.translate(sources[:: self.step], settings, wishes, workers=self.workers)
        return found[:: self.step]


FIRST = Way("batches of 4,096 tokens", 1)
OTHERS = (
    Way("batches of 700 tokens", 1, batch_tokens=700),
    Way("among every fifth line, in reversed order", 5, step=-1),
    Way("one by one", 10, alone=True),
    Way("in two workers", 5, batch_tokens=1024, workers=2),
)


def independence(subject: Subject, wishes: Wishes) -> Iterator[Promise]:
    """The promise for each strategy, and for the search that has wishes to fulfil."""
    for name, changes in STRATEGIES.items():
        yield independent(subject, name, changes, SLOW.get(changes["decoding"], 1))
    yield independent(subject, "beam 5, words forbidden and required", {"decoding": "beam"}, 2, wishes)


def independent(
    subject: Subject, name: str, changes: dict[str, Any], every: int, wishes: Wishes | None = None
) -> Promise:
    """The promise for one strategy and one of `every` few lines; a line counts as often as it was translated anew."""
    sources = subject.sources[::every]
    promise = Promise(f"independent of batch, order, process: {name}", 0)
    with Stopwatch() as watch:
        first = FIRST.translations(subject, changes, sources, wishes)
        for way in OTHERS:
            places = range(0, len(sources), way.every)
            found = way.translations(subject, changes, [sources[place] for place in places], wishes)
            promise.lines += len(found)
            promise.broken += [
                {"way": way.name, **difference(first[place], other)}
                for place, other in zip(places, found, strict=True)
                if texts(first[place]) != texts(other)
            ]
        promise.off = subject.off(first)
    promise.seconds = watch.processor
    return promise


def texts(translation: Translation) -> list[str]:
    """What must be the same: all texts, in their order."""
    return [hypothesis.text for hypothesis in translation.hypotheses]


def difference(first: Translation, other: Translation) -> dict[str, Any]:
    """The first two texts of a line that are different, with what decides between them."""
    pairs = zip(first.hypotheses, other.hypotheses, strict=True)
    one, two = next(pair for pair in pairs if pair[0].text != pair[1].text)
    return {
        "source": first.source,
        "texts": [one.text, two.text],
        "log_probs": [one.log_prob, two.log_prob],
        "scores": [one.score, two.score],
    }
