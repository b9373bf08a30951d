"""Decoding in buckets: step by step what the model predicts, whatever leaves, grows, moves or comes after another."""

from __future__ import annotations

import gc
import random
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mtcli.decoding.beam import beam_search
from mtcli.decoding.sampling import greedy, sample
from mtcli.decoding.scorer import score_pairs
from mtcli.kernels.graph import Function, Record, as_it_is, recorder
from mtcli.layout import EOS, Batch, pad
from mtcli.model import bucket as buckets
from mtcli.model import steady as steadying
from mtcli.model.bucket import Shape
from mtcli.model.frozen import freeze, precision_of_memory
from mtcli.model.seq2seq import Memory, Seq2Seq
from mtcli.model.steady import Steady, power, steady
from mtcli.model.unrolled import Unrolled
from mtcli.settings import DecodingSettings, ModelSettings
from tests.decoding.toys import run
from tests.laws import models
from tests.model.test_unrolled import all_go_on, at_random, continuing, leaving

TIGHT = {"rtol": 0, "atol": 1e-10}
ENOUGH = 2**40
SMALL = models.settings(decoder_layers=1, encoder_layers=1)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that searches grow out of them and leave them."""
    monkeypatch.setattr(steadying, "SLOTS", 8)
    monkeypatch.setattr(steadying, "MEMORY", 16)
    monkeypatch.setattr(steadying, "FEW", 1)


def twins(chosen: ModelSettings, record: Record = as_it_is, most: int = ENOUGH) -> tuple[Seq2Seq[Any], Steady]:
    """A model in float64, and the same in buckets."""
    model = models.model(chosen)
    other = Steady(Unrolled(model, None), record, most)  # type: ignore[arg-type]
    return model, other.eval()  # type: ignore[return-value]


def read(model: Seq2Seq[Any], lengths: list[int], seed: int = 0) -> tuple[list[list[int]], Memory]:
    """Random sources, and what the model makes of them."""
    sources = models.sentences(seed, lengths)
    source, rows = pad([[*tokens, EOS] for tokens in sources])
    return sources, model.encode(source, rows)


class Forced:
    """A search of random tokens whose logits are compared with those of a whole forward pass, history by history."""

    def __init__(self, model: Seq2Seq[Any], other: Steady, lengths: list[int], width: int, exchange: str) -> None:
        self.model, self.other, self.width, self.exchange = model, other, width, exchange
        self.numbers = random.Random(f"{lengths} {width} {exchange}")
        self.sources, memory = read(other, lengths, width)
        self.state = other.start(memory, width)
        self.searched = list(range(len(lengths)))
        self.histories: list[list[int]] = [[] for _ in range(len(lengths) * width)]

    def step(self) -> None:
        """One token more."""
        tokens = [self.numbers.randrange(models.VOCABULARY) for _ in self.histories]
        self.histories = [[*history, token] for history, token in zip(self.histories, tokens, strict=True)]
        found, self.state = self.other.step(torch.tensor(tokens), self.state)
        torch.testing.assert_close(found, self.expected(), **TIGHT)

    def expected(self) -> torch.Tensor:
        sources = [self.sources[sentence] for sentence in self.searched for _ in range(self.width)]
        batch = Batch.of(sources, [history[1:] for history in self.histories])
        return self.model(Batch(*(batch.source, batch.source_rows, torch.tensor(self.histories)), *rest(batch)))[
            :, -1
        ]

    def go_on(self, kept: list[int]) -> None:
        """With these sentences."""
        if self.exchange == "never" and kept == self.searched:
            return
        rows = list(continuing(self.searched, kept, self.width, self.exchange, self.numbers))
        self.state = self.other.select(self.state, torch.tensor(rows))
        self.histories, self.searched = [self.histories[row] for row in rows], kept


def rest(batch: Batch) -> tuple[Any, Any]:
    return batch.target_out, batch.target_rows


@torch.inference_mode()
def agree(*search: Any, steps: int, go_on: Any = all_go_on) -> None:
    """A search from start to end."""
    forced = Forced(*search)
    for time in range(steps):
        forced.step()
        forced.go_on(go_on(time, forced.searched))


@pytest.mark.parametrize("normalization", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize(
    ("positions", "width"), [("none", 1), ("sinusoidal", 3), ("learned", 2), ("learned", 1), ("rope", 3)]
)
def test_steps_equal_a_forward_pass(positions: str, width: int, norm: str, normalization: str) -> None:
    chosen = models.settings(positions=positions, norm=norm, normalization=normalization)
    agree(*twins(chosen), [3, 9, 0, 5, 4], width, "any", steps=12, go_on=leaving((3, [2]), (7, [0, 4])))


@torch.inference_mode()
def test_a_bucket_has_angles_of_its_own() -> None:
    """What is recorded reads them, and the model's table is another one when it has grown."""
    model, other = twins(models.settings(positions="rope"))
    forced = Forced(model, other, [3, 5], 2, "any")
    bucket = forced.state.bucket
    assert bucket.turns is not None
    table = other.decoder.turn(0, len(bucket.turns))
    assert table is not None
    assert torch.equal(bucket.turns, table)
    assert bucket.turns.untyped_storage().data_ptr() != table.untyped_storage().data_ptr()


@pytest.mark.parametrize(("width", "exchange"), [(1, "never"), (2, "places"), (3, "any"), (3, "never")])
def test_hypotheses_outgrow_their_bucket(width: int, exchange: str) -> None:
    model, other = twins(SMALL)
    agree(model, other, [3, 16, 0], width, exchange, steps=36)
    assert {bucket.shape.slots for bucket in other.buckets.kept} >= {16, 32, 64}


@pytest.mark.parametrize("seed", range(8))
def test_sentences_leave_at_random(seed: int) -> None:
    numbers = random.Random(seed)
    lengths = [numbers.randrange(20) for _ in range(numbers.randrange(2, 12))]
    exchange, width = numbers.choice(["any", "places", "never"]), (1, 3)[seed % 2]
    agree(*twins(SMALL), lengths, width, exchange, steps=20, go_on=at_random(seed))


@pytest.mark.parametrize("lengths", [[3, 2, 4, 1], [3, 2, 4]], ids=["a sentence ended", "a place is empty"])
@torch.inference_mode()
def test_slots_that_nobody_sees_are_used_again(lengths: list[int]) -> None:
    _, other = twins(SMALL)
    state, sentences = other.start(read(other, lengths)[1], 3), len(lengths)
    for _ in range(13):
        _, state = other.step(torch.full((sentences * 3,), 5), state)
        state = other.select(state, torch.arange(3).repeat_interleave(3) * 3)
        sentences = 3
    assert [(bucket.shape.sentences, bucket.shape.slots) for bucket in other.buckets.kept] == [(4, 16)]


def test_a_half_empty_bucket_is_left_unless_it_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steadying, "SLOTS", 32)
    monkeypatch.setattr(steadying, "FEW", 4)
    model, other = twins(SMALL)
    agree(model, other, [2] * 7, 2, "any", steps=8, go_on=leaving((1, [0]), (2, [1, 2]), (4, [3, 4]), (5, [5])))
    assert [(bucket.shape.sentences, bucket.steps) for bucket in other.buckets.kept] == [(8, 3), (4, 2), (2, 3)]


@pytest.mark.parametrize("width", [1, 3])
@torch.inference_mode()
def test_a_bucket_forgets_its_last_search(width: int) -> None:
    """Even if that filled it with what is no number."""
    model, other = twins(SMALL)
    agree(model, other, [7, 3, 6, 2], width, "any", steps=15, go_on=leaving((4, [0, 3])))
    steps = {bucket: bucket.steps for bucket in other.buckets.kept}
    for bucket in steps:
        for tensor in (bucket.pool, bucket.keys, bucket.values):
            tensor.fill_(torch.nan)
    agree(model, other, [1, 4, 2], width, "any", steps=15, go_on=leaving((4, [1])))
    assert sum(bucket.steps > before for bucket, before in steps.items()) > 1


@torch.inference_mode()
def test_searches_that_take_turns_do_not_meet() -> None:
    model, other = twins(SMALL)
    searches = [Forced(model, other, lengths, 2, "any") for lengths in ([3, 2], [1, 4], [2, 2])]
    for _ in range(9):
        for search in searches:
            search.step()
            search.go_on(search.searched)
    assert len({search.state.bucket for search in searches}) == 3
    del search, searches
    gc.collect()
    before = list(other.buckets.kept)
    other.start(read(other, [3, 2])[1], 2)
    assert set(other.buckets.kept) == set(before)


@torch.inference_mode()
def test_buckets_beyond_the_limit_are_given_up_the_oldest_first() -> None:
    _, other = twins(SMALL)
    shapes = [Shape(1, 1, slots, 4, torch.float64) for slots in (8, 16, 32)]
    sizes = [buckets.Bucket(other.decoder, shape, as_it_is).bytes for shape in shapes]
    other.buckets.most = sum(sizes[1:])
    holder = other.start(read(other, [1])[1])
    for shape in (shapes[1], shapes[0], shapes[2]):
        other.buckets.take(shape, holder)
    assert [bucket.shape for bucket in other.buckets.kept] == [shapes[0], shapes[2]]
    other.buckets.most = 0
    other.buckets.take(shapes[1], holder)
    assert [bucket.shape for bucket in other.buckets.kept] == [shapes[1]]


class Recorded:
    """Records outside of inference mode, as on CUDA, and looks whether all tensors stay where they are."""

    def __init__(self) -> None:
        self.recordings, self.played = 0, 0

    def __call__(self, function: Function) -> tuple[Any, Function]:
        self.recordings += 1
        bucket = function.__self__  # type: ignore[attr-defined]
        addresses = self.addresses(bucket)

        def play() -> Any:
            self.played += 1
            assert self.addresses(bucket) == addresses
            return function()

        with torch.inference_mode(False), torch.no_grad():
            return function(), play

    def addresses(self, bucket: buckets.Bucket) -> dict[str, tuple[int, torch.Size]]:
        tensors = {name: value for name, value in vars(bucket).items() if isinstance(value, torch.Tensor)}
        return {name: (tensor.data_ptr(), tensor.shape) for name, tensor in tensors.items()}


def test_a_bucket_is_recorded_once_when_it_is_worth_it() -> None:
    record = Recorded()
    model, other = twins(SMALL, record)
    for _ in range(4):
        agree(model, other, [3, 2, 4, 4, 4], 3, "any", steps=12, go_on=leaving((5, [0]), (9, [1, 3])))
    steps = [bucket.steps for bucket in other.buckets.kept]
    assert sum(steps) == 48
    assert record.recordings == sum(number >= buckets.WORTH for number in steps) > 1
    assert record.played == sum(max(0, number - buckets.WORTH) for number in steps)


class OnlyOn(TorchDispatchMode):
    """Every operation gives tensors of one kind of device."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            assert not isinstance(each, torch.Tensor) or each.device.type == self.kind, func
        return result


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("width", [1, 3])
@torch.inference_mode()
def test_a_step_asks_the_device_nothing_and_copies_nothing_to_it(precision: str, width: int) -> None:
    """On `meta` tensors have no values: whoever asks for one fails."""
    meta = torch.device("meta")
    model = models.model(SMALL).float().to(meta)
    freeze(model, precision, meta)
    unrolled = Unrolled(model, precision_of_memory(precision, meta))  # type: ignore[arg-type]
    bucket = buckets.Bucket(unrolled, Shape(4, width, 16, 16, unrolled.remembered or torch.float32), as_it_is)
    with OnlyOn("meta"):
        assert bucket.step().shape == (4 * width, models.VOCABULARY)


SOURCES, LIMITS = models.sentences(4, [5, 0, 11, 3, 20, 8]), [7, 2, 19, 9, 30, 4]
SEARCHES = {
    "greedy": (greedy, {"decoding": "greedy"}),
    "beam of one": (beam_search, {"beam_size": 1}),
    "beam": (beam_search, {"beam_size": 5, "n_best": 3}),
    "groups": (beam_search, {"beam_size": 4, "diversity_groups": 2}),
    "samples": (sample, {"decoding": "sample", "n_best": 3}),
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize(("norm", "positions"), [("pre", "sinusoidal"), ("post", "learned"), ("pre", "rope")])
def test_searches_find_the_same(name: str, norm: str, positions: str) -> None:
    search, chosen = SEARCHES[name]
    pair = twins(models.settings(norm=norm, positions=positions))
    for _ in range(2):  # the second time in buckets that have been used
        found, expected = (
            run(search, each, SOURCES, LIMITS, DecodingSettings(**chosen), seeds=[1] * 6) for each in pair
        )
        assert [[h.tokens for h in each] for each in found] == [[h.tokens for h in each] for each in expected]
        numbers = ([h.log_prob for each in all_of for h in each] for all_of in (found, expected))
        assert next(numbers) == pytest.approx(next(numbers))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@torch.inference_mode()
def test_keys_and_values_are_remembered_in_the_precision_asked_for(dtype: torch.dtype) -> None:
    model = models.model(SMALL).float()
    other = Steady(Unrolled(model, dtype), as_it_is, ENOUGH)  # type: ignore[arg-type]
    for width in (1, 2):
        states = [each.start(read(each, [3, 5])[1], width) for each in (model, other)]
        assert states[1].bucket.pool.dtype == dtype
        for token in (2, 5, 7):
            tokens = torch.full((2 * width,), token)
            expected, found = (each.step(tokens, state) for each, state in zip((model, other), states, strict=True))
            states = [expected[1], found[1]]
            tolerance = 0.1 if dtype is torch.bfloat16 else 1e-5
            torch.testing.assert_close(found[0], expected[0], rtol=0, atol=tolerance)


def test_it_scores_and_aligns_like_the_model() -> None:
    model, other = twins(SMALL)
    pairs = SOURCES, models.sentences(5, LIMITS)
    assert score_pairs(other, *pairs, 50, CPU) == pytest.approx(score_pairs(model, *pairs, 50, CPU))
    assert other.supports_attention
    with torch.inference_mode():
        assert torch.equal(other.attention(Batch.of(*pairs)), model.attention(Batch.of(*pairs)))


def test_powers() -> None:
    assert [power(number) for number in range(1, 10)] == [1, 2, 4, 4, 8, 8, 8, 8, 16]


def test_a_processor_needs_no_buckets() -> None:
    unrolled = Unrolled(models.model(SMALL), None)  # type: ignore[arg-type]
    assert steady(unrolled, CPU) is unrolled
    assert recorder(CPU) is as_it_is
