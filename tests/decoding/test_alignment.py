"""From weights of tokens to links of words."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from mtcli.decoding.alignment import links, pharaoh


def groups(sizes: list[int]) -> list[list[int]]:
    """So many tokens for each word."""
    return [[word] for word, size in enumerate(sizes) for _ in range(size)]


@given(st.lists(st.integers(1, 3), max_size=5), st.lists(st.integers(1, 3), max_size=5), st.integers(0, 99))
def test_each_target_word_is_linked_to_the_source_word_with_most_weight(
    sources: list[int], targets: list[int], seed: int
) -> None:
    source, target = groups(sources), groups(targets)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(len(target) + 1, len(source) + 1, generator=generator)
    weights[:, -1] = 9  # EOS draws most of the weight in many models
    expected = set()
    for j in range(len(targets) if sources else 0):
        total = [0.0] * len(sources)
        for row, words in zip(weights.double().tolist(), target, strict=False):
            for weight, (i,) in zip(row, source, strict=False):
                total[i] += weight * (words == [j])
        expected.add((max(range(len(sources)), key=total.__getitem__), j))
    found = links(weights, source, target)
    assert set(found) == expected
    assert list(found) == sorted(found)


def test_a_token_of_two_words_gives_half_of_its_weight_to_each() -> None:
    weights = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    assert links(weights, [[0, 1], [2]], [[0]]) == ((2, 0),)
    assert links(weights, [[0], [1]], [[0, 1]]) == ((0, 0), (0, 1))


def test_pharaohs_form() -> None:
    assert pharaoh(((0, 0), (1, 12))) == "0-0 1-12"
    assert pharaoh(()) == ""
