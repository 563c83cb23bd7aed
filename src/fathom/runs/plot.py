"""Plots as SVG for the pages that runs write: points and lines on two axes, nothing to install, nothing to load."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, MARGIN = 460, 300, 56
BLUE, GREY, RED = "#0969da", "#8c959f", "#cf222e"


@dataclass(frozen=True)
class Axis:
    """One axis of a plot.

    Attributes:
        title: What is plotted.
        low: Its first number.
        high: Its last number.
        ticks: Numbers that are written, with their text.
        logarithmic: Whether ratios count.
    """

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    @classmethod
    def of(cls, title: str, values: Sequence[float], *, logarithmic: bool = False) -> Axis:
        """Return the axis that holds all finite values."""
        finite = [value for value in values if math.isfinite(value)] or [1.0]
        low, high = min(finite), max(finite)
        return cls(
            title, low, high, tuple((value, f"{value:.4g}") for value in dict.fromkeys((low, high))), logarithmic
        )

    def share(self, value: float) -> float:
        """Return where on the axis a number lies, between 0 and 1."""
        if self.high == self.low:
            return 0.5
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))


@dataclass(frozen=True)
class Series:
    """Points, or a line through them.

    Attributes:
        points: (x, y).
        colour: Of the line or of the rims.
        line: Whether they are joined.
        hollow: Whether the points are rings.
        names: What is shown when the mouse rests on a point.
    """

    points: Sequence[tuple[float, float]]
    colour: str = BLUE
    line: bool = False
    hollow: bool = False
    names: Sequence[str] = ()


def plot(series: Sequence[Series], x: Axis, y: Axis, marks: Sequence[tuple[float, str]] = ()) -> str:
    """Return a figure.

    Args:
        series: Drawn in order.
        x: The horizontal axis.
        y: The vertical axis.
        marks: Vertical lines, each with a word.
    """
    drawn = [_frame(x, y)]
    for number, (value, word) in enumerate(marks):
        place = _across(x, value)
        drawn.append(
            f"<path d='M{place:.1f} {MARGIN / 2}V{HEIGHT - MARGIN}' stroke='{RED}' stroke-dasharray='4 3'/>"
            f"<text x='{place + 4:.1f}' y='{MARGIN / 2 + 10 + 14 * number}'>{html.escape(word)}</text>"
        )
    drawn += [_series(one, x, y) for one in series]
    named = html.escape(f"{y.title} against {x.title}")
    scale = ", logarithmic" if x.logarithmic else ""
    return (
        f"<figure><svg width={WIDTH} height={HEIGHT} role=img aria-label='{named}'>{''.join(drawn)}</svg>"
        f"<figcaption>{named}{scale}</figcaption></figure>"
    )


def _frame(x: Axis, y: Axis) -> str:
    lines = [f"<path d='M{MARGIN} {MARGIN / 2}V{HEIGHT - MARGIN}H{WIDTH - MARGIN / 2}' fill=none stroke='{GREY}'/>"]
    for value, word in x.ticks:
        lines.append(
            f"<text x='{_across(x, value):.1f}' y={HEIGHT - MARGIN + 16} text-anchor=middle>{html.escape(word)}</text>"
        )
    for value, word in y.ticks:
        lines.append(f"<text x={MARGIN - 6} y='{_up(y, value) + 4:.1f}' text-anchor=end>{html.escape(word)}</text>")
    return "".join(lines)


def _series(one: Series, x: Axis, y: Axis) -> str:
    places = [(_across(x, a), _up(y, b)) for a, b in one.points if math.isfinite(b)]
    if one.line:
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        return f"<polyline points='{path}' fill=none stroke='{one.colour}' stroke-width=1.5 />"
    fill = "#fff" if one.hollow else one.colour
    names = list(one.names) or [""] * len(places)
    return "".join(
        f"<circle cx='{across:.1f}' cy='{up:.1f}' r=4 fill='{fill}' stroke='{one.colour}'>"
        f"<title>{html.escape(name)}</title></circle>"
        for (across, up), name in zip(places, names, strict=False)
    )


def _across(x: Axis, value: float) -> float:
    return MARGIN + x.share(value) * (WIDTH - 1.5 * MARGIN)


def _up(y: Axis, value: float) -> float:
    return HEIGHT - MARGIN - y.share(value) * (HEIGHT - 1.5 * MARGIN)
