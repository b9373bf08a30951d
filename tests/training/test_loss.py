"""The loss is a sum over tokens: it does not know how they were split into batches, nor how they were padded."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtcli.layout import Batch, Rows
from mtcli.model.seq2seq import Seq2Seq
from mtcli.training.loss import batch_loss
from tests.laws import models

SOURCES = models.sentences(1, [3, 1, 7, 4, 2, 9, 5])
TARGETS = models.sentences(2, [2, 8, 1, 5, 3, 6, 4])


@pytest.fixture(scope="module")
def model() -> Seq2Seq[Any]:
    return models.model(models.settings())


def loss_of(model: Seq2Seq[Any], pairs: list[int], smoothing: float = 0.1) -> tuple[float, int]:
    batch = Batch.of([SOURCES[i] for i in pairs], [TARGETS[i] for i in pairs])
    loss = batch_loss(model, batch, smoothing)
    return loss.total.item(), batch.target_tokens


@given(st.permutations(range(7)), st.sets(st.integers(1, 6)))
@settings(max_examples=20, deadline=None)
def test_any_split_gives_the_same_total(model: Seq2Seq[Any], order: list[int], cuts: set[int]) -> None:
    total, tokens = loss_of(model, list(range(7)))
    edges = [0, *sorted(cuts), 7]
    parts = [loss_of(model, order[a:b]) for a, b in pairwise(edges)]
    assert sum(part[0] for part in parts) == pytest.approx(total, rel=1e-10)
    assert sum(part[1] for part in parts) == tokens == sum(len(target) + 1 for target in TARGETS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_equals_a_naive_loop(model: Seq2Seq[Any], smoothing: float) -> None:
    batch = Batch.of(SOURCES, TARGETS)
    logits = model(batch).detach().numpy()
    naive = 0.0
    for row, length in enumerate(batch.target_rows.lengths.tolist()):
        for column in range(length):
            z = logits[row, column]
            log_probs = z - np.log(np.exp(z).sum())
            wanted = np.full(len(z), smoothing / len(z))
            wanted[batch.target_out[row, column]] += 1 - smoothing
            naive -= float(wanted @ log_probs)
    assert loss_of(model, list(range(7)), smoothing)[0] == pytest.approx(naive, rel=1e-10)


def test_padding_plays_no_part(model: Seq2Seq[Any]) -> None:
    narrow = Batch.of(SOURCES, TARGETS)

    def wider(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x, (0, 5), value=7)

    def more(rows: Rows) -> Rows:
        return Rows(rows.lengths, rows.width + 5)

    wide = Batch(
        wider(narrow.source),
        more(narrow.source_rows),
        wider(narrow.target_in),
        wider(narrow.target_out),
        more(narrow.target_rows),
    )
    gradients = []
    for batch in (narrow, wide):
        loss = batch_loss(model, batch, 0.1)
        gradients.append([loss.total, *torch.autograd.grad(loss.total, list(model.parameters()))])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-10, atol=1e-10)
