"""Every positional encoding equals loops written from its paper, in rows, blocks and steps, at any length."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli import catalog
from mtcli.errors import DataError, UsageError
from mtcli.layout import Attend, Rows
from mtcli.model.attention.full import FullAttention
from mtcli.model.attention.softmax import attend
from mtcli.model.build import build, longest
from mtcli.model.position import Position
from mtcli.model.positions.alibi import slopes
from mtcli.settings import ModelSettings

NAMES = list(catalog.POSITION)
RELATIVE = ["shaw", "t5", "rope", "alibi"]
SMALL = {"model_dim": 12, "heads": 3, "clip_distance": 2, "relative_buckets": 8, "relative_distance": 6}
DIM, HEADS = 4, 3


def settings(name: str, **changes: Any) -> ModelSettings:
    return ModelSettings(**{**SMALL, "positions": name, "max_positions": 40, **changes})


def made(name: str, causal: bool = False, **changes: Any) -> Position:
    torch.manual_seed(1)
    kind: type[Position] = catalog.load("positions", name)
    position = kind.directed(settings(name, **changes), causal).double()
    for parameter in position.parameters():
        torch.nn.init.normal_(parameter)
    return position


def drawn(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def between(queries: int, keys: int) -> Tensor:
    return torch.arange(keys) - torch.arange(queries)[:, None]


def rows(*lengths: int) -> Rows:
    return Rows(torch.tensor(lengths), max(lengths))


# Against the papers


def test_sinusoids() -> None:
    x, first = drawn(1, 5, 12), 5000
    placed = made("sinusoidal").embed(x, first)
    for t in range(5):
        for i in range(6):
            angle = (first + t) / 10000 ** (2 * i / 12)
            assert placed[0, t, 2 * i].item() == pytest.approx(x[0, t, 2 * i].item() + math.sin(angle), abs=1e-6)
            assert placed[0, t, 2 * i + 1].item() == pytest.approx(
                x[0, t, 2 * i + 1].item() + math.cos(angle), abs=1e-6
            )


def test_learned_vectors_are_added() -> None:
    position, x = made("learned"), drawn(2, 40, 12)
    (table,) = position.parameters()
    for t in range(40):
        assert torch.equal(position.embed(x, 0)[:, t], x[:, t] + table[t])


@pytest.mark.parametrize("causal", [False, True])
def test_shaw(causal: bool) -> None:
    """Eq. 3 to 5, with sums of keys and vectors, and of values and vectors, as they are written."""
    position, lengths = made("shaw", causal), [9, 6]
    keys, values = dict(position.named_parameters())["of_keys"], dict(position.named_parameters())["of_values"]
    q, k, v = (drawn(2, HEADS, 9, DIM, seed=seed) for seed in range(3))
    found = FullAttention(0.0)(q, k, v, Attend(rows(*lengths), rows(*lengths), causal), position)
    for b, length in enumerate(lengths):
        for h in range(HEADS):
            for i in range(length):
                seen = range(i + 1 if causal else length)
                place = [max(-2, min(2, j - i)) + 2 for j in seen]
                e = torch.stack([q[b, h, i] @ (k[b, h, j] + keys[place[j]]) / DIM**0.5 for j in seen])
                alpha = e.exp() / e.exp().sum()
                z = sum((alpha[j] * (v[b, h, j] + values[place[j]]) for j in seen), torch.zeros(DIM))
                torch.testing.assert_close(found[b, h, i], z, rtol=0, atol=1e-12)


def scalar_bucket(offset: int, buckets: int, distance: int, causal: bool) -> int:
    """T5's rule in whole numbers: where the logarithm would be rounded, powers are compared."""
    first = 0
    if not causal:
        buckets //= 2
        first = buckets if offset > 0 else 0
    far = abs(offset) if not causal else max(-offset, 0)
    exact = buckets // 2
    if far < exact:
        return first + far
    logarithmic = buckets - exact
    reached = 0  # the most steps of (distance / exact) ^ (1 / logarithmic) that lie within far / exact
    while reached < logarithmic and Fraction(far, exact) ** logarithmic >= Fraction(distance, exact) ** (reached + 1):
        reached += 1
    return first + min(exact + reached, buckets - 1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (4, 3), (6, 20), (32, 17), (8, 400), (64, 256)])
def test_t5(buckets: int, distance: int, causal: bool) -> None:
    position = made("t5", causal, relative_buckets=buckets, relative_distance=distance)
    (table,) = position.parameters()
    offsets = torch.arange(-500, 501)
    expected = table[[scalar_bucket(int(o), buckets, distance, causal) for o in offsets]]  # o h
    found = position.bias(drawn(2, HEADS, 1, DIM), offsets[None, :])
    assert found is not None
    assert torch.equal(found[0, :, 0], expected.T)


def geometric(heads: int) -> list[float]:
    """The rule as released: whole sequences of powers of two, and every second number of the next one between."""
    exponent = math.log2(heads)
    if exponent.is_integer():
        ratio = 2 ** -(2 ** -(exponent - 3))
        return [ratio * ratio**i for i in range(heads)]
    lower = 2 ** math.floor(exponent)
    return geometric(lower) + geometric(2 * lower)[0::2][: heads - lower]


@pytest.mark.parametrize("heads", range(1, 17))
def test_alibi(heads: int) -> None:
    assert slopes(heads) == pytest.approx(geometric(heads), rel=1e-12)
    position = made("alibi", heads=heads, model_dim=heads * DIM)
    found = position.bias(drawn(2, heads, 5, DIM), between(5, 7))
    assert found is not None
    for h, slope in enumerate(geometric(heads)):
        for i in range(5):
            for j in range(7):
                assert found[0, h, i, j].item() == pytest.approx(-slope * abs(i - j), rel=1e-6)


def test_the_slopes_of_eight_heads_are_those_in_the_paper() -> None:
    assert slopes(8) == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256]


@pytest.mark.parametrize("base", [10000.0, 50.0])
def test_rope(base: float) -> None:
    position, x, first = made("rope", model_dim=24, rope_base=base), drawn(2, HEADS, 3, 8), 600
    turned = position.rotate(x, first)
    for t in range(3):
        blocks = []
        for i in range(4):
            angle = (first + t) * base ** (-2 * i / 8)
            blocks.append(torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]))
        matrix = torch.block_diag(*blocks).double()
        torch.testing.assert_close(turned[:, :, t], x[:, :, t] @ matrix.T, rtol=0, atol=1e-6)


def test_rope_keeps_norms_and_products_of_equal_offsets() -> None:
    position, q, k = made("rope"), drawn(1, 1, 1, DIM), drawn(1, 1, 1, DIM, seed=3)
    expected = (position.rotate(q, 3) * position.rotate(k, 1)).sum()
    for shift in (0, 7, 300, 4000):
        q_turned, k_turned = position.rotate(q, 3 + shift), position.rotate(k, 1 + shift)
        torch.testing.assert_close(q_turned.norm(), q.norm(), rtol=1e-6, atol=0)
        torch.testing.assert_close((q_turned * k_turned).sum(), expected, rtol=0, atol=1e-6)


def test_rope_under_bf16_turns_as_exactly_as_bf16_can() -> None:
    position, x = made("rope").float(), drawn(1, 1, 1, DIM).bfloat16()
    turned = position.rotate(x, 4001)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, position.rotate(x.float(), 4001).bfloat16())


# In rows, blocks and steps


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_blocks_equal_rows(name: str, causal: bool) -> None:
    """Three blocks of four queries: each beside all twelve keys, and each beside its own four."""
    position, query, weights = made(name, causal), drawn(2, HEADS, 12, DIM), drawn(2, HEADS, 12, 12, seed=3)
    blocks = query.unflatten(2, (3, 4))
    own = weights.unflatten(2, (3, 4)).unflatten(4, (3, 4)).diagonal(dim1=2, dim2=4).movedim(-1, 2)
    to_all = between(12, 12).unflatten(0, (3, 4))
    if position.changes_logits:
        dense, wide = position.bias(query, between(12, 12)), position.bias(blocks, to_all)
        assert dense is not None
        assert wide is not None
        rows = dense.expand(2, -1, -1, -1).unflatten(2, (3, 4))
        assert torch.equal(wide.expand(2, -1, -1, -1, -1), rows)
        narrow = position.bias(blocks, between(4, 4))
        assert narrow is not None
        expected = rows.unflatten(4, (3, 4)).diagonal(dim1=2, dim2=4).movedim(-1, 2)
        assert torch.equal(narrow.expand(2, -1, 3, -1, -1), expected)
    if position.changes_values:
        dense = position.values(weights, between(12, 12))
        wide = position.values(weights.unflatten(2, (3, 4)), to_all)
        torch.testing.assert_close(wide, dense.unflatten(2, (3, 4)), rtol=0, atol=1e-12)
        narrow = position.values(own, between(4, 4))
        expected = torch.stack([position.values(own[:, :, n], between(4, 4)) for n in range(3)], dim=2)
        torch.testing.assert_close(narrow, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_steps_equal_forward(name: str) -> None:
    position, full = made(name, causal=True), FullAttention(0.0)
    q, k, v = (drawn(2, HEADS, 9, DIM, seed=seed) for seed in range(3))
    x, order = drawn(2, 9, 12), rows(9, 9)
    expected = full(position.rotate(q, 0), position.rotate(k, 0), v, Attend(order, order, causal=True), position)
    past = None
    for t in range(9):
        now = slice(t, t + 1)
        query, key = position.rotate(q[:, :, now], t), position.rotate(k[:, :, now], t)
        found, past = full.step(query, key, v[:, :, now], past, position)
        torch.testing.assert_close(found, expected[:, :, now], rtol=0, atol=1e-12)
        assert torch.equal(position.embed(x[:, now], t), position.embed(x, 0)[:, now])


# Gradients and precision


def attended(position: Position, causal: bool, *inputs: Tensor) -> Tensor:
    """Attention over embeddings with padding, as a model does it; padded places are left out."""
    x, order = position.embed(inputs[0], 0), rows(5, 3)
    q, k, v = ((part * x.shape[-1] ** 0.5).unflatten(-1, (HEADS, DIM)).transpose(1, 2) for part in (x, x.flip(-1), x))
    mixed = FullAttention(0.0)(
        position.rotate(q, 0), position.rotate(k, 0), v, Attend(order, order, causal), position
    )
    return mixed.transpose(1, 2)[order.valid]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_the_derivative(name: str, causal: bool) -> None:
    position = made(name, causal, max_positions=5)
    inputs = (drawn(2, 5, 12).mul(0.3).requires_grad_(), *position.parameters())
    assert torch.autograd.gradcheck(lambda *inputs: attended(position, causal, *inputs), inputs, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_lower_precision_comes_near(name: str, causal: bool, dtype: torch.dtype) -> None:
    """Results and gradients, with the types that autocast gives: projections in `dtype`, parameters in fp32."""
    results = []
    for wide in (True, False):
        position, x = made(name, causal, max_positions=5), drawn(2, 5, 12).mul(0.3)
        if wide:
            y = attended(position, causal, x.requires_grad_())
        else:
            position, x = position.float(), x.float()
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                projected = torch.nn.functional.linear(x.requires_grad_(), torch.eye(12))
                y = attended(position, causal, projected)
            assert y.dtype == dtype
        y.double().square().sum().backward()
        gradients = [p.grad for p in (x, *position.parameters())]
        assert all(g is not None and g.isfinite().all() for g in gradients)
        results.append([y.detach().double(), *(g.double() for g in gradients if g is not None)])
    share = 1e-5 if dtype == torch.float32 else 0.05
    for expected, found in zip(*results, strict=True):
        assert (expected - found).norm() <= share * expected.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NAMES)
def test_a_query_that_sees_nothing_stays_finite(name: str, dtype: torch.dtype) -> None:
    """An fp32 bias beside narrower queries: its lowest number must not become minus infinity."""
    position, x = made(name).float(), drawn(1, HEADS, 4, DIM).to(dtype).requires_grad_()
    mask = torch.ones(4, 4, dtype=torch.bool).tril(-1)
    with torch.autocast("cpu", dtype):
        y = attend(x, x, x, mask, between(4, 4), position, 0.0)
    y[:, :, 1:].float().sum().backward()
    gradients = [g for g in (x.grad, *(p.grad for p in position.parameters())) if g is not None]
    assert all(g.isfinite().all() for g in (y, *gradients))


@pytest.mark.parametrize("name", ["t5", "alibi"])
def test_autocast_leaves_even_a_query_that_sees_nothing_as_in_fp32(name: str) -> None:
    """An fp32 bias left to autocast's own cast would hold minus infinity, and the query's result would be another."""
    position, x = made(name).float(), drawn(1, HEADS, 4, DIM).float()
    mask = torch.ones(4, 4, dtype=torch.bool).tril(-1)
    wide = attend(x, x, x, mask, between(4, 4), position, 0.0)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = attend(x.bfloat16(), x.bfloat16(), x.bfloat16(), mask, between(4, 4), position, 0.0)
    torch.testing.assert_close(narrow.float(), wide, rtol=0.05, atol=0.05)


# Lengths beyond training


@pytest.mark.parametrize("name", RELATIVE)
def test_far_from_the_start_all_is_as_at_the_start(name: str) -> None:
    """In a sentence of any length a query sees the keys around it in the same way."""
    position, query, key = made(name), drawn(1, HEADS, 1, DIM), drawn(1, HEADS, 1, DIM, seed=3)

    def logit(place: int, length: int) -> Tensor:
        at = position.rotate(query, place) @ position.rotate(key, place + 3).mT
        bias = position.bias(query, torch.arange(length)[None, :] - place)
        return at if bias is None else at + bias[..., place + 3 : place + 4]

    torch.testing.assert_close(logit(2500, 5000), logit(1, 6), rtol=0, atol=1e-6)


def test_a_table_that_grew_while_decoding_serves_training() -> None:
    for name in ("sinusoidal", "rope"):
        position, x = made(name), drawn(1, HEADS, 700, DIM)
        with torch.inference_mode():
            position.rotate(x, 0)
            position.embed(drawn(1, 700, 12), 0)
        x.requires_grad_()
        (position.rotate(x, 0).square().sum() + position.embed(x.transpose(1, 2).flatten(2), 0).sum()).backward()
        assert x.grad is not None


@pytest.mark.parametrize(("first", "length"), [(0, 41), (40, 1), (30, 20)])
def test_learned_positions_say_where_they_end(first: int, length: int) -> None:
    position = made("learned")
    position.embed(drawn(1, 1, 12), 39)
    with pytest.raises(DataError, match=f"{first + length} tokens.*40 positions") as refusal:
        position.embed(drawn(1, length, 12), first)
    assert f"--max-positions {first + length}" in refusal.value.details[0]


# In a model


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("rope", {"model_dim": 15}, "a head has 5"),
        ("t5", {"relative_buckets": 9}, "9 t5 buckets cannot be shared evenly"),
        ("t5", {"relative_buckets": 12, "relative_distance": 6}, "above 6, not 6"),
    ],
)
def test_impossible_encodings_are_refused(name: str, changes: dict[str, Any], reason: str) -> None:
    only = {"model_dim": 12, "heads": 3, **changes}
    with pytest.raises(UsageError) as refusal:
        build(ModelSettings(positions=name, **only), 9, 9, joint=True)
    assert len(refusal.value.details) == 1
    assert reason in refusal.value.details[0]


def test_what_layers_share() -> None:
    """T5: one table for each stack; Shaw: two for each self-attention; learned: one for each side."""
    size = {"model_dim": 12, "heads": 3, "encoder_layers": 3, "decoder_layers": 2}
    plain = sum(p.numel() for p in build(ModelSettings(positions="none", **size), 9, 9, joint=True).parameters())
    more = {"t5": 2 * 32 * 3, "shaw": 5 * 2 * 33 * 4, "learned": 2 * 1024 * 12, "rope": 0, "alibi": 0}
    for name, expected in more.items():
        model = build(ModelSettings(positions=name, **size), 9, 9, joint=True)
        assert sum(p.numel() for p in model.parameters()) - plain == expected


@pytest.mark.parametrize("name", NAMES)
def test_only_learned_positions_bound_a_model(name: str) -> None:
    limits = longest(ModelSettings(positions=name))
    assert limits == (1024 if name == "learned" else None)
