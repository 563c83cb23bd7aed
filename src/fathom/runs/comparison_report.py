"""A comparison as a page: Markdown for a repository, HTML with plots for a browser."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

from fathom.log import format_bytes, format_duration
from fathom.runs.comparison import Comparison, Group
from fathom.runs.halving import label
from fathom.runs.halving_report import halving_html, halving_markdown
from fathom.training.scores import is_better

HEADER = ("score", "seeds", "p", "trained", "share", "training", "tokens/s", "peak memory", "forecast", "saved")
PLOTTED = {
    "trainable": "trained parameters",
    "train_seconds": "time of training",
    "peak_memory_bytes": "peak memory",
    "artifact_bytes": "size on disk",
}
SHARED = "*"
"""Marks the memory of a process that trained several trials, where it cannot be told whose it was."""
TOGETHER = (
    "These trials were trained in one process: the memory is that of the process, the time a trial's share of the "
    "passes they have in common, by its tokens, and what it had to itself."
)
WIDTH, HEIGHT, MARGIN = 420, 300, 48
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{padding:.35rem .6rem;border-bottom:1px solid #d8dee4;text-align:right;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left;white-space:normal}"
    "tbody tr:first-child{font-weight:600}figure{display:inline-block;margin:1rem 1rem 0 0}figcaption{color:#57606a}"
    "text{font:11px system-ui,sans-serif;fill:#57606a}"
)


def rows_of(found: Comparison) -> list[list[str]]:
    """Return a line for each group, the label first, in the order of `HEADER`."""
    return [[label_of(group), *_cells(group)] for group in found.groups]


def label_of(group: Group) -> str:
    """Return what a group has that others have not."""
    return label(group.settings)


def _cells(group: Group) -> list[str]:
    figures = group.figures
    spread = "" if group.deviation is None else f" ± {group.deviation:.4f}"
    return [
        f"{group.score:.4f}{spread}",
        str(len(group.scores)),
        "" if group.p_value is None else "<0.001" if group.p_value < 0.001 else f"{group.p_value:.3f}",
        f"{figures['trainable']:,.0f}",
        f"{figures['trainable'] / figures['total']:.2%}",
        format_duration(figures["train_seconds"]),
        f"{figures['real_tokens_per_s']:,.0f}",
        format_bytes(int(figures["peak_memory_bytes"])) + (SHARED if "together" in figures else ""),
        f"{figures['memory_error']:+.1%}" if "memory_error" in figures else "",
        format_bytes(int(figures["artifact_bytes"])),
    ]


def findings(found: Comparison) -> list[str]:
    """Return what follows from the figures, in sentences."""
    if not found.groups:
        return []
    best = found.groups[0]
    lines = [f"{label_of(best)} is best: {found.metric} {best.score:.4f} on {found.split}."]
    level = [label_of(group) for group in found.groups[1:] if group.p_value is not None and group.p_value > 0.05]
    if level:
        lines.append(f"Not told apart from it by {found.split} (p above 0.05): {', '.join(level)}.")
    for cost, title in PLOTTED.items():
        front = sorted((group for group in found.groups if cost in group.front), key=lambda item: item.figures[cost])
        if len(front) > 1:
            lines.append(f"Best for what they cost in {title}: {', '.join(label_of(group) for group in front)}.")
    if any("together" in group.figures for group in found.groups):
        lines.append(f"{SHARED} {TOGETHER}")
    return lines


def markdown_report(found: Comparison, source: str) -> str:
    """Return the page as Markdown."""
    lines = [f"# Comparison of {source}", ""]
    if found.halving is not None:
        lines += halving_markdown(found.halving)
    if found.groups:
        lines += ["## Trained to the end", ""] if found.halving is not None else []
        lines += [*(f"- {line}" for line in findings(found)), ""]
        lines += [f"| | {' | '.join(HEADER)} |", f"|---|{'---:|' * len(HEADER)}"]
        lines += [f"| {' | '.join(row)} |" for row in rows_of(found)]
        lines += ["", _explained(found)]
    if found.failures:
        lines += ["", "## Failed", "", *(f"- {item.name}: {item.error}" for item in found.failures)]
    return "\n".join(lines) + "\n"


def html_report(found: Comparison, source: str) -> str:
    """Return the page as one HTML file: the table, and the score against each cost."""
    escaped = html.escape
    said = "".join(f"<li>{escaped(line)}</li>" for line in findings(found))
    head = "".join(f"<th>{escaped(title)}</th>" for title in ("", *HEADER))
    body = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows_of(found))
    failed = "".join(f"<li>{escaped(item.name)}: {escaped(item.error or '')}</li>" for item in found.failures)
    plots = "".join(_figure(found, cost, title) for cost, title in PLOTTED.items()) if found.groups else ""
    spent = "" if found.halving is None else f"{halving_html(found.halving)}<h2>Trained to the end</h2>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Comparison of {escaped(source)}</title>"
        f"<style>{STYLE}</style><h1>Comparison of {escaped(source)}</h1>{spent}<ul>{said}</ul>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{escaped(_explained(found)) if found.groups else 'Nothing finished.'}</p>{plots}"
        + (f"<h2>Failed</h2><ul>{failed}</ul>" if failed else "")
        + "</html>\n"
    )


def _explained(found: Comparison) -> str:
    return (
        f"Score: {found.metric} on {found.split}, mean over seeds and standard deviation. p: chance of as large a "
        "difference from the best by luck, from the same examples (approximate randomization; not corrected for the "
        "number of rows). forecast: error of the forecast of peak memory. Costs are medians over seeds."
    )


def _figure(found: Comparison, cost: str, title: str) -> str:
    """Score against one cost on a logarithmic axis; filled points are on the front."""
    logs = [math.log10(max(group.figures[cost], 1e-9)) for group in found.groups]
    scores = [group.score for group in found.groups]
    points = []
    for group, log in zip(found.groups, logs, strict=True):
        x, y = _scaled(log, logs, MARGIN, WIDTH - MARGIN), _scaled(group.score, scores, HEIGHT - MARGIN, MARGIN)
        fill = "#0969da" if cost in group.front else "#fff"
        anchor = "end" if x > WIDTH * 0.6 else "start"
        shift = -8 if anchor == "end" else 8
        points.append(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r=5 fill='{fill}' stroke='#0969da'/>"
            f"<text x='{x + shift:.1f}' y='{y - 7:.1f}' text-anchor='{anchor}'>{html.escape(label_of(group))}</text>"
        )
    low, high = min(found.groups, key=_cost(cost)), max(found.groups, key=_cost(cost))
    better = "up is better" if is_better(found.metric, 1.0, 0.0) else "down is better"
    return (
        f"<figure><svg width={WIDTH} height={HEIGHT} role=img aria-label='{html.escape(found.metric)} against "
        f"{html.escape(title)}'><path d='M{MARGIN} {MARGIN}V{HEIGHT - MARGIN}H{WIDTH - MARGIN}' fill=none "
        f"stroke='#8c959f'/>{''.join(points)}"
        f"<text x={MARGIN} y={HEIGHT - MARGIN + 16}>{_amount(cost, low)}</text>"
        f"<text x={WIDTH - MARGIN} y={HEIGHT - MARGIN + 16} text-anchor=end>{_amount(cost, high)}</text>"
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


def _cost(name: str) -> Callable[[Group], float]:
    return lambda group: group.figures[name]


def _scaled(value: float, values: Sequence[float], start: float, end: float) -> float:
    low, high = min(values), max(values)
    share = 0.5 if high == low else (value - low) / (high - low)
    return start + share * (end - start)
