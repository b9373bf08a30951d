"""Linformer equals its formula, and full attention where it reduces nothing; too long a sentence is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mtcli.errors import DataError
from mtcli.layout import Attend
from mtcli.model.attention.full import FullAttention
from mtcli.model.attention.linformer import LinformerAttention
from mtcli.model.position import Position
from tests.model.attention.heads import heads, largest, real, rows

NONE = Position()


def made(rank: int = 3, max_positions: int = 12, dropout: float = 0.0) -> LinformerAttention:
    torch.manual_seed(1)
    return LinformerAttention(rank, max_positions, dropout).double().eval()


def naive(mechanism: LinformerAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Wang et al. 2020, eq. 7, sum by sum; one head of one sentence."""
    places, dim = range(len(key)), query.shape[1]
    reduced = []
    for matrix, x in ((mechanism.reduce_keys, key), (mechanism.reduce_values, value)):
        reduced.append([sum(float(row[place]) * x[place] for place in places) for row in matrix.detach()])
    mixed = []
    for asking in query:
        logits = [float(asking @ each) / math.sqrt(dim) for each in reduced[0]]
        weights = [math.exp(logit) / sum(map(math.exp, logits)) for logit in logits]
        mixed.append(sum(weight * each for weight, each in zip(weights, reduced[1], strict=True)))
    return torch.stack(mixed)


def test_equals_the_formula_of_the_paper() -> None:
    mechanism, source, target = made(), rows(9, 12, 1), rows(4, 4, 4)
    query, key, value = heads(source, target)
    found = mechanism(query, key, value, Attend(target, source), NONE)
    for row, length in enumerate((9, 12, 1)):
        for head in range(4):
            expected = naive(mechanism, query[row, head], *(x[row, head, :length] for x in (key, value)))
            torch.testing.assert_close(found[row, head], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 4])
def test_without_reduction_it_is_full_attention(groups: int) -> None:
    mechanism, layout = made(rank=7, max_positions=7), rows(7, 7)
    for matrix in mechanism.parameters():
        torch.nn.init.eye_(matrix)
    given, attend = heads(layout, groups=groups), Attend(layout, layout)
    expected = FullAttention(0.0).eval()(*given, attend, NONE)
    torch.testing.assert_close(mechanism(*given, attend, NONE), expected, rtol=0, atol=1e-13)


def test_shared_keys_equal_repeated_ones() -> None:
    mechanism, layout = made(), rows(9, 4)
    query, key, value = heads(layout, groups=2)
    repeated = [torch.stack((x[:, 0], x[:, 0], x[:, 1], x[:, 1]), 1) for x in (key, value)]
    attend = Attend(layout, layout)
    expected = mechanism(query, *repeated, attend, NONE)
    torch.testing.assert_close(mechanism(query, key, value, attend, NONE), expected, rtol=0, atol=1e-13)


def test_hypotheses_share_what_is_remembered() -> None:
    mechanism, source, target = made(), rows(9, 2), rows(3, 3)
    query, key, value = heads(source, target)
    memory = mechanism.remember(key, value, source)
    looked = mechanism.look(query, memory, source)
    assert torch.equal(looked, mechanism(query, key, value, Attend(target, source), NONE))
    other = mechanism.look(query[1:], memory.select(torch.tensor([1])), rows(2, width=9))
    torch.testing.assert_close(other, looked[1:], rtol=0, atol=1e-13)


def test_padding_changes_nothing() -> None:
    """What is in it, no bit; how wide it is, only the order of sums, even if wider than any sentence may be."""
    mechanism, layout = made(), rows(11, 3, 1)
    query, key, value = heads(layout)
    expected = mechanism(query, key, value, Attend(layout, layout), NONE)
    padding = ~layout.valid[:, None, :, None]
    other = [torch.where(padding, -x * 3 + 1, x) for x in (query, key, value)]
    assert torch.equal(real(mechanism(*other, Attend(layout, layout), NONE), layout), real(expected, layout))
    wide = rows(11, 3, 1, width=20)
    wider = [torch.nn.functional.pad(x, (0, 0, 0, 9), value=5.0) for x in (query, key, value)]
    found = mechanism(*wider, Attend(wide, wide), NONE)
    torch.testing.assert_close(real(found, wide), real(expected, layout), rtol=0, atol=1e-12)


def test_too_long_a_sentence_is_refused() -> None:
    mechanism, layout = made(), rows(13, 4)
    with pytest.raises(DataError) as refused:
        mechanism(*heads(layout), Attend(layout, layout), NONE)
    assert str(refused.value).startswith("a sentence of 13 tokens is too long for linformer, which holds 12")
    assert "--max-positions" in str(refused.value)


def test_gradient_by_finite_differences() -> None:
    mechanism, layout = made(rank=2, max_positions=4), rows(4, 2)
    given = [x[:, :2].clone().requires_grad_() for x in heads(layout, groups=1)]

    def mixed(keys: Tensor, values: Tensor, *given: Tensor) -> Tensor:
        matrices = {"reduce_keys": keys, "reduce_values": values}
        result: Tensor = torch.func.functional_call(mechanism, matrices, (*given, Attend(layout, layout), NONE))
        return result

    assert torch.autograd.gradcheck(mixed, (*mechanism.parameters(), *given))


def test_weights_are_dropped_in_training_only() -> None:
    layout = rows(9)
    given, attend = heads(layout), Attend(layout, layout)
    expected = made()(*given, attend, NONE)
    mechanism = made(dropout=0.5)
    assert torch.equal(mechanism(*given, attend, NONE), expected)
    assert not torch.isclose(mechanism.train()(*given, attend, NONE), expected).all()


def test_reduced_values_begin_as_long_as_values() -> None:
    """For sentences of about as many tokens as there are reduced ones."""
    mechanism, layout = made(rank=32, max_positions=1024), rows(*[32] * 20)
    _, key, value = heads(layout)
    memory = mechanism.remember(key, value, layout)
    for reduced in (memory.key, memory.value):
        assert reduced.square().mean().item() == pytest.approx(1, rel=0.1)


def test_memory_of_eight_thousand_tokens_is_linear() -> None:
    mechanism = LinformerAttention(16, 8192, 0.0)
    sizes = [largest(mechanism, tokens, causal=False) for tokens in (2048, 8192)]
    assert sizes[1] <= 4 * sizes[0]
    assert sizes[1] <= 4 * 8192 * 16, "4 heads, and 16 weights for each query"
