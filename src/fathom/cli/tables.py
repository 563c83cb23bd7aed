"""Results as plain text: aligned columns, no colour, the same in a terminal and in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import east_asian_width

from fathom.log import format_value


def table_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows under a header; numbers to the right, text to the left."""
    cells = [list(header), *([_shown(value) for value in row] for row in rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(header))]
    numeric = [column > 0 and all(map(_is_number, (row[column] for row in rows))) for column in range(len(header))]
    return "\n".join(
        "  ".join(_padded(cell, widths[column], numeric[column]) for column, cell in enumerate(row)).rstrip()
        for row in cells
    )


def scores_text(scores: Mapping[str, Any]) -> str:
    """Return scores: plain numbers one a line, then each nested table of `{row: {column: number}}`."""
    plain = [(key, value) for key, value in scores.items() if not isinstance(value, Mapping)]
    lines = [f"{key:<24}{_shown(value)}" for key, value in plain]
    for key, value in scores.items():
        if isinstance(value, Mapping) and value:
            lines += ["", key, _nested_text(value)]
    return "\n".join(lines)


def _nested_text(rows: Mapping[str, Any]) -> str:
    if not all(isinstance(row, Mapping) for row in rows.values()):
        return "\n".join(f"  {key:<22}{_shown(value)}" for key, value in rows.items())
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    return table_text(
        ["", *columns], [[name, *(row.get(column, "") for column in columns)] for name, row in rows.items()]
    )


def _shown(value: Any) -> str:
    return format_value(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or value == "" or str(value).lstrip("-").replace(".", "", 1).isdigit()


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _padded(text: str, width: int, right: bool) -> str:
    blank = " " * (width - _width(text))
    return blank + text if right else text + blank
