"""R-Drop and SimCut read a batch twice, and add what the papers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mtcli.errors import UsageError
from mtcli.kernels.cross_entropy import plain_smoothed_cross_entropy
from mtcli.layout import BOS, EOS, UNK, Batch
from mtcli.model.seq2seq import Seq2Seq
from mtcli.settings import TrainingSettings
from mtcli.training.consistency import cut
from mtcli.training.loop import train_step
from mtcli.training.loss import batch_loss, training_loss
from tests.laws import models
from tests.training.test_loop import SETTINGS, fresh, group
from tests.training.tiny import run, same_weights, wishes

BATCH = Batch.of(models.sentences(1, [3, 1, 7, 4, 2, 9, 5]), models.sentences(2, [2, 8, 1, 5, 3, 6, 4]))
R_DROP, SIMCUT = TrainingSettings(r_drop=5), TrainingSettings(simcut=3, simcut_rate=0.2)


@pytest.fixture(scope="module")
def model() -> Seq2Seq[Any]:
    return models.model(models.settings(dropout=0.3))


def log_probs(model: Seq2Seq[Any], batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Those of every real target token, and the smoothed cross-entropy of each readout."""
    real = batch.target_rows.valid
    readout = model.readout(batch)[real]
    loss = plain_smoothed_cross_entropy(readout, model.output.weight, batch.target_out[real], 0.1)
    return model.predict(readout).log_softmax(-1), loss


def divergence(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    return (log_p.exp() * (log_p - log_q)).sum()


@pytest.mark.parametrize("settings", [R_DROP, TrainingSettings(simcut=3, simcut_rate=0)])
def test_without_noise_it_is_the_usual_loss(settings: TrainingSettings, model: Seq2Seq[Any]) -> None:
    model.eval()
    found, usual = training_loss(model, BATCH, settings), batch_loss(model, BATCH, 0.1)
    torch.testing.assert_close(found.total, usual.total)


def test_r_drop_is_half_of_equation_4(model: Seq2Seq[Any]) -> None:
    model.train()
    torch.manual_seed(3)
    found = training_loss(model, BATCH, R_DROP)
    torch.manual_seed(3)
    both, _ = log_probs(model, BATCH.above(BATCH))
    log_p, log_q = both.chunk(2)
    target = BATCH.target_out[BATCH.target_rows.valid]
    smooth = torch.full_like(log_p, 0.1 / log_p.shape[1]).scatter_add_(
        1, target[:, None], torch.full((len(target), 1), 0.9, dtype=log_p.dtype)
    )
    cross_entropies = -(smooth * log_p).sum() - (smooth * log_q).sum()
    divergences = divergence(log_p, log_q) + divergence(log_q, log_p)
    assert divergences > 0.1
    torch.testing.assert_close(found.total, (cross_entropies + 5 / 2 * divergences) / 2)
    torch.testing.assert_close(found.cross_entropy, cross_entropies.detach() / 2)


def test_simcut_compares_with_a_batch_that_lacks_words(model: Seq2Seq[Any]) -> None:
    model.eval()
    torch.manual_seed(3)
    found = training_loss(model, BATCH, SIMCUT)
    torch.manual_seed(3)
    shortened = cut(BATCH, 0.2)
    assert not torch.equal(shortened.source, BATCH.source)
    (log_p, loss), (log_q, _) = log_probs(model, BATCH), log_probs(model, shortened)
    torch.testing.assert_close(found.total, loss + 3 * divergence(log_p, log_q))
    torch.testing.assert_close(found.cross_entropy, loss.detach())


@pytest.mark.parametrize("changes", [{"r_drop": 1000.0}, {"simcut": 1000.0, "simcut_rate": 0.3}])
def test_what_a_step_tells_is_the_cross_entropy(changes: dict[str, Any]) -> None:
    """Else a model that knows nothing yet would look worse than one that knows nothing: as if it had diverged."""
    settings, state = SETTINGS.model_copy(update=changes), fresh(dropout=0.5)
    batches = group([*range(7)])
    state.model.train()
    torch.manual_seed(3)
    expected = training_loss(state.model, batches[0][0], settings)
    torch.manual_seed(3)
    told = train_step(state, batches, settings).loss
    torch.testing.assert_close(told, expected.cross_entropy)
    assert expected.total > 3 * told
    assert not told.requires_grad


def test_words_are_cut_as_often_as_asked_and_ends_never() -> None:
    torch.manual_seed(1)
    sentences = [[5 + i % 7 for i in range(60)]] * 200
    batch = Batch.of(sentences, sentences)
    shortened = cut(batch, 0.05)
    for before, after, edge in (
        (batch.source, shortened.source, EOS),
        (batch.target_in, shortened.target_in, BOS),
    ):
        changed = before != after
        assert (after[changed] == UNK).all()
        assert not changed[before == edge].any()
        # Five standard deviations of a binomial around 600 of 12,000.
        assert abs(int(changed.sum()) - 600) < 5 * (12000 * 0.05 * 0.95) ** 0.5
    assert torch.equal(shortened.target_out, batch.target_out)
    assert not torch.equal(shortened.source[0], shortened.source[1])


@pytest.mark.parametrize("changes", [{"r_drop": 5.0}, {"simcut": 3.0, "simcut_rate": 0.3}])
def test_resumed_it_is_the_uninterrupted_run(changes: dict[str, Any], corpora: Path, tmp_path: Path) -> None:
    flags = wishes(corpora, max_steps=12, save_every=6, **changes)
    uninterrupted = run(flags, tmp_path / "whole")
    run({**flags, "max_steps": 7}, tmp_path / "parts")
    assert same_weights(run(flags, tmp_path / "parts").checkpoint(12), uninterrupted.checkpoint(12))
    plain = run(wishes(corpora, max_steps=12, save_every=6), tmp_path / "plain")
    assert not same_weights(plain.checkpoint(12), uninterrupted.checkpoint(12))


def test_both_at_once_are_refused(corpora: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--r-drop and --simcut"):
        run(wishes(corpora, r_drop=5.0, simcut=3.0), tmp_path / "run")
