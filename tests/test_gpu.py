"""The laws that a GPU could break; without CUDA they are skipped."""

from __future__ import annotations

import math
import random
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtcli import catalog
from mtcli.data.ahead import Ahead
from mtcli.data.batches import Batches, Place
from mtcli.data.encoded import Encoded
from mtcli.data.packing import Packing
from mtcli.decoding.beam import beam_search
from mtcli.decoding.hypothesis import Hypothesis
from mtcli.decoding.request import Request
from mtcli.decoding.sampling import greedy
from mtcli.device import PrecisionName
from mtcli.kernels.attention import packed_attention, plain_packed_attention
from mtcli.kernels.cross_entropy import plain_smoothed_cross_entropy, smoothed_cross_entropy
from mtcli.kernels.dropout import dropout
from mtcli.kernels.graph import Record, as_it_is, recorder
from mtcli.layout import Attend
from mtcli.model import bucket as buckets
from mtcli.model import steady as steadying
from mtcli.model.build import build
from mtcli.model.frozen import freeze, precision_of_memory
from mtcli.model.seq2seq import Seq2Seq
from mtcli.model.steady import Steady
from mtcli.model.unrolled import Unrolled
from mtcli.settings import DecodingSettings, ModelSettings, TrainingSettings
from mtcli.training.engine import Eager, Engine
from mtcli.training.loop import groups, train_step
from mtcli.training.optimizer import adamw
from mtcli.training.plan import Request as Wish
from mtcli.training.precision import Precision
from mtcli.training.recorded import Recorded
from mtcli.training.state import Progress, TrainState
from mtcli.training.trial import measure, subject
from tests.laws import models
from tests.training import tiny

DEVICE = "cuda"
LENGTHS = [3, 1, 9, 8, 2, 5, 7]

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


FAMILY = pytest.mark.parametrize("kind", [each for each in models.parameters() if not each.marks])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTCLI_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("n", "v"), [(1, 7), (1000, 400), (9000, 50)])
def test_cross_entropy_equals_its_twin(n: int, v: int, dtype: torch.dtype) -> None:
    torch.manual_seed(n)
    hidden = torch.randn(n, 32, device=DEVICE, dtype=dtype, requires_grad=True)
    weight = torch.randn(v, 32, device=DEVICE, dtype=dtype, requires_grad=True)
    target = torch.randint(0, v, (n,), device=DEVICE)
    found, expected = (
        [total, *torch.autograd.grad(total, (hidden, weight))]
        for total in (f(hidden, weight, target, 0.1) for f in (smoothed_cross_entropy, plain_smoothed_cross_entropy))
    )
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 2e-2}[dtype]
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() <= tolerance * theirs.norm()


def test_dropout_keeps_its_share_and_its_gradient() -> None:
    x = torch.ones(200_000, device=DEVICE, requires_grad=True)
    y = dropout(x, 0.3)
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.equal(x.grad, y)
    assert (y != 0).float().mean().item() == pytest.approx(0.7, abs=0.01)


def losses(device: str, precision: PrecisionName, steps: int, optimizer: str) -> list[float]:
    """Nats per token of a few steps from the same start."""
    torch.manual_seed(5)
    settings = TrainingSettings(lr=5e-3, warmup_steps=0, schedule="constant", label_smoothing=0.0)
    settings = settings.model_copy(update={"precision": precision})
    model = build(models.settings(dropout=0.0), models.VOCABULARY, models.VOCABULARY, joint=True).to(device)
    where = torch.device(device)
    moving = catalog.load("optimizer", optimizer)(model, settings)
    state = TrainState(model, moving, Precision(precision, where), Progress(), "")
    group = [(models.batch(seed, LENGTHS, LENGTHS[::-1]), Place(0, seed)) for seed in (1, 2)]
    found = []
    for _ in range(steps):
        metrics = train_step(state, group, settings)
        found.append(metrics.loss.item() / metrics.target_tokens)
    assert state.progress.skipped == 0
    return found


@pytest.mark.parametrize("optimizer", catalog.OPTIMIZER)
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-3), ("bf16", 5e-2), ("fp16", 5e-2)])
def test_training_follows_the_processor_in_fp32(precision: PrecisionName, tolerance: float, optimizer: str) -> None:
    expected, found = losses("cpu", "fp32", 5, optimizer), losses(DEVICE, precision, 5, optimizer)
    if precision == "fp16":  # the search for the gradient scale may cost updates: compare the first loss only
        assert found[0] == pytest.approx(expected[0], rel=tolerance)
    else:
        assert found == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("optimizer", catalog.OPTIMIZER)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_batch_is_learnt_by_heart(precision: PrecisionName, optimizer: str) -> None:
    assert losses(DEVICE, precision, 150, optimizer)[-1] < 0.2


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_run_is_stopped_and_goes_on(precision: str, tmp_path: Path) -> None:
    """Here the weights need not be the same bit by bit; the place, the rate and the counts are."""
    tiny.write_corpora(tmp_path)
    flags: dict[str, Any] = tiny.wishes(tmp_path, device=DEVICE, precision=precision)
    whole = tiny.run(flags, tmp_path / "whole")
    first = tiny.run({**flags, "max_steps": 11}, tmp_path / "parts")
    on = tiny.run(flags, tmp_path / "parts")
    assert on.recorder.warned == []
    assert on.recorder.standings[-1].step == 20
    states = [each.checkpoint(20).resume for each in (whole, on)]
    assert all(state is not None for state in states)
    progress = [state.values["progress"] for state in states if state is not None]
    assert progress[0]["place"] == progress[1]["place"]
    assert progress[0]["tokens"] == progress[1]["tokens"]
    assert first.checkpoint(11).resume is not None
    losses = [each.recorder.validations[-1][0].loss for each in (whole, on)]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


PACKED_SOURCES, PACKED_TARGETS = models.sentences(1, LENGTHS), models.sentences(2, LENGTHS[::-1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_over_packed_rows_equals_its_twin(causal: bool, dtype: torch.dtype) -> None:
    corpus = Encoded.of(PACKED_SOURCES, PACKED_TARGETS)
    batch = Packing.of(corpus, 64, 12).assemble(corpus, np.arange(len(corpus))).to(torch.device(DEVICE))
    queries = batch.target_rows
    attend = Attend(queries, queries if causal else batch.source_rows, causal)
    torch.manual_seed(1)
    given = [torch.randn(1, 4, rows.width, 32, device=DEVICE, dtype=dtype) for rows in (queries, *[attend.keys] * 2)]
    found, expected = (
        outcome(function, [x.to(wide) for x in given], attend)
        for function, wide in ((packed_attention, dtype), (plain_packed_attention, torch.float32))
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).norm() <= 0.02 * theirs.norm()


def outcome(function: Any, given: list[torch.Tensor], attend: Attend) -> list[torch.Tensor]:
    """The mixture, and the gradients of its squares."""
    leaves = [x.requires_grad_() for x in given]
    mixed = function(*leaves, attend)
    return [mixed.detach(), *torch.autograd.grad(mixed.float().square().sum(), leaves)]


def packed_losses(engine: Engine, settings: TrainingSettings, dropout: float = 0.0) -> list[float]:
    """Nats per token of steps on packed batches, in bf16."""
    torch.manual_seed(5)
    corpus = Encoded.of(8 * PACKED_SOURCES, 8 * PACKED_TARGETS)
    batches = Ahead(Batches(corpus, 64, 1, Packing.of(corpus, 64, 12)))
    shape = models.settings(model_dim=64, heads=2, dropout=dropout)
    model = build(shape, models.VOCABULARY, models.VOCABULARY, joint=True).to(DEVICE)
    state = TrainState(model, adamw(model, settings), Precision("bf16", torch.device(DEVICE)), Progress(), "")
    found = []
    for group in islice(groups(batches.from_(Place()), settings.accumulate), 12):
        metrics = train_step(state, group, settings, engine)
        found.append(metrics.loss.item() / metrics.target_tokens)
    return found


@pytest.mark.parametrize("kit", [{}, {"r_drop": 5.0}, {"accumulate": 2}, {"clip": 0.0}], ids=str)
def test_a_step_that_is_a_graph_is_an_eager_step(kit: dict[str, Any]) -> None:
    settings = TrainingSettings(lr=5e-3, warmup_steps=2, **kit)
    expected = packed_losses(Eager(), settings)
    assert packed_losses(Recorded(recorder(torch.device(DEVICE))), settings) == pytest.approx(expected, rel=2e-2)


def test_a_graph_draws_new_noise_in_each_step() -> None:
    """At a learning rate of 0, the same batch has another loss each time, and without dropout the same."""
    settings = TrainingSettings(lr=1e-30, warmup_steps=0, schedule="constant")
    for share, different in ((0.5, True), (0.0, False)):
        found = repeated(Recorded(recorder(torch.device(DEVICE))), settings, share)
        assert (len(set(found)) > 1) == different


def repeated(engine: Engine, settings: TrainingSettings, dropout: float) -> list[float]:
    """The losses of one batch again and again."""
    corpus = Encoded.of(PACKED_SOURCES, PACKED_TARGETS)
    batch = Packing.of(corpus, 64, 12).assemble(corpus, np.arange(len(corpus)))
    shape = models.settings(model_dim=64, heads=2, dropout=dropout)
    torch.manual_seed(5)
    model = build(shape, models.VOCABULARY, models.VOCABULARY, joint=True).to(DEVICE)
    state = TrainState(model, adamw(model, settings), Precision("bf16", torch.device(DEVICE)), Progress(), "")
    return [train_step(state, [(batch, Place())], settings, engine).loss.item() for _ in range(5)]


@pytest.mark.parametrize("engine", ["eager", "graph", "compiled"])
def test_a_packed_run_learns_and_goes_on(engine: str, tmp_path: Path) -> None:
    tiny.write_corpora(tmp_path)
    flags = tiny.wishes(tmp_path, device=DEVICE, precision="bf16", layout="packed", engine=engine, model_dim=32)
    tiny.run({**flags, "max_steps": 11}, tmp_path / "run")
    on = tiny.run(flags, tmp_path / "run")
    assert on.recorder.standings[-1].step == 20
    assert on.recorder.standings[-1].loss < 4


@FAMILY
@pytest.mark.parametrize(("dtype", "tolerance"), [(None, 1e-3), (torch.bfloat16, 0.3), (torch.float16, 0.1)])
def test_every_model_computes_what_the_processor_computes(
    kind: ModelSettings, dtype: torch.dtype | None, tolerance: float
) -> None:
    batch = models.batch(3, LENGTHS, LENGTHS[::-1])
    real = batch.target_rows.valid
    expected = models.model(kind)(batch)[real].float()
    model, moved = models.model(kind).float().to(DEVICE), batch.to(torch.device(DEVICE))
    with torch.autocast(DEVICE, dtype, enabled=dtype is not None):
        found = model(moved)[real.to(DEVICE)].float()
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=tolerance)
    found.logsumexp(-1).mean().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


@FAMILY
def test_beam_search_finds_what_the_processor_finds(kind: ModelSettings) -> None:
    settings = DecodingSettings(beam_size=4, n_best=2)
    batch = models.batch(3, LENGTHS, LENGTHS)
    found = []
    for device in ("cpu", DEVICE):
        model = models.model(kind).float().to(device)
        with torch.inference_mode():
            memory = model.encode(batch.source.to(device), batch.source_rows.to(torch.device(device)))
            found.append(beam_search(model, memory, [Request(12)] * len(LENGTHS), settings))
    for ours, theirs in zip(*found, strict=True):
        assert [list(each.tokens) for each in ours] == [list(each.tokens) for each in theirs]
        assert [each.score for each in ours] == pytest.approx([each.score for each in theirs], rel=1e-4)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets that are small, and recorded nearly at once."""
    monkeypatch.setattr(buckets, "WORTH", 3)
    monkeypatch.setattr(steadying, "SLOTS", 16)
    monkeypatch.setattr(steadying, "FEW", 1)


def in_buckets(model: Seq2Seq[Any], record: Record, remembered: torch.dtype | None = None) -> Steady:
    return Steady(Unrolled(model, remembered), record, 2**30)  # type: ignore[arg-type]


def logits_of(model: Steady, width: int) -> list[torch.Tensor]:
    """Of the steps of three searches, in which sentences leave and hypotheses change."""
    numbers, found = random.Random(width), []
    for seed in range(3):
        batch = models.batch(seed, LENGTHS, LENGTHS).to(torch.device(DEVICE))
        state, sentences = model.start(model.encode(batch.source, batch.source_rows), width), len(LENGTHS)
        for time in range(24):
            tokens = [numbers.randrange(models.VOCABULARY) for _ in range(sentences * width)]
            logits, state = model.step(torch.tensor(tokens, device=DEVICE), state)
            found.append(logits.clone())
            kept = [sentence for sentence in range(sentences) if time % 4 < 3 or sentence != time % sentences]
            sentences = len(kept)
            rows = [sentence * width + numbers.randrange(width) for sentence in kept for _ in range(width)]
            state = model.select(state, torch.tensor(rows, device=DEVICE))
    return found


@pytest.mark.parametrize("width", [1, 3])
@torch.inference_mode()
def test_a_step_that_was_recorded_is_the_same(width: int, soon: None) -> None:
    model = models.model(models.settings()).to(DEVICE)
    plain, recorded = (in_buckets(model, record) for record in (as_it_is, recorder(torch.device(DEVICE))))
    for expected, found in zip(logits_of(plain, width), logits_of(recorded, width), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert sum(bucket.replay is not None for bucket in recorded.buckets.kept) > 2


SEARCHES = [(beam_search, DecodingSettings(beam_size=4, n_best=2)), (greedy, DecodingSettings(decoding="greedy"))]


def searched(search: Any, settings: DecodingSettings, model: Seq2Seq[Any], device: str) -> list[list[Hypothesis]]:
    """What is found for three batches, the third of which is like the second."""
    found = []
    for seed, width in ((1, 3), (2, 9), (3, 9)):
        lengths = [length % width + 1 for length in LENGTHS]
        batch = models.batch(seed, lengths, lengths).to(torch.device(device))
        with torch.inference_mode():
            memory = model.encode(batch.source, batch.source_rows)
            found += search(model, memory, [Request(length + 9) for length in lengths], settings)
    return found


@pytest.mark.parametrize(("search", "settings"), SEARCHES)
@pytest.mark.parametrize(("norm", "positions"), [("pre", "sinusoidal"), ("post", "learned"), ("pre", "rope")])
def test_searches_in_buckets_find_what_the_processor_finds(
    search: Any, settings: DecodingSettings, norm: str, positions: str, soon: None
) -> None:
    model = models.model(models.settings(norm=norm, positions=positions)).float()
    expected = searched(search, settings, model, "cpu")
    found = searched(search, settings, in_buckets(model.to(DEVICE), recorder(torch.device(DEVICE))), DEVICE)
    for ours, theirs in zip(found, expected, strict=True):
        assert [list(each.tokens) for each in ours] == [list(each.tokens) for each in theirs]
        assert [each.score for each in ours] == pytest.approx([each.score for each in theirs], rel=1e-4)


@pytest.mark.parametrize(("precision", "tolerance"), [("bf16", 0.3), ("fp16", 0.1)])
@pytest.mark.parametrize("width", [1, 3])
@torch.inference_mode()
def test_rounded_matrices_decode_in_buckets(width: int, precision: str, tolerance: float, soon: None) -> None:
    device = torch.device(DEVICE)
    model = models.model(models.settings()).float().to(device)
    expected = logits_of(in_buckets(model, as_it_is), width)
    freeze(model, precision, device)
    rounded = in_buckets(model, recorder(device), precision_of_memory(precision, device))
    for ours, theirs in zip(logits_of(rounded, width), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
    for search, settings in SEARCHES:
        found = searched(search, settings, rounded, DEVICE)
        assert all(math.isfinite(hypothesis.log_prob) for each in found for hypothesis in each)


def test_a_measurement_of_training_waits_for_the_gpu() -> None:
    """Else a step would be a fraction of its arithmetic's time, and shares would be those of launches."""
    recorder = tiny.Recorder()
    wish = Wish({}, {"preset": "base", "device": DEVICE, "precision": "bf16", "max_tokens": 8192})
    with subject(wish, recorder) as chosen:
        found = measure(chosen, seconds=2.0, started=0.0, observer=recorder)
    assert 0 < found["arithmetic"]["share_of_matmul_peak"] < 1
    assert all(0 <= share < 1 for share in found["share_of_time"].values())
    assert found["share_of_time"]["backward"] > found["share_of_time"]["data"]
    assert found["peak_memory_bytes"]["all"] > 16 * found["parameters"], "weights, gradients and two moments"
