"""The forms of matrices in a model that only decodes: the same products, but for rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtcli.decoding.beam import beam_search
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.sampling import greedy
from mtcli.decoding.scorer import score_tokens
from mtcli.kernels.packed import packable
from mtcli.model import frozen as freezing
from mtcli.model.frozen import Frozen, Int8Linear, PackedLinear, RoundedLinear, freeze
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import DecodingSettings, ModelSettings
from tests.decoding.toys import run
from tests.laws import models

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Form:
    """A way to freeze a matrix, and the largest error of its outputs, in shares of their norm."""

    make: Callable[[nn.Linear], Frozen]
    error: float
    needs: torch.dtype | None = None
    """What packed matrices it needs."""


FORMS = {
    "packed fp32": Form(lambda of: PackedLinear(of, torch.float32), 1e-6, torch.float32),
    "packed bf16": Form(lambda of: PackedLinear(of, torch.bfloat16), 0.01, torch.bfloat16),
    "rounded bf16": Form(lambda of: RoundedLinear(of, torch.bfloat16), 0.01),
    "rounded fp16": Form(lambda of: RoundedLinear(of, torch.float16), 1e-3),
    "int8": Form(Int8Linear, 0.03),
}
PRECISIONS = {"fp32": 1e-5, "bf16": 0.03, "fp16": 0.003, "int8": 0.06}
"""The error of a whole model's logits, in shares of their norm."""


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Form:
    chosen = FORMS[request.param]
    if chosen.needs and not packable(chosen.needs):
        pytest.skip(f"no kernels for {request.param} matrices here")
    return chosen


def linear(inputs: int, outputs: int, biased: bool) -> nn.Linear:
    torch.manual_seed(inputs)
    return nn.Linear(inputs, outputs, bias=biased)


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@torch.no_grad()
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(8, 12), (96, 300), (33, 7)])
def test_a_form_is_close_to_what_it_was_made_of(inputs: int, outputs: int, biased: bool, form: Form) -> None:
    of = linear(inputs, outputs, biased)
    made = form.make(of)
    assert (made.in_features, made.out_features) == (inputs, outputs)
    for leading in ((1,), (9,), (3, 4), (70,)):
        x = torch.randn(*leading, inputs)
        found = made(x)
        assert (found.shape, found.dtype) == ((*leading, outputs), torch.float32)
        assert error(found, of(x)) < form.error
    assert made(torch.randn(0, inputs)).shape == (0, outputs)


@torch.no_grad()
@pytest.mark.parametrize("biased", [False, True])
def test_a_part_is_those_columns_of_the_whole(biased: bool, form: Form) -> None:
    made, x = form.make(linear(48, 90, biased)), torch.randn(2, 5, 48)
    whole = made(x)
    for first, last in ((0, 30), (30, 90), (0, 90), (17, 18), (0, 30)):
        part = made.part(x, first, last)
        assert part.shape == (2, 5, last - first)
        # A sum of other blocks may round to the number beside.
        assert error(part, whole[..., first:last]) <= form.error


def test_nothing_is_left_to_learn_or_to_store(form: Form) -> None:
    made = form.make(linear(16, 24, True))
    made.part(torch.randn(3, 16), 0, 8)
    assert not list(made.parameters())
    assert not made.state_dict()


KINDS = pytest.mark.parametrize(
    "settings",
    [models.settings(), models.settings(architecture="recurrent", cross_attention="luong-general", cell="lstm")],
    ids=["transformer", "recurrent"],
)


def frozen(settings: ModelSettings, precision: str) -> Seq2Seq[Any]:
    model = models.model(settings).float()
    freeze(model, precision, CPU)
    return model


@torch.no_grad()
@pytest.mark.parametrize("settings", models.parameters())
def test_every_model_frozen_in_fp32_predicts_the_same(settings: ModelSettings) -> None:
    model, batch = models.model(settings).float(), models.batch(1, [5, 0, 9], [4, 6, 0])
    assert error(frozen(settings, "fp32")(batch), model(batch)) < PRECISIONS["fp32"]


@torch.no_grad()
@KINDS
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_frozen_model_predicts_the_same_but_for_rounding(settings: ModelSettings, precision: str) -> None:
    model, batch = models.model(settings).float(), models.batch(1, [5, 0, 9], [4, 6, 0])
    found = frozen(settings, precision)(batch)
    assert found.dtype == torch.float32
    difference = error(found, model(batch))
    assert difference < PRECISIONS[precision]
    assert precision == "fp32" or difference > PRECISIONS[precision] / 100


@KINDS
@pytest.mark.parametrize("precision", ["bf16", "fp16", "int8"])
def test_no_matrix_is_left_as_it_was(settings: ModelSettings, precision: str) -> None:
    before = {name for name, child in models.model(settings).named_modules() if isinstance(child, nn.Linear)}
    model = frozen(settings, precision)
    assert not [child for child in model.modules() if isinstance(child, nn.Linear)]
    assert {name for name, child in model.named_modules() if isinstance(child, Frozen)} == before
    assert "output" in before


@torch.no_grad()
@KINDS
def test_without_kernels_a_model_in_fp32_stays_as_it_is(
    settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freezing, "packable", lambda _: False)
    model, batch = models.model(settings).float(), models.batch(1, [5, 0, 9], [4, 6, 0])
    assert torch.equal(frozen(settings, "fp32")(batch), model(batch))
    assert not [child for child in frozen(settings, "bf16").modules() if isinstance(child, PackedLinear)]


SOURCES, LIMITS = models.sentences(9, [5, 1, 8]), [5, 3, 7]
SEARCHES = {greedy: DecodingSettings(decoding="greedy"), beam_search: DecodingSettings(beam_size=3, n_best=3)}


def searched(model: Seq2Seq[Any], search: Callable[..., Any]) -> list[list[Hypothesis]]:
    return run(search, model, SOURCES, LIMITS, SEARCHES[search])


@KINDS
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("search", SEARCHES)
def test_a_frozen_model_searches_and_says_how_likely_it_finds_what(
    settings: ModelSettings, precision: str, search: Callable[..., Any]
) -> None:
    model = frozen(settings, precision)
    found = searched(model, search)
    if precision == "fp32":
        expected = searched(models.model(settings).float(), search)
        assert [[h.tokens for h in each] for each in found] == [[h.tokens for h in each] for each in expected]
    for source, hypotheses in zip(SOURCES, found, strict=True):
        scores = score_tokens(model, [source] * len(hypotheses), [h.tokens for h in hypotheses], 50, CPU)
        # Of an unfinished hypothesis, the last score is that of an end which it does not have.
        totals = [sum(each[: len(h.tokens) + h.finished]) for each, h in zip(scores, hypotheses, strict=True)]
        assert totals == pytest.approx([h.log_prob for h in hypotheses], rel=PRECISIONS[precision])
