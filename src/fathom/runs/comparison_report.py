"""A comparison as a page: Markdown for a repository, HTML with plots for a browser."""

from __future__ import annotations

import html

from fathom.runs.comparison import Comparison, Group
from fathom.runs.comparison_plot import score_against
from fathom.runs.comparison_tables import FORECAST, SHARED, Table, is_shared, label_of, tables_of
from fathom.runs.halving_report import halving_html, halving_markdown

PLOTTED = {
    "trainable": "trained parameters",
    "train_seconds": "time of training",
    "own_memory_bytes": "peak memory",
    "artifact_bytes": "size on disk",
}
TOGETHER = (
    "These trials were trained in one process: the memory is that of the process, the time a trial's share of the "
    "passes they have in common, by its tokens, and what it had to itself."
)
ALONE = "What the trial would have taken in a process of its own, by forecast; the front of peak memory goes by it."
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{padding:.35rem .6rem;border-bottom:1px solid #d8dee4;text-align:right;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left;white-space:normal}"
    "tbody tr:first-child{font-weight:600}figure{display:inline-block;margin:1rem 1rem 0 0}figcaption{color:#57606a}"
    "text{font:11px system-ui,sans-serif;fill:#57606a}"
)


def findings(found: Comparison) -> list[str]:
    """Return what follows from the figures, in sentences."""
    if not found.groups:
        return []
    best = found.groups[0]
    lines = [f"{label_of(best)} is best: {found.metric} {best.score:.4f} on {found.split}."]
    level = [label_of(group) for group in found.groups[1:] if group.p_value is not None and group.p_value > 0.05]
    if level:
        lines.append(f"Not told apart from it by {found.split} (p above 0.05): {', '.join(level)}.")
    others = [label_of(group) for group in found.groups[1:] if _scored_elsewhere(group, best)]
    if others:
        lines.append(f"Scored on other examples than it, so that luck cannot be told: {', '.join(others)}.")
    for cost, title in PLOTTED.items():
        front = sorted((group for group in found.groups if cost in group.front), key=lambda item: item.figures[cost])
        if len(front) > 1:
            lines.append(f"Best for what they cost in {title}: {', '.join(label_of(group) for group in front)}.")
    return lines + _notes_on_memory(found)


def _scored_elsewhere(group: Group, best: Group) -> bool:
    return group.examples is not None and best.examples is not None and group.examples != best.examples


def _notes_on_memory(found: Comparison) -> list[str]:
    """Say whose memory it is, where several trials were trained in one process."""
    lines = []
    if any(is_shared(group) for group in found.groups):
        lines.append(f"{SHARED} {TOGETHER}")
    if any(is_shared(group) and "own_memory_bytes" in group.figures for group in found.groups):
        lines.append(f"{FORECAST} {ALONE}")
    unknown = [label_of(group) for group in found.groups if "own_memory_bytes" not in group.figures]
    if unknown:
        lines.append(f"Peak memory of their own is not known, and no front has them: {', '.join(unknown)}.")
    return lines


def markdown_report(found: Comparison, source: str) -> str:
    """Return the page as Markdown."""
    lines = [f"# Comparison of {source}", ""]
    if found.halving is not None:
        lines += halving_markdown(found.halving)
    if found.groups:
        lines += ["## Trained to the end", ""] if found.halving is not None else []
        lines += [*(f"- {line}" for line in findings(found)), ""]
        for table in tables_of(found):
            lines += _markdown(table)
    if found.failures:
        lines += ["## Failed", "", *(f"- {item.name}: {item.error}" for item in found.failures)]
    return "\n".join(lines).rstrip() + "\n"


def _markdown(table: Table) -> list[str]:
    lines = [f"## {table.title}", ""] if table.title else []
    lines += [f"| | {' | '.join(table.header)} |", f"|---|{'---:|' * len(table.header)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in table.rows), "", table.explained, ""]


def html_report(found: Comparison, source: str) -> str:
    """Return the page as one HTML file: the tables, and the score against each cost."""
    escaped = html.escape
    said = "".join(f"<li>{escaped(line)}</li>" for line in findings(found))
    first, *others = [_html(table) for table in tables_of(found)] if found.groups else ["<p>Nothing finished.</p>"]
    failed = "".join(f"<li>{escaped(item.name)}: {escaped(item.error or '')}</li>" for item in found.failures)
    plots = "".join(score_against(found, cost, title) for cost, title in PLOTTED.items())
    spent = "" if found.halving is None else f"{halving_html(found.halving)}<h2>Trained to the end</h2>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Comparison of {escaped(source)}</title>"
        f"<style>{STYLE}</style><h1>Comparison of {escaped(source)}</h1>{spent}<ul>{said}</ul>"
        f"{first}{plots}{''.join(others)}" + (f"<h2>Failed</h2><ul>{failed}</ul>" if failed else "") + "</html>\n"
    )


def _html(table: Table) -> str:
    escaped = html.escape
    title = f"<h2>{escaped(table.title)}</h2>" if table.title else ""
    head = "".join(f"<th>{escaped(heading)}</th>" for heading in ("", *table.header))
    body = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{escaped(table.explained)}</p>"
