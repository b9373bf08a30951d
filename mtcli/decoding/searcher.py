"""From parts of lines to hypotheses: sorted by length, in batches, shared among processes if there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from typing import Any

import torch

from mtcli.catalog import load
from mtcli.decoding.banks import bank_search
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.inference import at_rest, batches
from mtcli.decoding.request import Request
from mtcli.decoding.wishes import Wishes
from mtcli.decoding.workers import Workers
from mtcli.layout import EOS, pad
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.settings import DecodingSettings

EXTRA_OUTPUT = 20
"""Tokens that a translation may have beyond `max_output_ratio` per source token."""


FEW = 8
"""Hypotheses of a sentence that do not count against `batch_tokens`; where there are more, sentences are fewer."""


SHARE = 256
"""Source tokens that are decoded together at least, even if other workers have nothing to do."""


@dataclass(frozen=True)
class Part:
    """A line, or a part of a very long one, and its source tokens without EOS."""

    text: str
    tokens: list[int]
    prefix: str = ""
    """What its translation begins with; the last word may go on, unless a space follows."""
    first: bool = True
    """Whether it is the line's first part."""


class Searcher:
    """A model and a way to search; more than one of the `workers` are processes, which `close` ends."""

    def __init__(
        self,
        model: Seq2Seq[Any],
        settings: DecodingSettings,
        device: torch.device,
        wishes: Wishes | None,
        workers: int,
    ) -> None:
        self.model = model
        self.settings = settings
        self.device = device
        self.wishes = wishes
        self.strategy: Any = bank_search if wishes and wishes.require_words else load("decoding", settings.decoding)
        self.workers = Workers(self.search, workers) if workers > 1 else None

    def search_all(self, parts: Sequence[Part]) -> list[list[Hypothesis]]:
        """The hypotheses of each part."""
        results: list[list[Hypothesis]] = [[] for _ in parts]
        lengths = [len(part.tokens) + 1 for part in parts]
        together = list(batches(lengths, self.budget(sum(lengths))))
        work = [[parts[place] for place in places] for places in together]
        shared = self.workers.map(work) if self.workers and len(work) > 1 else map(self.search, work)
        for places, found in zip(together, shared, strict=True):
            for place, hypotheses in zip(places, found, strict=True):
                results[place] = hypotheses
        return results

    def budget(self, tokens: int) -> int:
        """How many of so many source tokens are decoded together: fewer if workers would have nothing to do."""
        most = FEW * self.settings.batch_tokens // max(FEW, width(self.settings))
        return min(most, max(SHARE, -(-tokens // self.workers.count))) if self.workers else most

    def search(self, parts: Sequence[Part]) -> list[list[Hypothesis]]:
        """The hypotheses of parts that are searched together."""
        with at_rest(self.model):
            memory, requests = self.read(parts), [*map(self.request, parts)]
            found: list[list[Hypothesis]] = self.strategy(self.model, memory, requests, self.settings)
        return found

    def read(self, parts: Sequence[Part]) -> Memory:
        """What the model makes of the sources."""
        source, rows = pad([[*part.tokens, EOS] for part in parts])
        return self.model.encode(source.to(self.device), rows.to(self.device))

    def request(self, part: Part) -> Request:
        """What is asked for a part."""
        limit = ceil(self.settings.max_output_ratio * len(part.tokens)) + EXTRA_OUTPUT
        limit = min(limit, self.model.longest_target or limit)
        minimum = min(ceil(self.settings.min_output_ratio * len(part.tokens)), limit - 1)
        request = Request(limit, seed_of(self.settings.sampling_seed, part.text), minimum, source=part.tokens)
        return self.wishes.added(request, part, self.model.longest_target) if self.wishes else request

    def close(self) -> None:
        """End the worker processes."""
        if self.workers:
            self.workers.close()


def width(settings: DecodingSettings) -> int:
    """How many hypotheses of each sentence are in the model's batch."""
    widths = {"beam": settings.beam_size, "sample": settings.n_best, "mbr": settings.mbr_samples}
    return widths.get(settings.decoding, 1)


def seed_of(sampling_seed: int, text: str) -> int:
    """The seed of one line's random numbers, different for each line and each `sampling_seed`."""
    digest = blake2b(f"{sampling_seed} {text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
