"""What is said of lines whose translation is not all that was asked for."""

from __future__ import annotations

import pytest

from mtcli.cli.remarks import Remarks
from mtcli.decoding.terms import Terms
from mtcli.decoding.translator import Part, TextHypothesis, Translation
from mtcli.decoding.wishes import Wishes
from tests.decoding.test_wishes import Longest


def translation(source: str, text: str, finished: bool = True, split: bool = False) -> Translation:
    hypothesis = TextHypothesis(text, -1.0, -1.0, (4,), finished)
    return Translation(source, (hypothesis,), split, (Part(source, [4]),))


def said(wishes: Wishes | None, lines: list[Translation], capsys: pytest.CaptureFixture[str]) -> list[str]:
    remarks = Remarks(wishes)
    for number, line in enumerate(lines, 1):
        remarks.add(number, line)
    remarks.warn()
    return capsys.readouterr().err.splitlines()


def test_each_kind_of_line_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [translation("x", "a"), translation("x", "a", finished=False), translation("x", "a", split=True)]
    in_parts, cut = said(None, lines, capsys)
    assert "1 line was too long" in in_parts
    assert "(first: 3)" in in_parts
    assert "1 line was translated only up to the limit" in cut
    assert "(first: 2)" in cut


def test_words_that_are_missing_or_forbidden_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    wishes = Wishes(Longest(), ["b ab"], ["a"], Terms({"y": "b"}))
    texts = [("x", "a"), ("x", "b"), ("y", "a"), ("y", "a b"), ("x", "a b ab"), ("y", "b ab")]
    lacking, forbidden = said(wishes, [translation(*pair) for pair in texts], capsys)
    assert "3 lines were translated without a required word" in lacking
    assert "(first: 2, 3, 6)" in lacking
    assert "2 lines were translated with a forbidden word" in forbidden
    assert "(first: 5, 6)" in forbidden


def test_an_empty_line_lacks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(Wishes(Longest(), ["b"], ["a"]), [Translation(""), Translation(" ")], capsys) == []
