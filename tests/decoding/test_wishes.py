"""What a user wishes, line by line."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

import pytest

from mtcli.decoding.request import Request
from mtcli.decoding.searcher import Part
from mtcli.decoding.terms import Terms
from mtcli.decoding.wishes import Wishes
from mtcli.errors import DataError, UsageError

PIECES = ["", "", "", "", " a", "a", " b", "b", " ab", " ", "猫", " 猫", "。", " 黒", "黒", "犬", " 犬猫", "犬猫"]


class Longest:
    """A tokenizer that takes the longest piece at each place."""

    def encode_target(self, lines: Sequence[str]) -> list[list[int]]:
        return [self.cut(f" {line}") for line in lines]

    def cut(self, text: str) -> list[int]:
        tokens = []
        while text:
            fitting = [n for n, piece in enumerate(PIECES) if piece and text.startswith(piece)]
            tokens.append(max(fitting, key=lambda n: len(PIECES[n])) if fitting else 1)
            text = text[len(PIECES[tokens[-1]]) or 1 :]
        return tokens

    def spelling_target(self) -> list[str | bytes]:
        return [*PIECES]


def pieces(tokens: Sequence[int]) -> list[str]:
    return [PIECES[token] for token in tokens]


def test_the_longest_of_overlapping_terms_counts() -> None:
    entries = {"New York": "1", "York": "2", "New York City": "3", "City Hall": "4", "Hall": "5", "in New": "6"}
    terms = Terms(entries)
    assert terms.targets("in New York City Hall") == ["3", "5"]
    assert terms.targets("in York, New York.") == ["1", "2"]
    assert terms.targets("Yorker, new york") == []
    assert Terms(entries, ignore_case=True).targets("NEW york") == ["1"]


def test_terms_are_chosen_as_by_a_naive_search() -> None:
    numbers, words = random.Random(1), ["a", "b", "a b", "b a", "a b a", "b-a", "ab"]
    terms = Terms({word: word.upper() for word in words})
    for _ in range(500):
        line = "".join(numbers.choices("aab  -", k=10))
        line = re.sub(" +", " ", line).strip()
        spans = sorted(
            ((m.start(), m.start() + len(word)) for word in words for m in re.finditer(rf"\b(?={word}\b)", line)),
            key=lambda span: (span[0] - span[1], span[0]),
        )
        taken: list[tuple[int, int]] = []
        for span in spans:
            if not any(max(span[0], other[0]) < min(span[1], other[1]) for other in taken):
                taken.append(span)
        assert set(terms.targets(line)) == {line[start:end].upper() for start, end in taken}


@pytest.mark.parametrize(
    ("text", "forced", "rest"),
    [
        ("a b ab", [" a", " b"], " ab"),
        ("a b ab ", [" a", " b", " ab"], " "),
        ("aa", [], " aa"),
        ("黒猫", [], " 黒猫"),
    ],
)
def test_a_prefix_is_forced_up_to_its_last_word(text: str, forced: list[str], rest: str) -> None:
    prefix, length = Wishes(Longest()).prefix(text, None)
    assert pieces(prefix.tokens) == forced
    assert prefix.rest.decode() == rest
    assert length == len(Longest().cut(f" {text.strip()}"))


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(DataError, match="no translation can begin with 'a c'"):
        Wishes(Longest()).prefix("a c", None)
    with pytest.raises(DataError, match="no translation can begin with 'a b a'"):
        Wishes(Longest()).prefix("a b a", 3)
    with pytest.raises(UsageError, match="no translation can contain 'c'"):
        Wishes(Longest(), (), ["c"])
    with pytest.raises(UsageError, match="'a b' is required, but 'b' is forbidden"):
        Wishes(Longest(), ["b"], [], Terms({"x": "a b"}))
    Wishes(Longest(), ["b"], ["ab"])


def test_a_long_prefix_makes_room_for_itself() -> None:
    wishes, request = Wishes(Longest()), Request(limit=5)
    assert wishes.added(request, Part("x", [4], prefix="a " * 30), None).limit == 50
    assert wishes.added(request, Part("x", [4], prefix="a " * 30), 40).limit == 40
    assert wishes.added(request, Part("x", [4]), 40) == request


def test_required_words_make_room_for_themselves() -> None:
    wishes, request = Wishes(Longest(), (), ["a " * 30 + "a"], Terms({"x": "b"})), Request(limit=5)
    assert wishes.added(request, Part("x", [4]), None).limit == 52
    assert wishes.added(request, Part("x", [4], prefix="a b a"), None).limit == 55
    assert wishes.added(request, Part("y", [4], first=False), None).limit == 5
    assert wishes.added(request, Part("x", [4]), 40).limit == 40


def test_forbidden_words_that_came_about_are_found() -> None:
    wishes = Wishes(Longest(), ["b", "a a"])
    assert wishes.unwanted("ab a") == []
    assert wishes.unwanted("a  a b") == ["a a", "b"]


def test_a_word_of_a_script_without_spaces_is_offered_without_one_too() -> None:
    wishes = Wishes(Longest(), (), ["犬猫", "ab"])
    assert [pieces(way) for way in wishes.phrases["犬猫"].segmentations] == [[" 犬猫"], ["犬猫"]]
    assert [pieces(way) for way in wishes.phrases["ab"].segmentations] == [[" ab"]]


def test_only_the_first_part_of_a_line_has_what_all_lines_require() -> None:
    wishes = Wishes(Longest(), (), ["a"], Terms({"x": "b", "y": "a"}))
    assert wishes.words_for("x y") == ["a", "b"]
    assert wishes.words_for("x", first=False) == ["b"]
    assert wishes.lacking("x", "b ab") == ["a"]
    assert wishes.lacking("x", "a, b") == []
