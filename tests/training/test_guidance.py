"""Guided alignment: its loss written out, its batches, and what it teaches attention."""

from __future__ import annotations

import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtcli.checkpoint.restore import restore
from mtcli.data.batches import Place
from mtcli.data.encoded import Encoded, Sentences
from mtcli.decoding.alignment import links
from mtcli.decoding.places import places
from mtcli.errors import DataError, InterruptedRun, UsageError
from mtcli.layout import Batch
from mtcli.model.build import build
from mtcli.model.seq2seq import Seq2Seq
from mtcli.training.fitting import longest_batch
from mtcli.training.guidance import Guided, Linking, alignment_loss, guided_loss, unguided
from mtcli.training.interrupt import Interrupt
from mtcli.training.links import Linked
from mtcli.training.loop import train_step
from mtcli.training.loss import batch_loss, training_loss
from mtcli.training.plan import Request, settle
from tests.laws import models
from tests.training import test_loop, tiny
from tests.training.tiny import Recorder, Trained, run, same_state

WEIGHT = 0.7
GUIDED = test_loop.SETTINGS.model_copy(update={"guided_alignment": WEIGHT})
LINKS = [[0, 0], [0, 1, 0, 3, 1, 2], [], [2, 0, 3, 0], [0, 0, 1, 1, 1, 0]]
"""Target and source token of each link of five pairs."""
SOURCES, TARGETS = models.sentences(1, [1, 5, 2, 1, 2]), models.sentences(2, [3, 2, 2, 4, 2])


def corpus() -> Linked:
    plain = Encoded.of(SOURCES, TARGETS)
    return Linked(plain.sources, plain.targets, Sentences.of(LINKS))


def batch_of(*pairs: int) -> Guided:
    return Linking(100).assemble(corpus(), torch.tensor(pairs).numpy())


def share(pair: int, target: int, source: int) -> float:
    """One over the links of a target token, for those that it has."""
    pairs = [(LINKS[pair][i], LINKS[pair][i + 1]) for i in range(0, len(LINKS[pair]), 2)]
    return 1 / sum(there == target for there, _ in pairs) if (target, source) in pairs else 0.0


def test_a_batch_has_the_shares_of_its_pairs() -> None:
    chosen = (4, 0, 1, 3)
    batch = batch_of(*chosen)
    plain = Batch.of([SOURCES[i] for i in chosen], [TARGETS[i] for i in chosen])
    assert torch.equal(batch.source, plain.source)
    assert torch.equal(batch.target_out, plain.target_out)
    assert batch.shares.shape == (4, 5, 6)
    for row, pair in enumerate(chosen):
        for target in range(5):
            found = batch.shares[row, target].tolist()
            assert found == pytest.approx([share(pair, target, source) for source in range(6)])


def test_parts_keep_their_shares() -> None:
    batch = batch_of(0, 3, 1, 4)
    one, two = batch.parts(2)
    for part, expected in ((one, batch_of(0, 3)), (two, batch_of(1, 4))):
        assert isinstance(part, Guided)
        assert torch.equal(part.shares, expected.shares)
        assert torch.equal(part.source, expected.source)
    assert isinstance(batch.to(torch.device("cpu")), Guided)


def naive(attention: Tensor, chosen: tuple[int, ...]) -> float:
    """The sum over all links, one by one."""
    total = 0.0
    for row, pair in enumerate(chosen):
        for target in range(len(TARGETS[pair])):
            for source in range(len(SOURCES[pair])):
                if part := share(pair, target, source):
                    total -= part * math.log(attention[row, target, source].item())
    return total


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"norm": "post", "key_value_heads": 1},
        {"architecture": "recurrent", "cross_attention": "bahdanau"},
        {"architecture": "recurrent", "cross_attention": "luong-general", "alignment": "local-p", "window": 9},
    ],
)
def test_the_loss_is_the_sum_over_links(chosen: dict[str, Any]) -> None:
    model, pairs = models.model(models.settings(**chosen)), (0, 1, 2, 3, 4)
    batch = batch_of(*pairs)
    total, entropy = guided_loss(model, batch, 0.1, WEIGHT)
    plain, attention = batch_loss(model, batch, 0.1), model.attention(batch)
    assert entropy.item() == pytest.approx(plain.total.item(), rel=1e-9)
    assert total.item() == pytest.approx(entropy.item() + WEIGHT * naive(attention, pairs), rel=1e-7)
    unlinked = guided_loss(model, unguided(batch), 0.1, WEIGHT)[0]
    assert unlinked.item() == pytest.approx(plain.total.item(), rel=1e-9), "tokens without links contribute nothing"


def test_a_weight_of_zero_makes_no_gradient_infinite() -> None:
    attention = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]], requires_grad=True)
    alignment_loss(attention, torch.ones(1, 2, 2)).backward()
    assert attention.grad is not None
    assert attention.grad.tolist() == [[[0.0, -1.0], [-2.0, -2.0]]]


def test_its_gradient_reaches_the_attention_alone() -> None:
    model = models.model(models.settings())
    batch = batch_of(0, 1)
    difference = guided_loss(model, batch, 0.1, 1.0)[0] - guided_loss(model, unguided(batch), 0.1, 1.0)[0]
    difference.backward()  # type: ignore[no-untyped-call]
    last = model.decoder.blocks[-1]
    rows = last.cross_attention.project.weight.grad.split(last.cross_attention.sizes)
    assert [bool(part.abs().max() > 1e-6) for part in rows] == [True, True, False]
    assert last.feed_forward.widen.weight.grad.abs().max() < 1e-9


def test_accumulated_batches_are_one_large_batch() -> None:
    whole, split = [batch_of(0, 1, 2, 3, 4)], [batch_of(0, 2), batch_of(1), batch_of(3, 4)]
    states = [test_loop.exact() for _ in range(3)]
    divided = GUIDED.model_copy(update={"split": 3})
    for state, batches, settings in zip(states, (whole, split, whole), (GUIDED, GUIDED, divided), strict=True):
        for _ in range(2):
            train_step(state, [(batch, Place()) for batch in batches], settings)
    for other in states[1:]:
        torch.testing.assert_close(other.weights(), states[0].weights(), rtol=1e-6, atol=1e-6)


def test_memory_is_tried_with_links() -> None:
    batch = longest_batch(corpus(), 20)
    assert isinstance(batch, Guided)
    model = models.model(models.settings()).float()
    assert training_loss(model, batch, GUIDED).total.isfinite()


def gold(line: str) -> set[tuple[int, int]]:
    """The links of a line of the tiny corpus, whose target has its words in reverse."""
    last = len(line.split()) - 1
    return {(last - place, place) for place in range(last + 1)}


@pytest.fixture(scope="module")
def aligned(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What names the alignments of the tiny corpus."""
    file = tmp_path_factory.mktemp("links") / "train.links"
    lines = (corpora / "train.en").read_text(encoding="utf-8").splitlines()
    file.write_text("".join(" ".join(f"{i}-{j}" for i, j in sorted(gold(line))) + "\n" for line in lines))
    return {"alignments": [str(file)], "guided_alignment": 1.0}


def accuracy(trained: Trained, corpora: Path) -> float:
    """The share of correct links among those that `mtcli translate --alignments` would extract, of forty pairs."""
    restored = restore(trained.directory, torch.device("cpu"))
    model, tokenizer = restored.model, restored.tokenizer
    sides = [
        (corpora / f"train.{language}").read_text(encoding="utf-8").splitlines()[:40] for language in ("en", "de")
    ]
    right = words = 0
    for source, target in zip(*sides, strict=True):
        batch = Batch.of(tokenizer.encode_source([source]), tokenizer.encode_target([target]))
        of_tokens = places(tokenizer.surfaces_source(source)), places(tokenizer.surfaces_reference(target))
        with torch.no_grad():
            found = links(model.attention(batch)[0], *of_tokens)
        right, words = right + len(gold(source) & set(found)), words + len(gold(source))
    return right / words


def test_attention_learns_to_align(aligned: dict[str, Any], corpora: Path, tmp_path: Path) -> None:
    """As nearly perfectly as it is far from it unguided, after as many steps."""
    small = {"encoder_layers": 2, "model_dim": 32, "feed_forward_dim": 64, "dropout": 0.0, "label_smoothing": 0.0}
    pace = {"schedule": "constant", "lr": 5e-3, "accumulate": 1, "max_tokens": 400, "max_steps": 100}
    flags = tiny.wishes(corpora, **small, **pace, positions="learned", validate_every=100, save_every=100)
    assert accuracy(run(flags, tmp_path / "unguided"), corpora) < 0.7
    assert accuracy(run({**flags, **aligned}, tmp_path / "guided"), corpora) > 0.95


def test_stopped_and_taken_up_again_is_uninterrupted(aligned: dict[str, Any], corpora: Path, tmp_path: Path) -> None:
    flags, interrupt = tiny.wishes(corpora, **aligned, max_steps=10, validate_every=20), Interrupt()
    whole = run(flags, tmp_path / "whole")
    recorder = Recorder({7: lambda: interrupt.note(signal.SIGTERM, None)})
    with pytest.raises(InterruptedRun):
        run(flags, tmp_path / "parts", recorder, interrupt)
    assert same_state(run(flags, tmp_path / "parts").checkpoint(10), whole.checkpoint(10))
    file = Path(aligned["alignments"][0])
    before = file.read_text()
    try:
        file.write_text(before.replace("1-0", "0-0", 1))
        with pytest.raises(DataError, match="corpora have changed"):
            run({**flags, "max_steps": 12}, tmp_path / "parts")
    finally:
        file.write_text(before)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"alignments": []}, "nothing without each other"),
        ({"guided_alignment": 0.0}, "nothing without each other"),
        ({"alignments": ["one", "two"]}, "2 files of --alignments for 1 corpora"),
        ({"cross_attention": "linformer"}, "cross-attention 'linformer' lacks"),
        ({"r_drop": 5.0}, "--r-drop"),
        ({"simcut": 3.0}, "--simcut"),
        ({"layer_dropout": 0.1}, "--layer-dropout"),
        ({"unigram_temperature": 5.0}, "--unigram-temperature"),
    ],
)
def test_what_it_cannot_do_is_refused(
    changes: dict[str, Any], hint: str, aligned: dict[str, Any], corpora: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=hint):
        settle(Request({}, tiny.wishes(corpora, **{**aligned, **changes})), tmp_path, Recorder())


def fresh_of(settings: Any) -> Seq2Seq[Any]:
    torch.manual_seed(1)
    return build(settings, models.VOCABULARY, models.VOCABULARY, joint=True)


@pytest.mark.parametrize("architecture", ["transformer", "recurrent"])
def test_one_pass_gives_both_with_the_same_noise(architecture: str) -> None:
    """The readout is that of the usual pass, dropout included."""
    attention = {} if architecture == "transformer" else {"cross_attention": "luong-general"}
    model = fresh_of(models.settings(architecture=architecture, dropout=0.3, **attention)).train()
    batch = models.batch(1, [4, 2], [3, 3])
    torch.manual_seed(2)
    expected = model.readout(batch)
    torch.manual_seed(2)
    torch.testing.assert_close(model.readout_and_attention(batch)[0], expected)
