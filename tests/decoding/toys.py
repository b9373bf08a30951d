"""Models whose next-token logits are a fixed random function of the source and the tokens so far."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor, nn

from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.request import Request
from mtcli.layout import BOS, EOS, PAD, UNK, Batch, Rows, pad
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.settings import DecodingSettings

Tokens = tuple[int, ...]

DIVISORS: dict[str, Callable[[int], float]] = {"average": float, "gnmt": lambda n: (5 + n) / 6, "none": lambda n: 1.0}
"""What `length_normalization` divides by, before the exponent."""


@dataclass(frozen=True)
class TableState:
    """The whole history of each row, so that a wrong row gives a wrong translation."""

    sources: list[Tokens]
    prefixes: list[Tokens]
    sentences: list[int]
    width: int


class Table(Seq2Seq[TableState]):
    """A random table of logits; refuses what the interface does not allow."""

    def __init__(self, vocabulary: int, seed: int, ending: float = 0.0, scale: float = 1.5, grid: float = 0.0):
        super().__init__()
        self.seed, self.ending, self.scale, self.grid = seed, ending, scale, grid
        self.vocabulary = vocabulary
        self.output = nn.Linear(vocabulary, vocabulary, bias=False, dtype=torch.float64)
        nn.init.eye_(self.output.weight)
        self.steps = 0
        self.rows_stepped = 0

    def logits(self, source: Tokens, prefix: Tokens) -> list[float]:
        """`source` ends with EOS and `prefix` starts with BOS; a `grid` makes many logits equal."""
        numbers = random.Random(f"{self.seed} {source} {prefix}")
        logits = [numbers.gauss(0, self.scale) for _ in range(self.vocabulary)]
        logits[EOS] += self.ending
        return [round(x / self.grid) * self.grid for x in logits] if self.grid else logits

    def encode(self, source: Tensor, rows: Rows) -> Memory:
        assert not self.training
        return Memory(source[:, :, None].double(), rows)

    def readout(self, batch: Batch) -> Tensor:
        sources = unpad(batch.source, batch.source_rows)
        prefixes = batch.target_in.tolist()
        return torch.tensor(
            [
                [self.logits(source, tuple(prefix[: t + 1])) for t in range(len(prefix))]
                for source, prefix in zip(sources, prefixes, strict=True)
            ],
            dtype=torch.float64,
        )

    def start(self, memory: Memory, width: int = 1) -> TableState:
        sources = unpad(memory.values[:, :, 0].long(), memory.rows)
        repeated = [source for source in sources for _ in range(width)]
        sentences = [i for i in range(len(sources)) for _ in range(width)]
        return TableState(repeated, [()] * len(repeated), sentences, width)

    def step(self, tokens: Tensor, state: TableState) -> tuple[Tensor, TableState]:
        assert len(tokens) == len(state.prefixes)
        self.steps += 1
        self.rows_stepped += len(tokens)
        prefixes = [(*p, t) for p, t in zip(state.prefixes, tokens.tolist(), strict=True)]
        logits = [self.logits(*pair) for pair in zip(state.sources, prefixes, strict=True)]
        return torch.tensor(logits, dtype=torch.float64), replace(state, prefixes=prefixes)

    def select(self, state: TableState, rows: Tensor) -> TableState:
        chosen = rows.tolist()
        assert chosen
        assert len(chosen) % state.width == 0
        for start in range(0, len(chosen), state.width):
            assert len({state.sentences[row] for row in chosen[start : start + state.width]}) == 1
        picked = ([values[row] for row in chosen] for values in (state.sources, state.prefixes, state.sentences))
        return TableState(*picked, state.width)


class Forgetful(Table):
    """A table whose `select` keeps rows in place: any search that needs reordering must notice."""

    def select(self, state: TableState, rows: Tensor) -> TableState:
        n = len(rows)
        return TableState(state.sources[:n], state.prefixes[:n], state.sentences[:n], state.width)


def unpad(tokens: Tensor, rows: Rows) -> list[Tokens]:
    return [tuple(row[:n]) for row, n in zip(tokens.tolist(), rows.lengths.tolist(), strict=True)]


def run(strategy, model, sources, limits, settings: DecodingSettings, seeds=None) -> list[list[Hypothesis]]:
    """Search for translations of token lists without EOS."""
    given = zip(limits, seeds or [0] * len(sources), sources, strict=True)
    requests = [Request(limit, seed, source=source) for limit, seed, source in given]
    return asked(strategy, model, sources, requests, settings)


def asked(strategy, model, sources, requests, settings: DecodingSettings) -> list[list[Hypothesis]]:
    """Search for what is requested of each source, without EOS."""
    source, rows = pad([[*s, EOS] for s in sources])
    model.eval()
    with torch.inference_mode():
        return strategy(model, model.encode(source, rows), requests, settings)


def log_softmax(logits: list[float]) -> list[float]:
    """Naive, in double precision."""
    x = torch.tensor(logits, dtype=torch.float64)
    return (x - x.exp().sum().log()).tolist()


def forced(model: Table, source, tokens, finished: bool) -> float:
    """The log-probability of a hypothesis, token by token."""
    wanted = [*tokens, EOS] if finished else [*tokens]
    total = 0.0
    for t, token in enumerate(wanted):
        total += log_softmax(model.logits((*source, EOS), (BOS, *wanted[:t])))[token]
    return total


def exhaustive(
    model: Table, source, limit: int, penalty: float, divisor: Callable[[int], float] = float
) -> list[tuple[float, float, Tokens]]:
    """(score, log_prob, tokens) of every translation that ends within `limit` predictions, best first."""
    results = []
    paths = [((), 0.0)]
    for length in range(1, limit + 1):
        longer = []
        for tokens, log_prob in paths:
            log_probs = log_softmax(model.logits((*source, EOS), (BOS, *tokens)))
            ended = log_prob + log_probs[EOS]
            results.append((ended / divisor(length) ** penalty, ended, tokens))
            for token, gained in enumerate(log_probs):
                if token not in (PAD, UNK, BOS, EOS) and gained > -inf:
                    longer.append(((*tokens, token), log_prob + gained))
        paths = longer
    return sorted(results, reverse=True)


def sources_of(seed: int, count: int, vocabulary: int) -> list[list[int]]:
    numbers = random.Random(seed)
    return [[numbers.randrange(4, vocabulary) for _ in range(numbers.randrange(1, 7))] for _ in range(count)]


def limits_of(sources: list[list[int]]) -> list[int]:
    return [2 * len(source) + 1 for source in sources]
