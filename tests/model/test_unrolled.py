"""The unrolled decoder: step by step the model that it was made of, whatever a search does with its hypotheses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
import torch

from mtcli.decoding.beam import beam_search
from mtcli.decoding.sampling import greedy, sample
from mtcli.decoding.scorer import score_pairs
from mtcli.layout import EOS, Batch, pad
from mtcli.model import unrolled as unrolling
from mtcli.model.seq2seq import Seq2Seq
from mtcli.model.unrolled import Unrolled, unrolled
from mtcli.settings import DecodingSettings, ModelSettings
from tests.decoding.toys import run
from tests.laws import models

TIGHT = {"rtol": 0, "atol": 1e-10}
POSITIONS = ("none", "sinusoidal", "learned", "rope")
PLAIN = list(product(POSITIONS, ("pre", "post"), ("relu", "gelu", "swiglu"), ("layernorm", "rmsnorm")))
SHUFFLED = random.Random(1).sample(PLAIN, len(PLAIN))


def plain(positions: str, norm: str, activation: str, normalization: str) -> ModelSettings:
    return models.settings(positions=positions, norm=norm, activation=activation, normalization=normalization)


def twins(chosen: ModelSettings) -> tuple[Seq2Seq[Any], Seq2Seq[Any]]:
    """A model in float64, and the same unrolled."""
    model = models.model(chosen)
    other = unrolled(model)
    assert isinstance(other, Unrolled)
    return model, other.eval()


Choose = Callable[[int, list[int]], list[int]]
"""From the time and the sentences that are searched to those that go on to be."""


@torch.inference_mode()
def agree(
    model: Seq2Seq[Any], other: Seq2Seq[Any], lengths: list[int], width: int, steps: int, go_on: Choose, exchange: str
) -> None:
    """Feed both the same random tokens, and let both continue the same rows; the logits are equal at each step.

    `exchange`: hypotheses continue any of their sentence's, change places with each other, or stay where they are
    and are selected only when a sentence leaves, as in sampling.
    """
    numbers = random.Random(f"{lengths} {width} {exchange}")
    source, rows = pad([[*tokens, EOS] for tokens in models.sentences(width, lengths)])
    states = [each.start(each.encode(source, rows), width) for each in (model, other)]
    searched = list(range(len(lengths)))
    for time in range(steps):
        tokens = torch.tensor([numbers.randrange(models.VOCABULARY) for _ in range(len(searched) * width)])
        tokens = tokens[::width].repeat_interleave(width) if time == 0 else tokens  # all begin with the same
        (expected, first), (found, second) = (
            each.step(tokens, state) for each, state in zip((model, other), states, strict=True)
        )
        torch.testing.assert_close(found, expected, **TIGHT)
        states, kept = [first, second], go_on(time, searched)
        if exchange != "never" or kept != searched:
            continued = torch.tensor(list(continuing(searched, kept, width, exchange, numbers)))
            states = [each.select(state, continued) for each, state in zip((model, other), states, strict=True)]
        searched = kept


def continuing(
    searched: list[int], kept: list[int], width: int, exchange: str, numbers: random.Random
) -> Iterator[int]:
    """The row that each hypothesis continues."""
    for sentence in kept:
        first = searched.index(sentence) * width
        order = list(range(first, first + width))
        if exchange == "any":
            order = numbers.choices(order, k=width)
        elif exchange == "places":
            numbers.shuffle(order)
        yield from order


def all_go_on(time: int, searched: list[int]) -> list[int]:
    return searched


def leaving(*plan: tuple[int, list[int]]) -> Choose:
    """Sentences leave at certain times."""
    at = dict(plan)
    return lambda time, searched: [sentence for sentence in searched if sentence not in at.get(time, [])]


def at_random(seed: int) -> Choose:
    """Now and then some sentences leave, one or nearly all of them."""
    numbers = random.Random(seed)

    def go_on(time: int, searched: list[int]) -> list[int]:
        if len(searched) == 1 or numbers.random() < 0.7:
            return searched
        count = numbers.choice([1, 1, 2, len(searched) - 1])
        return sorted(numbers.sample(searched, max(1, len(searched) - count)))

    return go_on


@pytest.mark.parametrize(
    ("parts", "width"),
    [
        pytest.param(parts, (1, 2, 5)[place % 3], marks=[pytest.mark.slow] if place >= 12 else [], id="-".join(parts))
        for place, parts in enumerate(SHUFFLED)
    ],
)
def test_every_plain_model_is_the_same_unrolled(parts: tuple[str, str, str, str], width: int) -> None:
    go_on = leaving((3, [2]), (7, [0]), (12, [1, 3]))
    agree(*twins(plain(*parts)), [3, 9, 0, 5, 17, 4], width, 18, go_on, "any")


SMALL = models.settings(decoder_layers=1, encoder_layers=1)


@pytest.mark.parametrize(("width", "exchange"), [(1, "never"), (2, "places"), (5, "any"), (3, "never")])
def test_hypotheses_outgrow_their_slots(width: int, exchange: str) -> None:
    agree(*twins(SMALL), [3, 16, 0], width, 36, all_go_on, exchange)


@pytest.mark.parametrize(("width", "exchange"), [(1, "never"), (1, "any"), (2, "places"), (5, "any"), (3, "never")])
@pytest.mark.parametrize(
    "plan",
    [
        [(1, [0])],
        [(1, [6]), (2, [5]), (6, [4]), (9, [3])],
        [(2, [3]), (3, [0]), (4, [1]), (5, [2]), (6, [6]), (7, [4])],
        [(2, [0, 1, 2, 4, 5, 6])],
        [(1, [1]), (4, [0, 2, 3, 4]), (8, [6])],
    ],
    ids=["the first", "from the last", "one after the other", "most at once", "one, then most"],
)
def test_sentences_leave(plan: list[tuple[int, list[int]]], width: int, exchange: str) -> None:
    agree(*twins(SMALL), [4, 2, 9, 0, 12, 7, 1], width, 11, leaving(*plan), exchange)


@pytest.mark.parametrize("seed", range(8))
def test_sentences_leave_at_random(seed: int) -> None:
    numbers = random.Random(seed)
    lengths = [numbers.randrange(20) for _ in range(numbers.randrange(2, 12))]
    exchange, width = numbers.choice(["any", "places", "never"]), numbers.choice([1, 2, 3, 5])
    agree(*twins(SMALL), lengths, width, 20, at_random(seed), exchange)


@torch.inference_mode()
def test_sources_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last part is not full, and some are narrower than the longest sentence."""
    monkeypatch.setattr(unrolling, "TOKENS", 40)
    model, other = twins(SMALL)
    source, rows = pad([[*tokens, EOS] for tokens in models.sentences(1, [3, 0, 4, 12, 5, 2, 1])])
    expected, found = model.encode(source, rows), other.encode(source, rows)
    torch.testing.assert_close(found.values[found.rows.valid], expected.values[rows.valid], **TIGHT)
    assert torch.equal(found.rows.lengths, rows.lengths)
    assert found.values.shape[1] == 16


@torch.inference_mode()
def test_no_source_is_padded_beyond_what_the_model_can_read() -> None:
    model, other = twins(models.settings(positions="learned", max_positions=5))
    source, rows = pad([[*tokens, EOS] for tokens in models.sentences(1, [3, 1])])
    assert other.encode(source, rows).values.shape[1] == model.longest_source == 5


LEFT_ALONE: list[dict[str, Any]] = [
    *({"positions": name} for name in ("alibi", "t5", "shaw")),
    *({"decoder_attention": name} for name in ("linear", "performer", "block-local", "longformer", "sparse")),
    *({"cross_attention": name} for name in ("linear", "performer", "linformer")),
    {"key_value_heads": 1},
    {"qk_norm": True},
    *({"architecture": "recurrent", "cross_attention": score} for score in ("bahdanau", "luong-dot", "none")),
]


@pytest.mark.parametrize("changes", LEFT_ALONE, ids=str)
def test_other_models_stay_as_they_are(changes: dict[str, Any]) -> None:
    model = models.model(models.settings(**changes))
    assert unrolled(model) is model


@pytest.mark.parametrize("changes", [{"encoder_attention": "sparse"}, {"tied_embeddings": "none"}], ids=str)
def test_what_is_no_part_of_the_decoder_is_whatever_it_is(changes: dict[str, Any]) -> None:
    agree(*twins(models.settings(**changes)), [12, 3, 0], 2, 5, all_go_on, "any")


SOURCES, LIMITS = models.sentences(4, [5, 0, 11, 3, 20, 8]), [7, 2, 19, 9, 30, 4]
SEARCHES = {
    "greedy": (greedy, {"decoding": "greedy"}),
    "beam of one": (beam_search, {"beam_size": 1}),
    "beam": (beam_search, {"beam_size": 5, "n_best": 3}),
    "groups": (beam_search, {"beam_size": 4, "diversity_groups": 2}),
    "samples": (sample, {"decoding": "sample", "n_best": 3}),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_searches_find_the_same(name: str) -> None:
    """In random models hardly anything ends before its limit: sentences leave at different times."""
    search, chosen = SEARCHES[name]
    found, expected = (
        run(search, each, SOURCES, LIMITS, DecodingSettings(**chosen), seeds=[1] * 6) for each in twins(SMALL)
    )
    assert [[h.tokens for h in each] for each in found] == [[h.tokens for h in each] for each in expected]
    numbers = ([h.log_prob for each in all_of for h in each] for all_of in (found, expected))
    assert next(numbers) == pytest.approx(next(numbers))


def test_it_scores_and_aligns_like_the_model() -> None:
    model, other = twins(SMALL)
    pairs = SOURCES, models.sentences(5, LIMITS)
    cpu = torch.device("cpu")
    assert score_pairs(other, *pairs, 50, cpu) == pytest.approx(score_pairs(model, *pairs, 50, cpu))
    assert other.supports_attention
    with torch.inference_mode():
        assert torch.equal(other.attention(Batch.of(*pairs)), model.attention(Batch.of(*pairs)))


def test_it_takes_sentences_as_long_as_the_model_does() -> None:
    for positions in POSITIONS:
        model, other = twins(models.settings(positions=positions))
        assert (other.longest_source, other.longest_target) == (model.longest_source, model.longest_target)
