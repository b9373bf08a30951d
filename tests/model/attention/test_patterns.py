"""Patterns are those of the papers, and the fast path, the step and the dense path agree on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli import catalog
from mtcli.errors import UsageError
from mtcli.layout import Rows
from mtcli.model.attention.full import FullAttention
from mtcli.model.attention.pattern import Kept, PatternAttention, Tokens
from mtcli.model.build import build
from mtcli.model.position import Position
from mtcli.settings import ModelSettings
from tests.laws import models
from tests.model.attention import toys
from tests.model.attention.toys import Variant

EACH = pytest.mark.parametrize("variant", toys.VARIANTS, ids=lambda variant: variant.name)
CAUSAL = pytest.mark.parametrize("causal", [False, True], ids=["both", "causal"])
POSITIONS = pytest.mark.parametrize("position", toys.POSITIONS, ids=lambda position: type(position).__name__)
TIGHT = {"rtol": 0, "atol": 1e-10}


def pairs(variant: Variant, length: int, causal: bool) -> Tensor:
    """Who sees whom, pair by pair."""
    seen = [[variant.sees(i, j) and (j <= i or not causal) for j in range(length)] for i in range(length)]
    return torch.tensor(seen)


def result(mixed: Tensor, of: Tokens) -> list[Tensor]:
    """What real tokens get, and the gradients of a random sum of it."""
    real = mixed.where(of.valid, 0.0)
    weight = torch.randn(mixed.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return [real, *torch.autograd.grad((real * weight).sum(), (of.query, of.key, of.value))]


def call(mechanism: PatternAttention | FullAttention, of: Tokens) -> Tensor:
    mixed: Tensor = mechanism(of.query, of.key, of.value, of.attend, of.position)
    return mixed


@EACH
@CAUSAL
def test_pairs_are_those_of_the_paper(variant: Variant, causal: bool) -> None:
    places = torch.arange(23)
    assert torch.equal(variant.make(0.0).allowed(places, places, causal), pairs(variant, 23, causal))


@EACH
@CAUSAL
@POSITIONS
def test_the_fast_path_is_the_dense_path(variant: Variant, causal: bool, position: Position) -> None:
    """In values and gradients, whatever the lengths; and what padding gets is finite."""
    mechanism = variant.make(0.0)
    for lengths in [[1], [2], [5, 1, 4], [12, 3], [13, 12, 9], [31, 30, 1]]:
        of = toys.tokens(lengths, causal, position, groups=2)
        fast = mechanism.fast(of)
        assert fast.isfinite().all()
        for found, expected in zip(result(fast, of), result(mechanism.dense(of), of), strict=True):
            assert found.isfinite().all()
            torch.testing.assert_close(found, expected, **TIGHT)


@EACH
@CAUSAL
def test_the_dense_path_is_softmax_over_the_pairs(variant: Variant, causal: bool) -> None:
    of = toys.tokens([9, 4], causal)
    mixed = variant.make(0.0).dense(of)
    seen = pairs(variant, 9, causal)
    for row, length in enumerate([9, 4]):
        for i in range(length):
            keys = [j for j in range(length) if seen[i, j]]
            logits = of.key[row][:, keys] @ of.query[row, :, i, :, None] / toys.DIM**0.5
            expected = (logits.softmax(1) * of.value[row][:, keys]).sum(1)
            torch.testing.assert_close(mixed[row, :, i], expected, **TIGHT)


@EACH
@CAUSAL
def test_either_way_is_the_same_and_the_cheaper_one_is_taken(variant: Variant, causal: bool) -> None:
    mechanism = variant.make(0.0)
    for length in range(1, 60, 4):
        of = toys.tokens([length], causal, counting := toys.Counting())
        mixed = call(mechanism, of)
        assert counting.logits <= min(length**2, 4 * mechanism.work(length, causal))
        torch.testing.assert_close(mixed, mechanism.dense(of), **TIGHT)


@EACH
@torch.no_grad()
def test_nothing_later_is_seen(variant: Variant) -> None:
    """To the last bit, by either path."""
    mechanism, of = variant.make(0.0), toys.tokens([31, 31], causal=True)
    for place in range(1, 31, 3):
        key, value = of.key.clone(), of.value.clone()
        key[:, :, place:], value[:, :, place:] = torch.randn(2)
        later = replace(of, key=key, value=value)
        for way in (mechanism.fast, mechanism.dense):
            assert torch.equal(way(of)[:, :, :place], way(later)[:, :, :place])


@EACH
@CAUSAL
@torch.no_grad()
def test_padding_changes_nothing(variant: Variant, causal: bool) -> None:
    mechanism, of = variant.make(0.0), toys.tokens([7, 31], causal)
    rows = Rows(torch.tensor([7]), 7)
    cut = [x[:1, :, :7] for x in (of.query, of.key, of.value)]
    alone = Tokens(*cut, replace(of.attend, queries=rows, keys=rows), of.position, 0.0)
    torch.testing.assert_close(mechanism.fast(of)[:1, :, :7], mechanism.fast(alone), **TIGHT)


@EACH
@POSITIONS
@torch.no_grad()
def test_steps_equal_forward(variant: Variant, position: Position) -> None:
    """Also when rows change places; and no more is kept than a later token can see."""
    mechanism, of = variant.make(0.0), toys.tokens([31, 31], True, position, groups=2)
    expected, past, turned = mechanism.fast(of), None, torch.tensor([1, 0])
    for place in range(31):
        query, key, value = (x[:, :, place : place + 1] for x in (of.query, of.key, of.value))
        if place % 2:  # the rows of the past lie the other way round
            query, key, value = query[turned], key[turned], value[turned]
        mixed, past = mechanism.step(query, key, value, past, position)
        torch.testing.assert_close(mixed[turned] if place % 2 else mixed, expected[:, :, place : place + 1], **TIGHT)
        assert isinstance(past, Kept)
        assert past.key.shape[2] == past.value.shape[2] == len(past.positions)
        past = past.select(turned)


@EACH
def test_what_lasts_is_what_is_seen_later(variant: Variant) -> None:
    mechanism, seen = variant.make(0.0), pairs(variant, 50, causal=True)
    for first in range(1, 30):
        found = mechanism.lasting(torch.arange(first), first)
        assert torch.equal(found, seen[first:, :first].any(0))


WIDE = [
    toys.block_local(40, False),
    toys.block_local(20, True),
    toys.longformer(40, 1, 0),
    toys.longformer(1, 1, 40),
    toys.strided(40),
    toys.strided(1),
    toys.fixed(40, 1),
    toys.fixed(5, 5),
]


@pytest.mark.parametrize("variant", WIDE, ids=lambda variant: variant.name)
@CAUSAL
@POSITIONS
def test_a_pattern_of_all_pairs_is_full_attention(variant: Variant, causal: bool, position: Position) -> None:
    of = toys.tokens([40, 33], causal, position)
    expected = result(call(FullAttention(0.0), of), of)
    for way in (variant.make(0.0).fast, variant.make(0.0).dense):
        for found, wanted in zip(result(way(of), of), expected, strict=True):
            torch.testing.assert_close(found, wanted, **TIGHT)


@EACH
def test_shared_keys_are_repeated_keys(variant: Variant) -> None:
    mechanism, of = variant.make(0.0), toys.tokens([17, 5], groups=2)
    key, value = (x.repeat_interleave(2, dim=1) for x in (of.key, of.value))
    torch.testing.assert_close(mechanism.fast(of), mechanism.fast(replace(of, key=key, value=value)), **TIGHT)


@EACH
@CAUSAL
def test_the_gradient_is_the_derivative(variant: Variant, causal: bool) -> None:
    mechanism, of = variant.make(0.0), toys.tokens([7, 3], causal, toys.Valued(), groups=1)

    def fast(*tensors: Tensor) -> Tensor:
        return mechanism.fast(replace(of, query=tensors[0], key=tensors[1], value=tensors[2])).where(of.valid, 0.0)

    assert torch.autograd.gradcheck(fast, (of.query, of.key, of.value), fast_mode=True)


@EACH
def test_dropout_thins_weights_in_training_only(variant: Variant) -> None:
    """Of values that are all 1, the kept weights' sum: 1 on average."""
    mechanism, of = variant.make(0.5), toys.tokens([300])
    ones = replace(of, value=torch.ones_like(of.value))
    sums = call(mechanism, ones)[..., 0]
    assert sums.std() > 0.01
    assert abs(sums.mean() - 1) < 5 * sums.std() / sums.numel() ** 0.5
    torch.testing.assert_close(call(mechanism.eval(), ones), torch.ones_like(of.query), **TIGHT)


@EACH
@CAUSAL
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(variant: Variant, causal: bool, dtype: torch.dtype) -> None:
    """With logits as large as they get: 30 and more."""
    mechanism, of = variant.make(0.0), toys.tokens([31, 4], causal)
    large = replace(of, query=of.query.detach() * 10, key=of.key.detach() * 3)
    halves = [x.to(dtype) for x in (large.query, large.key, large.value)]
    halved = replace(large, query=halves[0], key=halves[1], value=halves[2])
    rounded = replace(large, query=halves[0].double(), key=halves[1].double(), value=halves[2].double())
    mixed = mechanism.fast(halved)
    assert mixed.dtype == dtype
    assert mixed.isfinite().all()
    expected = mechanism.dense(rounded).where(of.valid, 0.0)
    torch.testing.assert_close(mixed.where(of.valid, 0.0).double(), expected, rtol=0, atol=0.5)


SMALL = [
    {"decoder_attention": "block-local", "block_size": 3},
    {"decoder_attention": "longformer", "window": 2, "dilation": 2},
    {"decoder_attention": "sparse", "stride": 4},
    {"decoder_attention": "sparse", "stride": 4, "sparse_pattern": "fixed"},
]


@pytest.mark.parametrize("small", SMALL, ids=lambda small: "-".join(map(str, small.values())))
@pytest.mark.parametrize("positions", catalog.POSITION)
@torch.no_grad()
def test_whole_models_take_the_fast_path(
    small: dict[str, Any], positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every encoding: fast equals dense, and steps equal both."""
    name = small["decoder_attention"]
    settings = models.settings(**small, encoder_attention=name, positions=positions)
    model, batch = models.model(settings), models.batch(1, [15, 2], [17, 17])
    expected = model(batch)
    monkeypatch.setattr(catalog.load("attention", name), "work", lambda *_: 0)
    torch.testing.assert_close(model(batch), expected, **TIGHT)
    state = model.start(model.encode(batch.source, batch.source_rows))
    for place in range(18):
        logits, state = model.step(batch.target_in[:, place], state)
        torch.testing.assert_close(logits, expected[:, place], **TIGHT)


@pytest.mark.parametrize("name", ["block-local", "longformer", "sparse"])
def test_no_pattern_spans_two_sequences(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} cannot attend to another sequence"):
        build(ModelSettings(cross_attention=name), 9, 9, joint=True)
    mechanism, of = catalog.load("attention", name).of(ModelSettings()), toys.tokens([3])
    with pytest.raises(NotImplementedError):
        mechanism.remember(of.key, of.value, of.attend.keys)
    with pytest.raises(NotImplementedError):
        mechanism.look(of.query, Kept(of.key, of.value, torch.arange(3), 3), of.attend.keys)
