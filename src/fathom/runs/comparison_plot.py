"""The score of each group against a cost, as a picture."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from fathom.log import format_bytes, format_duration
from fathom.runs.comparison import Comparison, Group
from fathom.runs.comparison_tables import label_of
from fathom.training.scores import is_better

WIDTH, HEIGHT, MARGIN = 420, 300, 48


def score_against(found: Comparison, cost: str, title: str) -> str:
    """Return a figure with the cost on a logarithmic axis; filled points are on the front.

    Groups whose cost is not known are left out; nothing is drawn where it is known of none.
    """
    groups = [group for group in found.groups if cost in group.figures]
    if not groups:
        return ""
    logs = [math.log10(max(group.figures[cost], 1e-9)) for group in groups]
    scores = [group.score for group in groups]
    points = []
    for group, log in zip(groups, logs, strict=True):
        x, y = _scaled(log, logs, MARGIN, WIDTH - MARGIN), _scaled(group.score, scores, HEIGHT - MARGIN, MARGIN)
        fill = "#0969da" if cost in group.front else "#fff"
        anchor = "end" if x > WIDTH * 0.6 else "start"
        shift = -8 if anchor == "end" else 8
        points.append(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r=5 fill='{fill}' stroke='#0969da'/>"
            f"<text x='{x + shift:.1f}' y='{y - 7:.1f}' text-anchor='{anchor}'>{html.escape(label_of(group))}</text>"
        )
    ordered = sorted(groups, key=lambda group: group.figures[cost])
    better = "up is better" if is_better(found.metric, 1.0, 0.0) else "down is better"
    return (
        f"<figure><svg width={WIDTH} height={HEIGHT} role=img aria-label='{html.escape(found.metric)} against "
        f"{html.escape(title)}'><path d='M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}' fill=none "
        f"stroke='#8c959f'/>{''.join(points)}"
        f"<text x={MARGIN} y={HEIGHT - MARGIN + 16}>{_amount(cost, ordered[0])}</text>"
        f"<text x={WIDTH - MARGIN} y={HEIGHT - MARGIN + 16} text-anchor=end>{_amount(cost, ordered[-1])}</text>"
        f"<text x={MARGIN - 6} y={HEIGHT - MARGIN} text-anchor=end>{min(scores):.3f}</text>"
        f"<text x={MARGIN - 6} y={MARGIN + 4} text-anchor=end>{max(scores):.3f}</text></svg>"
        f"<figcaption>{html.escape(found.metric)} ({better}) against {html.escape(title)}, logarithmic</figcaption>"
        "</figure>"
    )


def _amount(cost: str, group: Group) -> str:
    """A cost in its unit."""
    value = group.figures[cost]
    if cost.endswith("_bytes"):
        return format_bytes(int(value))
    return format_duration(value) if cost.endswith("_seconds") else f"{value:,.0f}"


def _scaled(value: float, values: Sequence[float], start: float, end: float) -> float:
    low, high = min(values), max(values)
    share = 0.5 if high == low else (value - low) / (high - low)
    return start + share * (end - start)
