"""Figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.rounds import Figures


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [" | ".join(header), " | ".join("---" for _ in header), *(" | ".join(row) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def span(values: Figures, digits: int = 2, scale: float = 1.0) -> str:
    """Return 'median (lowest-highest)'."""
    middle, low, high = (f"{values[key] * scale:,.{digits}f}" for key in ("median", "min", "max"))
    return f"{middle} ({low}-{high})"


def ratio_rows(summary: Figures) -> Iterator[list[str]]:
    """Yield a row for each ratio of a comparison, with its bar."""
    for key, ratio in summary["ratios"].items():
        bar = summary["bars"].get(key)
        told = [] if bar is None else ["" if bar[name] is None else f"{bar[name]:g}" for name in ("needed", "aim")]
        bars = [*told, summary["verdicts"][key]] if bar else ["", "", ""]
        yield [key.replace("_", " "), span(ratio), *bars]
