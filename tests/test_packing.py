"""Sentences end to end: each column knows its sentence and its place in it, and sees nothing of the others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mtcli.layout import BOS, EOS, PAD, Attend, Batch
from mtcli.packing import Packed

LENGTHS = [3, 1, 5, 2]


def packed(lengths: list[int], width: int, slots: int) -> Packed:
    """Sentences, one of padding, and empty ones up to the number of slots."""
    starts = torch.tensor([0, *lengths, width - sum(lengths), *[0] * (slots - len(lengths) - 1)]).cumsum(0)
    given = torch.tensor([*lengths, *[0] * (slots - len(lengths))])
    return Packed(given, width, starts.to(torch.int32), max(LENGTHS) + 3)


def naive(lengths: list[int], width: int) -> list[tuple[int, int]]:
    """Sentence and position of each column."""
    rest = width - sum(lengths)
    return [(i, t) for i, length in enumerate([*lengths, rest]) for t in range(length)]


@pytest.mark.parametrize("slots", [5, 9])
def test_every_column_knows_its_sentence_and_its_position(slots: int) -> None:
    rows, expected = packed(LENGTHS, 13, slots), naive(LENGTHS, 13)
    assert list(zip(rows.sentence.tolist(), rows.positions.tolist(), strict=True)) == expected
    assert rows.valid.tolist() == [[i < len(LENGTHS) for i, _ in expected]]
    assert rows.sentences == len(LENGTHS)


@pytest.mark.parametrize("causal", [False, True])
def test_who_sees_whom(causal: bool) -> None:
    queries, keys = packed(LENGTHS, 13, 6), packed(LENGTHS if causal else [2, 2, 1, 4], 13, 6)
    mask = Attend(queries, keys, causal).mask[0, 0]
    for q, (sentence, place) in enumerate(naive(LENGTHS, 13)):
        for k, (other, then) in enumerate(naive(LENGTHS if causal else [2, 2, 1, 4], 13)):
            assert mask[q, k] == (sentence == other and (not causal or then <= place))
    assert mask.any(1).all(), "a softmax over nothing is not finite"


def test_parts_are_the_same_sentences() -> None:
    rows = packed(LENGTHS, 13, 6)
    part, (_, columns) = rows.part(slice(1, 3))
    assert (part.lengths.tolist(), part.starts.tolist(), part.width) == ([1, 5], [0, 1, 6], 6)
    assert (columns.start, columns.stop) == (3, 9)
    assert torch.equal(part.positions, rows.positions[columns])


def test_one_row_behind_another() -> None:
    rows = packed(LENGTHS, 13, 6)
    both = rows.above(rows)
    assert (both.width, both.sentences) == (26, 8)
    assert both.positions.tolist() == 2 * rows.positions.tolist()
    assert both.valid.tolist() == [2 * rows.valid[0].tolist()]
    assert sorted(set(both.sentence[:13].tolist()) & set(both.sentence[13:].tolist())) == []


def laid(sentences: list[list[int]], width: int) -> Tensor:
    row = [token for sentence in sentences for token in sentence]
    return torch.tensor([[*row, *[PAD] * (width - len(row))]])


def pack(sources: list[list[int]], targets: list[list[int]], width: int) -> Batch:
    """What `Batch.of` makes of them, in one row each."""
    slots = len(sources) + 3
    return Batch(
        laid([[*tokens, EOS] for tokens in sources], width),
        packed([len(tokens) + 1 for tokens in sources], width, slots),
        laid([[BOS, *tokens] for tokens in targets], width),
        laid([[*tokens, EOS] for tokens in targets], width),
        packed([len(tokens) + 1 for tokens in targets], width, slots),
    )


def test_the_batch_counts_what_is_real() -> None:
    sources, targets = [[5, 6], [7], [8, 9, 10]], [[5], [6, 7, 8], [9]]
    one, other = pack(sources, targets, 17), Batch.of(sources, targets)
    assert one.pairs == other.pairs == 3
    assert (one.source_tokens, one.target_tokens) == (other.source_tokens, other.target_tokens)
    parts = [(part.source.tolist(), part.target_out.tolist()) for part in one.parts(2)]
    assert parts == [
        ([[5, 6, EOS, 7, EOS]], [[5, EOS, 6, 7, 8, EOS]]),
        ([[8, 9, 10, EOS]], [[9, EOS]]),
    ]
