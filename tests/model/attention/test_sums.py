"""What linear attention and Performer share: running sums that equal the whole, in linear memory and fp32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mtcli.layout import Attend, Rows
from mtcli.model.attention.linear import LinearAttention
from mtcli.model.attention.performer import PerformerAttention
from mtcli.model.attention.sums import SummedAttention, Sums
from mtcli.model.position import Position
from tests.model.attention.heads import heads, largest, real, rows

NONE = Position()
MADE: dict[str, Callable[[], SummedAttention]] = {
    "linear": LinearAttention,
    "performer": lambda: PerformerAttention(features=6, redraw_every=0, head_dim=4),
}
KINDS = pytest.mark.parametrize("kind", list(MADE))


def made(kind: str) -> SummedAttention:
    torch.manual_seed(1)
    return MADE[kind]().double().eval()


@KINDS
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_steps_equal_forward_over_several_chunks(kind: str, groups: int) -> None:
    """Also when rows are exchanged and one is left out."""
    mechanism, layout = made(kind), rows(150, 150, 150)
    query, key, value = heads(layout, groups=groups)
    expected = mechanism(query, key, value, Attend(layout, layout, causal=True), NONE)
    past, order = None, torch.arange(3)
    for place in range(150):
        if past is not None and place == 70:
            order = torch.tensor([2, 0])
            past = past.select(order)
        here = [x[order, :, place : place + 1] for x in (query, key, value)]
        mixed, past = mechanism.step(*here, past, NONE)
        torch.testing.assert_close(mixed[:, :, 0], expected[order, :, place], rtol=0, atol=1e-11)
    assert isinstance(past, Sums)
    assert past.total.shape[:2] == (2, groups)


@KINDS
@pytest.mark.parametrize("causal", [False, True])
def test_shared_keys_equal_repeated_ones(kind: str, causal: bool) -> None:
    mechanism, layout = made(kind), rows(5, 80, 3)
    query, key, value = heads(layout, groups=2)
    attend = Attend(layout, layout, causal=causal)
    shared = mechanism(query, key, value, attend, NONE)
    repeated = [torch.stack((x[:, 0], x[:, 0], x[:, 1], x[:, 1]), 1) for x in (key, value)]
    expected = mechanism(query, *repeated, attend, NONE)
    torch.testing.assert_close(real(shared, layout), real(expected, layout), rtol=0, atol=1e-12)


@KINDS
def test_hypotheses_share_what_is_remembered(kind: str) -> None:
    mechanism, source, target = made(kind), rows(9, 2), rows(3, 3)
    query, key, value = heads(source, target, groups=2)
    memory = mechanism.remember(key, value, source)
    looked = mechanism.look(query, memory, source)
    assert torch.equal(looked, mechanism(query, key, value, Attend(target, source), NONE))
    other = mechanism.look(query[1:], memory.select(torch.tensor([1])), rows(2, width=9))
    torch.testing.assert_close(other, looked[1:], rtol=0, atol=1e-13)


@KINDS
@pytest.mark.parametrize("causal", [False, True])
def test_padding_changes_nothing(kind: str, causal: bool) -> None:
    """What is in it, no bit; how wide it is, only the order of sums."""
    mechanism, layout = made(kind), rows(80, 3, 1)
    query, key, value = heads(layout)
    attend = Attend(layout, layout, causal=causal)
    expected = mechanism(query, key, value, attend, NONE)
    padding = ~layout.valid[:, None, :, None]
    other = [torch.where(padding, -x * 3 + 1, x) for x in (query, key, value)]
    assert torch.equal(real(mechanism(*other, attend, NONE), layout), real(expected, layout))
    for row, length in enumerate((80, 3, 1)):
        alone = [x[row : row + 1, :, :length] for x in (query, key, value)]
        found = mechanism(*alone, Attend(rows(length), rows(length), causal=causal), NONE)
        torch.testing.assert_close(found[0], expected[row, :, :length], rtol=0, atol=1e-12)


@KINDS
def test_a_later_token_changes_no_bit_of_an_earlier_one(kind: str) -> None:
    mechanism, layout = made(kind), rows(150)
    given = heads(layout)
    attend = Attend(layout, layout, causal=True)
    before = mechanism(*given, attend, NONE)
    for place in (1, 30, 64, 100, 149):
        later = [torch.cat((x[:, :, :place], 2 * x[:, :, place:]), 2) for x in given]
        after = mechanism(*later, attend, NONE)
        assert torch.equal(before[:, :, :place], after[:, :, :place])
        assert not torch.isclose(before[:, :, place], after[:, :, place]).all()


@KINDS
@pytest.mark.parametrize("causal", [False, True])
def test_gradient_by_finite_differences(kind: str, causal: bool) -> None:
    mechanism, layout = made(kind), rows(3, 2)
    attend = Attend(layout, layout, causal=causal)
    given = [x[:, :2].clone().requires_grad_() for x in heads(layout, groups=1)]
    assert torch.autograd.gradcheck(lambda *x: real(mechanism(*x, attend, NONE), layout), given)


@KINDS
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_features_and_sums_in_fp32(kind: str, causal: bool, dtype: torch.dtype) -> None:
    """Nothing but the result is rounded."""
    mechanism, layout = made(kind).float(), rows(100, 7)
    query, key, value = (x.to(dtype) for x in heads(layout))
    attend = Attend(layout, layout, causal=causal)
    expected = mechanism(query.float(), key.float(), value.float(), attend, NONE)
    with torch.autocast("cpu", dtype):
        found = mechanism(query, key, value, attend, NONE)
        mixed, past = mechanism.step(query[:, :, :1], key[:, :, :1], value[:, :, :1], None, NONE)
        assert mechanism.remember(key, value, layout).total.dtype == past.total.dtype == torch.float32
    assert mixed.dtype == dtype
    assert torch.equal(found, expected.to(dtype))


@KINDS
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [0.0, 1e-20, 300.0, -300.0])
def test_extreme_keys_give_neither_nan_nor_infinity(kind: str, causal: bool, scale: float) -> None:
    """Keys that no feature of theirs survives included."""
    mechanism, layout = made(kind).float(), rows(70, 2)
    given = [x.abs().mul(scale).requires_grad_() for x in heads(layout, dtype=torch.float32)]
    mixed = mechanism(*given, Attend(layout, layout, causal=causal), NONE)
    mixed.square().sum().backward()
    assert mixed.isfinite().all()
    assert all(x.grad is not None and bool(x.grad.isfinite().all()) for x in given)


@KINDS
@pytest.mark.parametrize("causal", [False, True])
def test_memory_of_eight_thousand_tokens_is_linear(kind: str, causal: bool) -> None:
    mechanism = made(kind).float()
    sizes = [largest(mechanism, tokens, causal) for tokens in (2048, 8192)]
    assert sizes[1] <= 4 * sizes[0]
    assert sizes[1] <= 4 * 8192 * 64, "4 heads, and chunks of 64 tokens by 64 tokens"


def test_what_is_remembered_does_not_grow() -> None:
    mechanism, past = made("linear"), None
    query, key, value = heads(Rows(torch.tensor([1]), 1))
    for _ in range(3):
        _, past = mechanism.step(query, key, value, past, NONE)
        assert isinstance(past, Sums)
        assert past.total.shape == (1, 4, 4, 5)
