"""A search as a page: Markdown for a repository, HTML with plots for a browser."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import yaml

from fathom.config import parse_yaml
from fathom.log import format_duration
from fathom.runs.comparison_report import STYLE
from fathom.runs.plot import BLUE, GREY, Axis, Series, plot
from fathom.runs.search_result import FEWEST_FOR_IMPORTANCE, Record, SearchResult

NEAR_END = 0.05
"""Share of an interval that counts as its end."""
EXPLAINED = (
    "score: on the validation split, of the weights the run kept; a trial that was stopped early has the last score it "
    "logged, in brackets. test: the same score on the test split, which never chooses. evaluations: how often it was "
    "scored. The best of many trials has had luck on validation too: believe the test split, or train the recipe again "
    "with other seeds."
)


def header_of(found: SearchResult) -> list[str]:
    """Return the titles of the table's columns."""
    return ["trial", *(short(key) for key in found.ranges), found.metric, "test", "evaluations", "time", ""]


def rows_of(found: SearchResult) -> list[list[str]]:
    """Return a line for each trial, in the order of the result."""
    return [_row(found, record) for record in found.records]


def short(key: str) -> str:
    """Return a key as a column's title."""
    return key.removeprefix("training.")


def findings(found: SearchResult) -> list[str]:
    """Return what follows from the figures, in sentences."""
    states = {state: len(found.having(state)) for state in ("complete", "pruned", "failed", "running", "stopped")}
    told = {"pruned": "stopped early", "running": "at work in another process", "stopped": "to go on"}
    counts = ", ".join(f"{count} {told.get(state, state)}" for state, count in states.items() if count)
    best = found.best
    if best is None:
        return [f"No trial is finished ({counts or 'none was begun'})."]
    shown = ", ".join(f"{key}={value}" for key, value in best.settings.items())
    test = "" if best.test is None else f", {best.test:.4f} on test"
    lines = [
        f"{best.name} is best: {found.metric} {best.score:.4f} on validation{test}, with {shown}.",
        f"{len(found.records)} trials: {counts}.",
    ]
    if found.importance:
        shares = ", ".join(f"{short(key)} {share:.0%}" for key, share in found.importance.items())
        lines.append(f"What told the best trials from the others: {shares} (PED-ANOVA, finished trials only).")
    else:
        lines.append(f"Which key mattered is not told by fewer than {FEWEST_FOR_IMPORTANCE} finished trials.")
    for key in found.ranges:
        end = _end(found, best, key)
        if end is not None:
            lines.append(f"{key}={best.settings[key]} lies at the {end} end of its range: look further there.")
    if states["stopped"]:
        lines.append("The same command goes on with the trials that are not finished.")
    return lines


def markdown_report(found: SearchResult, source: str) -> str:
    """Return the page as Markdown."""
    header = header_of(found)
    lines = [f"# Search of {source}", "", *(f"- {line}" for line in findings(found)), ""]
    lines += ["| key | range |", "|---|---|", *(f"| {key} | {text} |" for key, text in found.ranges.items()), ""]
    lines += [f"| {' | '.join(header)} |", f"|---|{'---:|' * (len(header) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows_of(found)]
    lines += ["", EXPLAINED]
    if found.best_recipe:
        lines += ["", f"The best recipe: `fathom train {found.best_recipe}`"]
    failed = [record for record in found.records if record.error]
    if failed:
        lines += ["", "## Failed", "", *(f"- {record.name}: {record.error}" for record in failed)]
    return "\n".join(lines) + "\n"


def html_report(found: SearchResult, source: str) -> str:
    """Return the page as one HTML file: the table, and the score against each key."""
    escaped = html.escape
    said = "".join(f"<li>{escaped(line)}</li>" for line in findings(found))
    head = "".join(f"<th>{escaped(title)}</th>" for title in header_of(found))
    body = "".join(f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows_of(found))
    failed = "".join(
        f"<li>{escaped(record.name)}: {escaped(record.error)}</li>" for record in found.records if record.error
    )
    best = (
        f"<p>The best recipe: <code>fathom train {escaped(found.best_recipe)}</code></p>" if found.best_recipe else ""
    )
    title = f"Search of {escaped(source)}"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1><ul>{said}</ul>{best}{''.join(_figure(found, key) for key in found.ranges)}"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{EXPLAINED}</p>"
        + (f"<h2>Failed</h2><ul>{failed}</ul>" if failed else "")
        + "</html>\n"
    )


def _row(found: SearchResult, record: Record) -> list[str]:
    last = record.curve[-1] if record.curve else None
    score = f"{record.score:.4f}" if record.score is not None else "" if last is None else f"({last:.4f})"
    state = {"complete": "", "pruned": "stopped early"}.get(record.state, record.state)
    return [
        str(record.number),
        *(record.settings.get(key, "") for key in found.ranges),
        score,
        "" if record.test is None else f"{record.test:.4f}",
        str(len(record.curve)),
        "" if record.seconds is None else format_duration(record.seconds),
        state,
    ]


def _figure(found: SearchResult, key: str) -> str:
    """Score against one key; rings are trials that were stopped early, at their last score."""
    points = []
    for record in found.records:
        last = record.curve[-1] if record.curve else None
        height = record.score if record.score is not None else last
        if key in record.settings and height is not None:
            points.append((record, height))
    if not points:
        return ""
    numbers = [number_of(record.settings[key]) for record, _ in points]
    if any(number is None for number in numbers):
        words = list(dict.fromkeys(record.settings[key] for record, _ in points))
        places = [float(words.index(record.settings[key])) for record, _ in points]
        across = Axis(key, -0.5, len(words) - 0.5, tuple((float(index), word) for index, word in enumerate(words)))
    else:
        places = [number for number in numbers if number is not None]
        across = Axis.of(key, places, logarithmic=found.ranges[key].startswith("log") and min(places) > 0)
    up = Axis.of(found.metric, [height for _, height in points])
    drawn = []
    for complete in (False, True):
        chosen = [index for index, (record, _) in enumerate(points) if (record.score is not None) is complete]
        names = [f"{points[index][0].name}: {points[index][1]:.4f}" for index in chosen]
        dots = [(places[index], points[index][1]) for index in chosen]
        drawn.append(Series(dots, BLUE if complete else GREY, hollow=not complete, names=names))
    return plot(drawn, across, up)


def number_of(text: str) -> float | None:
    """Return the number a YAML value is, None where it is something else."""
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _end(found: SearchResult, best: Record, key: str) -> str | None:
    """Name the end of an interval at which the best value lies, None where it lies within or nowhere."""
    form, _, inside = found.ranges[key].removesuffix(")").partition("(")
    value = number_of(best.settings.get(key, ""))
    if not inside or value is None or len(found.having("complete")) < FEWEST_FOR_IMPORTANCE:
        return None
    ends: Sequence[float] = [float(part) for part in inside.split(",")[:2]]
    low, high, at = (*ends, value) if not form.startswith("log") else (*map(math.log, ends), math.log(value))
    share = (at - low) / (high - low) if high > low else 0.5
    return "lower" if share <= NEAR_END else "upper" if share >= 1 - NEAR_END else None
