"""The judges of promises see what is broken."""

from __future__ import annotations

import promise_checks as checks


def test_words_count_where_they_are_whole() -> None:
    text = "Ein Hund, der T-Shirts hasst; Hunde nicht."
    assert checks.found(["Hund", "hund", "Hun", "T", "Ein", ".", "der T"], text) == ["Hund", "T", "Ein", ".", "der T"]
    assert checks.missing(["Hund", "nich", "hasst"], text) == ["nich"]


def test_the_longest_of_overlapping_terms_asks_for_its_word() -> None:
    terms = {"man": "Mann", "old man": "Greis", "dog": "Hund", "a": "ein"}
    assert checks.asked_for(terms, "an old man, a Dog") == ["Greis", "ein"]
    assert checks.asked_for(terms, "Man and old man, a Dog", ignore_case=True) == ["Greis", "Hund", "Mann", "ein"]


def test_a_prefix_may_go_on_unless_a_space_follows() -> None:
    assert checks.begins("Ein H", "Ein Hund")
    assert checks.begins("Ein ", "Ein")
    assert checks.begins("", "Ein")
    assert not checks.begins("Ein ", "Eine Frau")
    assert not checks.begins("Der", "Ein Hund")


def test_a_word_is_unavoidable_only_if_the_prefix_goes_on_behind_it() -> None:
    assert checks.fixed(["ein", "Hund"], "ein Hund") == ["ein"]
    assert checks.fixed(["Hund"], "Hund ") == ["Hund"]


def test_what_occurs_twice_is_repeated_even_if_it_overlaps() -> None:
    assert checks.repeated([1, 2, 1, 2, 3], 2) == [(1, 2)]
    assert checks.repeated([1, 1, 1], 2) == [(1, 1)]
    assert checks.repeated([1, 2, 3], 2) == []
    assert checks.repeated([], 2) == []
