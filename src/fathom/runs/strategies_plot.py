"""Several tuning strategies on one model as a picture: depth from left to right, a row for each strategy."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fathom.model.ledger_text import mebibytes
from fathom.runs.strategies_text import depth_places, trainable_at

if TYPE_CHECKING:
    from fathom.model.ledger import Ledger

ROW, TOP, BOTTOM = 26, 64, 34
CELL, CELLS_LEFT, BARS, PAD = 74, 210, 180, 24
FONT = "font:12px system-ui,sans-serif;fill:#1b1f24"
SMALL = "font:11px system-ui,sans-serif;fill:#57606a"
BLUE = (9, 105, 218)


def strategies_svg(ledgers: Mapping[str, Ledger], title: str) -> str:
    """Return an SVG: how many parameters learn at each depth, darker for more, and the forecast of peak memory.

    Args:
        ledgers: By strategy.
        title: What model, batch and precision they are of.
    """
    places = depth_places(ledgers)
    bars_left = CELLS_LEFT + CELL * len(places) + PAD
    width, height = bars_left + BARS + 90, TOP + ROW * len(ledgers) + BOTTOM
    most = max(max(trainable_at(ledger, place) for place in places) for ledger in ledgers.values())
    largest = max(ledger.memory.total for ledger in ledgers.values())
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' role='img' aria-label='{html.escape(title)}'>",
        "<rect width='100%' height='100%' fill='#fff'/>",
        _text(12, 22, title, FONT + ";font-weight:600"),
        *(
            _text(CELLS_LEFT + CELL * (at + 0.5), TOP - 10, heading.removesuffix(", each"), SMALL, "middle")
            for at, (heading, _) in enumerate(places)
        ),
        _text(bars_left, TOP - 10, "peak memory, MiB", SMALL),
    ]
    for number, (name, ledger) in enumerate(ledgers.items()):
        y = TOP + ROW * number
        parts.append(_text(12, y + 17, name if len(name) < 30 else f"{name[:29]}…", FONT))
        for at, place in enumerate(places):
            parts.append(_cell(CELLS_LEFT + CELL * at, y, trainable_at(ledger, place), most))
        length = BARS * ledger.memory.total / largest
        parts.append(f"<rect x='{bars_left}' y='{y + 4}' width='{length:.1f}' height='{ROW - 8}' fill='#8c959f'/>")
        parts.append(_text(bars_left + length + 6, y + 17, mebibytes(ledger.memory.total), SMALL))
    explained = "Cells: parameters that learn at a depth (in each block of a range), shaded by their logarithm."
    parts.append(_text(12, height - 12, explained, SMALL))
    return "".join([*parts, "</svg>\n"])


def _cell(x: float, y: float, count: int, most: int) -> str:
    share = math.log10(1 + count) / math.log10(1 + most) if most else 0.0
    red, green, blue = (round(255 + (tone - 255) * share) for tone in BLUE)
    shade = f"<rect x='{x + 1}' y='{y + 1}' width='{CELL - 2}' height='{ROW - 2}' fill='rgb({red},{green},{blue})'/>"
    if not count:
        return shade
    style = SMALL.replace("#57606a", "#fff" if share > 0.6 else "#1b1f24")
    return shade + _text(x + CELL / 2, y + 17, short_count(count), style, "middle")


def short_count(count: int) -> str:
    """Write a count in at most three digits and a unit."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f"<text x='{x:.1f}' y='{y}' text-anchor='{anchor}' style='{style}'>{html.escape(text)}</text>"
