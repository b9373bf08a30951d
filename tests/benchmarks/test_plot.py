"""The picture: well-formed, straight for powers, with every name once and legible."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plot import BOTTOM, HEIGHT, LINE, WIDTH, apart, log_log

SVG = "{http://www.w3.org/2000/svg}"


def corners(picture: str) -> list[list[tuple[float, float]]]:
    lines = ElementTree.fromstring(picture).iter(f"{SVG}polyline")
    return [[tuple(map(float, corner.split(","))) for corner in line.attrib["points"].split()] for line in lines]  # type: ignore[misc]


def test_a_power_is_a_straight_line_and_a_square_twice_as_steep() -> None:
    lines = {f"n^{power}": {float(n): float(n) ** power for n in (1, 2, 4, 8, 16)} for power in (1, 2)}
    slopes = []
    for line in corners(log_log("title", "n", "s", lines)):
        steps = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in itertools.pairwise(line)]
        assert steps == pytest.approx([steps[0]] * len(steps), abs=0.01)
        slopes.append(steps[0])
    assert slopes[1] == pytest.approx(2 * slopes[0], abs=0.01)


def test_names_are_text_and_stay_within_the_picture() -> None:
    lines = {f"<{name}> & co": {1.0: 1.0, 128.0: 0.001} for name in "abcdefgh"}
    picture = log_log("title", "n", "s", lines)
    words = list(ElementTree.fromstring(picture).iter(f"{SVG}text"))
    for name in lines:
        (found,) = [word for word in words if word.text == name]
        assert 0 < float(found.attrib["x"]) < WIDTH
        assert 0 < float(found.attrib["y"]) < HEIGHT


@given(st.lists(st.floats(0, HEIGHT), min_size=1, max_size=20))
def test_names_keep_apart_and_in_order(heights: list[float]) -> None:
    before = {str(place): height for place, height in enumerate(heights)}
    after = apart(before)
    ordered = sorted(after.values())
    assert all(b - a >= LINE - 1e-6 for a, b in itertools.pairwise(ordered))
    assert max(ordered) <= HEIGHT - BOTTOM
    assert sorted(before, key=lambda name: before[name]) == sorted(after, key=lambda name: after[name])
