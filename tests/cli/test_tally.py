"""Lines that are counted, not remembered."""

from __future__ import annotations

import pytest

from mtcli.cli.tally import Tally


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], ""),
        ([7], "warning: 1 line was odd (first: 7)\n"),
        ([2, 3, 5, 8], "warning: 4 lines were odd (first: 2, 3, 5)\n"),
        (range(1, 2001), "warning: 2,000 lines were odd (first: 1, 2, 3)\n"),
    ],
)
def test_the_first_lines_and_how_many(numbers: list[int], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    tally = Tally()
    for number in numbers:
        tally.add(number)
        tally.add(-number, False)
    tally.warn("odd", "was", "were")
    assert capsys.readouterr().err == expected
    assert len(tally.first) <= 3
