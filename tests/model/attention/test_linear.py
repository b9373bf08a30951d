"""Linear attention equals the paper's sums, written as loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mtcli.layout import Attend
from mtcli.model.attention.linear import LinearAttention, elu_plus_one
from mtcli.model.position import Position
from tests.model.attention.heads import heads, rows


def naive(query: list[list[float]], key: list[list[float]], value: list[list[float]], causal: bool) -> Tensor:
    """Katharopoulos et al. 2020, section 3.2 with the similarity phi(q) phi(k), phi = elu + 1; one head."""

    def phi(x: list[float]) -> list[float]:
        return [1 + (each if each > 0 else math.exp(each) - 1) for each in x]

    mixed = []
    for place, asking in enumerate(query):
        seen = range(place + 1 if causal else len(key))
        weights = [sum(a * b for a, b in zip(phi(asking), phi(key[other]), strict=True)) for other in seen]
        columns = zip(*(value[other] for other in seen), strict=True)
        mixed.append([sum(w * v for w, v in zip(weights, column, strict=True)) / sum(weights) for column in columns])
    return torch.tensor(mixed, dtype=torch.float64)


@pytest.mark.parametrize("causal", [False, True])
def test_equals_the_sums_of_the_paper(causal: bool) -> None:
    lengths = (20, 7, 1)
    layout = rows(*lengths)
    given = heads(layout)
    found = LinearAttention()(*given, Attend(layout, layout, causal=causal), Position())
    for row, length in enumerate(lengths):
        for head in range(4):
            expected = naive(*(x[row, head, :length].tolist() for x in given), causal)
            torch.testing.assert_close(found[row, head, :length], expected, rtol=0, atol=1e-12)


def test_queries_of_another_sequence() -> None:
    source, target = rows(6, 2), rows(3, 4)
    query, key, value = heads(source, target)
    found = LinearAttention()(query, key, value, Attend(target, source), Position())
    for row, length in enumerate((6, 2)):
        for head in range(4):
            seen = (x[row, head, :length].tolist() for x in (key, value))
            expected = naive(query[row, head].tolist(), *seen, causal=False)
            torch.testing.assert_close(found[row, head], expected, rtol=0, atol=1e-12)


def test_the_feature_map_is_positive_where_elu_plus_one_is_lost() -> None:
    x = torch.tensor([-80.0, -20.0, -1.0, 0.0, 2.0])[None, None, None]
    assert (torch.nn.functional.elu(x) + 1)[..., :2].tolist() == [[[[0.0, 0.0]]]]
    exact = [math.exp(-80), math.exp(-20), math.exp(-1), 1, 3]
    assert elu_plus_one(x).flatten().tolist() == pytest.approx(exact, rel=1e-6)
