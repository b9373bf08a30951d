"""A log-log plot as SVG, from the standard library alone; lines differ in colour, dashes and a name at their end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, TOP, BOTTOM = 80, 190, 40, 50
# Okabe & Ito's colours, which differ for colour-blind readers too; black for the first line.
COLOURS = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00")
DASHES = ("none", "6 3", "2 3", "10 3 2 3")
LINE = 14
"""Pixels from one name to the next."""

Points = Mapping[float, float]
"""From x to y, both above 0."""


class Axis:
    """Logarithms of values, laid between two pixels and widened to whole powers of its base."""

    def __init__(self, values: list[float], first: float, last: float, base: int) -> None:
        self.first, self.last, self.base = first, last, base
        # Rounded, since the logarithm of a power may miss its exponent by a hair.
        self.low = math.floor(round(min(math.log(value, base) for value in values), 9))
        self.high = max(self.low + 1, math.ceil(round(max(math.log(value, base) for value in values), 9)))

    def place(self, value: float) -> float:
        """The pixel of a value."""
        share = (math.log(value, self.base) - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    def ticks(self) -> list[float]:
        """The powers of the base."""
        return [float(self.base) ** power for power in range(self.low, self.high + 1)]


def log_log(title: str, x_label: str, y_label: str, lines: Mapping[str, Points]) -> str:
    """The picture of some lines; x is divided at powers of two, y at powers of ten."""
    lines = {name: points for name, points in lines.items() if points}
    x = Axis([value for points in lines.values() for value in points], LEFT, WIDTH - RIGHT, 2)
    y = Axis([value for points in lines.values() for value in points.values()], HEIGHT - BOTTOM, TOP, 10)
    body = [*grid(x, y), *drawn(lines, x, y)]
    middle = (LEFT + WIDTH - RIGHT) / 2
    body.append(text(middle, TOP - 18, title, anchor="middle", size=15))
    body.append(text(middle, HEIGHT - 12, x_label, anchor="middle"))
    body.append(text(LEFT, TOP - 6, y_label, anchor="end"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *body, "</svg>", ""])


def grid(x: Axis, y: Axis) -> Iterator[str]:
    """Thin lines at the ticks, with their values."""
    for value in x.ticks():
        yield line(x.place(value), y.first, x.place(value), y.last)
        yield text(x.place(value), y.first + 18, f"{value:,.0f}", anchor="middle")
    for value in y.ticks():
        yield line(x.first, y.place(value), x.last, y.place(value))
        yield text(x.first - 6, y.place(value) + 4, f"{value:,g}", anchor="end")


def drawn(lines: Mapping[str, Points], x: Axis, y: Axis) -> Iterator[str]:
    """The lines, and their names where they end."""
    styles = {
        name: (COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]) for number, name in enumerate(lines)
    }
    for name, points in lines.items():
        colour, dash = styles[name]
        corners = " ".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in sorted(points.items()))
        pen = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        yield f'<polyline points="{corners}" {pen}/>'
    ends = {name: y.place(points[max(points)]) for name, points in lines.items()}
    for name, height in apart(ends).items():
        end = x.place(max(lines[name]))
        colour, dash = styles[name]
        yield line(end, ends[name], x.last + 8, height - 4, colour, dash)
        yield text(x.last + 12, height, name, colour=colour)


def apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Heights in the same order, moved down until they are a line apart, and up again from the lower edge."""
    moved: dict[str, float] = {}
    lowest = -math.inf
    for name in sorted(heights, key=lambda each: heights[each]):
        lowest = moved[name] = max(heights[name], lowest + LINE)
    highest = HEIGHT - BOTTOM + LINE
    for name in reversed(moved):
        highest = moved[name] = min(moved[name], highest - LINE)
    return moved


def line(x1: float, y1: float, x2: float, y2: float, colour: str = "#cccccc", dash: str = "none") -> str:
    """A thin line."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="1" stroke-dasharray="{dash}"/>'


def text(x: float, y: float, content: str, anchor: str = "start", size: int = 12, colour: str = "black") -> str:
    """Words at a place."""
    style = f'text-anchor="{anchor}" font-size="{size}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(content)}</text>'
