"""Performer estimates softmax attention without bias, and draws its random vectors anew when it should."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import Tensor

from mtcli.checkpoint import average, tensors
from mtcli.layout import Attend
from mtcli.model.attention.full import FullAttention
from mtcli.model.attention.performer import PerformerAttention, orthogonal_gaussian
from mtcli.model.position import Position
from tests.model.attention.heads import heads, real, rows

NONE = Position()
DIM = 8


def made(features: int = 24, redraw_every: int = 0, seed: int = 1) -> PerformerAttention:
    torch.manual_seed(seed)
    return PerformerAttention(features, redraw_every, DIM).double().eval()


def naive(query: Tensor, key: Tensor, value: Tensor, drawn: Tensor, causal: bool) -> Tensor:
    """Choromanski et al. 2021, eqs. 1, 4 and Lemma 1, pair by pair; one head."""

    def phi(x: Tensor) -> list[float]:
        x = x / DIM**0.25
        return [math.exp(float(w @ x) - float(x @ x) / 2) / len(drawn) ** 0.5 for w in drawn]

    mixed = []
    for place, asking in enumerate(query):
        total, weights = torch.zeros_like(value[0]), 0.0
        for other in range(place + 1 if causal else len(key)):
            weight = sum(a * b for a, b in zip(phi(asking), phi(key[other]), strict=True))
            total, weights = total + weight * value[other], weights + weight
        mixed.append(total / weights)
    return torch.stack(mixed)


@pytest.mark.parametrize("causal", [False, True])
def test_equals_the_formula_of_the_paper(causal: bool) -> None:
    mechanism, layout = made(), rows(6, 3)
    given = heads(layout, dim=DIM)
    found = mechanism(*given, Attend(layout, layout, causal=causal), NONE)
    for row, length in enumerate((6, 3)):
        for head in (0, 3):
            expected = naive(*(x[row, head, :length] for x in given), mechanism.drawn.matrix, causal)
            torch.testing.assert_close(found[row, head, :length], expected, rtol=0, atol=1e-12)


class TestVectors:
    """400,000 of them, in blocks of eight that are orthogonal within and independent of each other."""

    drawn = orthogonal_gaussian(400_000, DIM, seed=1).double()

    def test_each_is_a_standard_gaussian_vector(self) -> None:
        """The first and the last of a block too: none is special."""
        for place in (0, 3, 7):
            of_blocks = self.drawn[place::DIM]
            assert stats.kstest(of_blocks.square().sum(1).numpy(), stats.chi2(DIM).cdf).pvalue > 1e-3
            for column in (0, 7):
                assert stats.kstest(of_blocks[:, column].numpy(), stats.norm.cdf).pvalue > 1e-3

    def test_blocks_are_orthogonal(self) -> None:
        blocks = torch.nn.functional.normalize(self.drawn, dim=1).view(-1, DIM, DIM)
        torch.testing.assert_close(blocks @ blocks.mT, torch.eye(DIM).double().expand_as(blocks), rtol=0, atol=1e-5)

    def estimates(self, query: Tensor, key: Tensor, features: int) -> Tensor:
        """Of `exp(q k / sqrt(d))`, by independent sets of so many vectors."""
        mechanism = made()
        mechanism.drawn.matrix = self.drawn
        both = mechanism.exponents(query[None, None, None]) + mechanism.exponents(key[None, None, None])
        return both.exp().view(-1, features).mean(1)

    @pytest.mark.parametrize("seed", range(8))
    def test_estimates_are_unbiased_and_their_error_shrinks(self, seed: int) -> None:
        """The squared error of independent vectors is known (Lemma 2), and how much smaller it is for a block of
        orthogonal ones at least (Theorem 2)."""
        generator = torch.Generator().manual_seed(seed)
        query, key = torch.randn(2, DIM, generator=generator, dtype=torch.float64) / 2
        truth = math.exp(float(query @ key) / DIM**0.5)
        length = math.exp(float((query + key).square().sum()) / DIM**0.5)
        least = math.exp(-float(query.square().sum() + key.square().sum()) / 2 / DIM**0.5)
        independent = truth**2 * (length - 1) / DIM
        bound = independent - 2 * (DIM - 1) / (DIM * (DIM + 2)) * (truth - least) ** 2
        errors = []
        for features in (8, 32, 128):
            found = self.estimates(query, key, features)
            assert abs(found.mean() - truth) < 4 * found.std() / len(found) ** 0.5
            errors.append(float((found - truth).square().mean()))
            assert errors[-1] < bound * DIM / features
        assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
        assert errors[1] / errors[2] == pytest.approx(4, rel=0.2)

    def test_the_last_block_may_be_cut(self) -> None:
        assert orthogonal_gaussian(3, DIM, 5).shape == (3, DIM)
        cut = torch.nn.functional.normalize(orthogonal_gaussian(11, DIM, 5), dim=1)
        torch.testing.assert_close(cut[8:] @ cut[8:].T, torch.eye(3), rtol=0, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_with_more_features_it_becomes_full_attention(causal: bool) -> None:
    """Sixteen times as many features, a quarter of the error."""
    layout = rows(9, 4)
    query, key, value = heads(layout, dim=DIM, groups=2)
    given, attend = (query / 3, key / 3, value), Attend(layout, layout, causal=causal)
    full = FullAttention(0.0).eval()(*given, attend, NONE)
    errors = []
    for features in (32, 512, 8192):
        squares = [real(made(features, seed=s)(*given, attend, NONE) - full, layout).square() for s in range(24)]
        errors.append(float(torch.stack(squares).mean().sqrt()))
    assert errors[1] / errors[0] == pytest.approx(1 / 4, rel=0.3)
    assert errors[2] / errors[1] == pytest.approx(1 / 4, rel=0.3)
    assert errors[2] < 0.005


def batch(mechanism: PerformerAttention) -> Tensor:
    """The random vectors with which a batch is seen."""
    layout = rows(2)
    mechanism(*heads(layout, dim=DIM), Attend(layout, layout), NONE)
    return mechanism.drawn.matrix.clone()


def changes(seen: list[Tensor]) -> list[bool]:
    return [not torch.equal(one, other) for one, other in pairwise(seen)]


@pytest.mark.parametrize(
    ("redraw_every", "changed"), [(0, [0] * 8), (1, [1] * 8), (3, [0, 0, 1, 0, 0, 1, 0, 0]), (8, [0] * 7 + [1])]
)
def test_vectors_are_drawn_anew_when_their_batches_are_over(redraw_every: int, changed: list[int]) -> None:
    mechanism = made(redraw_every=redraw_every).train()
    first = mechanism.drawn.matrix.clone()
    assert changes([first, *(batch(mechanism) for _ in range(9))]) == [0, *changed]


def test_no_two_draws_are_alike() -> None:
    mechanism = made(redraw_every=1).train()
    seen = [batch(mechanism) for _ in range(5)] + [batch(made(redraw_every=1, seed=2))]
    assert len({tuple(each.flatten().tolist()) for each in seen}) == 6


def test_only_training_counts() -> None:
    mechanism = made(redraw_every=2)
    plain = made(redraw_every=2).train()
    expected = [batch(plain) for _ in range(6)]
    found = []
    for _ in range(6):
        found.append(batch(mechanism.train()))
        assert torch.equal(batch(mechanism.eval()), found[-1])
    assert not any(changes([torch.stack(expected), torch.stack(found)]))


@pytest.mark.parametrize("stop", range(1, 6))
def test_a_stored_one_goes_on_with_the_same_draws(stop: int) -> None:
    uninterrupted = made(redraw_every=2).train()
    expected = [batch(uninterrupted) for _ in range(9)]
    first, second = made(redraw_every=2).train(), made(redraw_every=2, seed=7).train()
    for _ in range(stop):
        batch(first)
    stored, _ = tensors.unpack(tensors.pack(first.state_dict(), {}))
    second.load_state_dict(stored)
    for wanted in expected[stop:]:
        assert torch.equal(batch(second), wanted)


def test_vectors_drawn_anew_leave_earlier_batches_their_own() -> None:
    """Two batches before one backward pass."""
    mechanism, layout = made(redraw_every=1).train(), rows(3)
    given = [x.requires_grad_() for x in heads(layout, dim=DIM)]
    alone = mechanism(*given, Attend(layout, layout), NONE).sum()
    expected = torch.autograd.grad(alone, given[:2])
    mechanism = made(redraw_every=1).train()
    first, second = (mechanism(*given, Attend(layout, layout), NONE).sum() for _ in range(2))
    (first + 0 * second).backward()
    for x, gradient in zip(given, expected, strict=False):
        torch.testing.assert_close(x.grad, gradient)


def test_all_that_is_random_goes_by_the_name_that_averaging_knows() -> None:
    mechanism = made()
    assert not list(mechanism.parameters())
    assert len(mechanism.state_dict()) == 2
    assert all(average.drawn(f"encoder.blocks.0.{name}") for name in mechanism.state_dict())


@pytest.mark.parametrize(("of_query", "of_key"), [(1, 6), (40, 1)])
def test_long_vectors_lose_nothing_in_fp32(of_query: int, of_key: int) -> None:
    """Queries may be as long as they like, and keys six times as long as unit variance makes them."""
    mechanism, layout = made(64), rows(12)
    query, key, value = heads(layout, dim=DIM)
    given, attend = (of_query * query, of_key * key, value), Attend(layout, layout, causal=True)
    exact = mechanism(*given, attend, NONE)
    short = mechanism.float()(*(x.float() for x in given), attend, NONE)
    torch.testing.assert_close(short.double(), exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("causal", [False, True])
def test_keys_that_equal_a_random_vector_do_not_overflow(causal: bool) -> None:
    """A wide head's exponents could reach half the squared length of its vectors, more than fp32 can hold."""
    torch.manual_seed(1)
    mechanism, layout = PerformerAttention(4, 0, 256), rows(70)
    key = mechanism.drawn.matrix.repeat(1, 1, 18, 1)[:, :, :70] * 256**0.25
    assert mechanism.exponents(key).amax() > 100
    given = [key.clone().requires_grad_() for _ in range(3)]
    mixed = mechanism(*given, Attend(layout, layout, causal=causal), NONE)
    mixed.sum().backward()
    assert mixed.isfinite().all()
    assert all(x.grad is not None and bool(x.grad.isfinite().all()) for x in given)
