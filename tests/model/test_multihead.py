"""Multi-head attention against loops over single numbers, written from the papers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mtcli.layout import Attend, Rows
from mtcli.model.attention.full import FullAttention
from mtcli.model.attention.multihead import MultiHeadAttention
from mtcli.model.normalization import RMSNorm
from mtcli.model.position import Position

MODEL, HEADS = 24, 4
HEAD = MODEL // HEADS
Norm = Callable[[int], nn.Module] | None

GROUPS = pytest.mark.parametrize("groups", [1, 2, 4])
NORMS = pytest.mark.parametrize("norm", [None, nn.LayerNorm, RMSNorm])


def attention(groups: int = 0, norm: Norm = None, seed: int = 1) -> MultiHeadAttention:
    """One whose every parameter is random."""
    torch.manual_seed(seed)
    made = MultiHeadAttention(MODEL, HEADS, FullAttention(0.0), Position(), groups, norm).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return made


def vectors(lengths: list[int], seed: int = 2) -> tuple[Tensor, Rows]:
    torch.manual_seed(seed)
    rows = Rows(torch.tensor(lengths), max(lengths))
    return torch.randn(len(lengths), rows.width, MODEL, dtype=torch.float64), rows


def naive(module: MultiHeadAttention, asking: Tensor, asked: Tensor, causal: bool) -> Tensor:
    """Vaswani et al. 2017, 3.2.2, for one sentence, head by head and query by query; Ainslie et al. 2023, 2.2."""
    groups = (len(module.project.weight) - MODEL) // 2 // HEAD
    ends = [MODEL, groups * HEAD, groups * HEAD]
    weights, biases = module.project.weight.split(ends), module.project.bias.split(ends)
    mixed = torch.zeros(len(asking), MODEL, dtype=torch.float64)
    for head in range(HEADS):
        group = head // (HEADS // groups)
        own, shared = slice(head * HEAD, (head + 1) * HEAD), slice(group * HEAD, (group + 1) * HEAD)
        for i, x in enumerate(asking):
            query = normed(weights[0][own] @ x + biases[0][own], module.query_norm)
            seen = asked[: i + 1] if causal else asked
            keys = [normed(weights[1][shared] @ y + biases[1][shared], module.key_norm) for y in seen]
            shares = [math.exp(sum(query * key) / math.sqrt(HEAD)) for key in keys]
            values = [weights[2][shared] @ y + biases[2][shared] for y in seen]
            mixed[i, own] = sum(s / sum(shares) * value for s, value in zip(shares, values, strict=True))
    return mixed @ module.merge.weight.T + module.merge.bias


def normed(x: Tensor, norm: nn.Module) -> Tensor:
    """Ba et al. 2016, eq. 4, and Zhang & Sennrich 2019, eq. 4."""
    if isinstance(norm, nn.LayerNorm):
        x = x - sum(x) / len(x)
        return norm.weight * x / math.sqrt(sum(x * x) / len(x) + 1e-5) + norm.bias
    if isinstance(norm, RMSNorm):
        return norm.weight * x / math.sqrt(sum(x * x) / len(x) + 1e-6)
    return x


@GROUPS
@NORMS
@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_it_is_what_the_papers_say(groups: int, norm: Norm, causal: bool) -> None:
    module, (x, rows) = attention(groups, norm), vectors([4, 2])
    found = module(x, Attend(rows, rows, causal))
    for row, length in enumerate(rows.lengths):
        alone = x[row, :length]
        torch.testing.assert_close(found[row, :length], naive(module, alone, alone, causal))


@GROUPS
@NORMS
@torch.no_grad()
def test_it_asks_a_memory_as_the_papers_say(groups: int, norm: Norm) -> None:
    module, (x, rows), (memory, seen) = attention(groups, norm), vectors([3, 2]), vectors([2, 4], seed=3)
    found = module.cross(x, memory, Attend(rows, seen))
    for row, (asking, asked) in enumerate(zip(rows.lengths, seen.lengths, strict=True)):
        expected = naive(module, x[row, :asking], memory[row, :asked], causal=False)
        torch.testing.assert_close(found[row, :asking], expected)


@GROUPS
@torch.no_grad()
def test_shared_keys_and_values_are_equal_ones(groups: int) -> None:
    """Grouped heads are all heads of which some have the same keys and values; one group is multi-query attention."""
    few, all_heads = attention(groups), attention(seed=5)
    for target, source in (
        (all_heads.project.weight, few.project.weight),
        (all_heads.project.bias, few.project.bias),
    ):
        query, *shared = source.split(few.sizes)
        copies = [part.unflatten(0, (groups, HEAD)).repeat_interleave(HEADS // groups, 0) for part in shared]
        target.copy_(torch.cat((query, *(copy.flatten(0, 1) for copy in copies))))
    all_heads.merge.load_state_dict(few.merge.state_dict())
    (x, rows), (memory, seen) = vectors([5, 3]), vectors([2, 6], seed=3)
    for ask in (
        lambda module: module(x, Attend(rows, rows)),
        lambda module: module(x, Attend(rows, rows, causal=True)),
        lambda module: module.cross(x, memory, Attend(rows, seen)),
    ):
        torch.testing.assert_close(ask(few), ask(all_heads))
    assert few.project.weight.numel() < all_heads.project.weight.numel() or groups == HEADS


@GROUPS
@NORMS
@torch.no_grad()
def test_steps_equal_forward(groups: int, norm: Norm) -> None:
    module, (x, rows) = attention(groups, norm), vectors([5, 5])
    expected, past = module(x, Attend(rows, rows, causal=True)), None
    for place in range(rows.width):
        found, past = module.step(x[:, place : place + 1], past, place)
        torch.testing.assert_close(found, expected[:, place : place + 1], rtol=0, atol=1e-12)


@GROUPS
@NORMS
@torch.no_grad()
def test_looking_at_a_remembered_memory_is_cross_attention(groups: int, norm: Norm) -> None:
    module, (x, rows), (memory, seen) = attention(groups, norm), vectors([3, 3]), vectors([2, 6], seed=3)
    found = module.look(x, module.remember(memory, seen), seen)
    torch.testing.assert_close(found, module.cross(x, memory, Attend(rows, seen)), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_memory_of_few_heads_is_small() -> None:
    memory, seen = vectors([6])
    assert attention(groups=1).remember(memory, seen).key.numel() * HEADS == memory.numel()


@NORMS
@torch.no_grad()
def test_normalised_queries_and_keys_bound_the_logits(norm: Norm) -> None:
    """Vectors of mean square 1 have products of at most `head_dim`, so that no logit exceeds its root."""
    torch.manual_seed(1)
    module = MultiHeadAttention(MODEL, HEADS, FullAttention(0.0), Position(), 0, norm).double()
    query, key, _ = module.ordered(1e3 * vectors([7])[0], 0)
    largest = (query @ key.transpose(-1, -2) * HEAD**-0.5).abs().max()
    assert largest > 1e4 if norm is None else largest <= HEAD**0.5 * (1 + 1e-9)
