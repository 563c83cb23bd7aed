"""A look into a table: its columns and a sample of its rows, before anything is known of them."""

from __future__ import annotations

import csv
import io
import json
from itertools import islice
from pathlib import Path
from typing import Any

from fathom.data.encodings import decode

SAMPLE_ROWS = 1000
"""Rows looked at when columns are guessed by their content."""


def read_table(path: str, name: str) -> tuple[list[Any], list[list[str]], bool | None]:
    """Return column names (positions without a header), a sample of rows as text, and whether a header was seen."""
    if name in {"csv", "tsv"}:
        stream = io.StringIO(decode(Path(path).read_bytes(), path).text, newline="")
        rows = [row for row in islice(csv.reader(stream, delimiter="," if name == "csv" else "\t"), SAMPLE_ROWS) if row]
        if len(rows) < 2:
            return [], [], None
        if _has_header(rows):
            return [cell.strip() for cell in rows[0]], rows[1:], True
        return list(range(len(rows[0]))), rows, False
    records = _records(path, name)
    names = list(dict.fromkeys(key for record in records for key in record))
    return names, [[_cell(record.get(key)) for key in names] for record in records], None


def _records(path: str, name: str) -> list[dict[str, Any]]:
    if name == "parquet":
        from pyarrow import parquet

        found: list[dict[str, Any]] = parquet.read_table(path).slice(0, SAMPLE_ROWS).to_pylist()
        return found
    if name not in {"json", "jsonl"}:
        return []
    text = decode(Path(path).read_bytes(), path).text
    try:
        values = json.loads(text) if name == "json" else [json.loads(line) for line in text.splitlines()[:SAMPLE_ROWS]]
    except ValueError:
        return []
    rows = values if isinstance(values, list) else []
    return [row for row in rows[:SAMPLE_ROWS] if isinstance(row, dict)]


def _has_header(rows: list[list[str]]) -> bool:
    """A header's cells are short, distinct, no numbers, and none of them comes again in its column."""
    first = [cell.strip() for cell in rows[0]]
    if len(set(first)) < len(first) or any(not cell or len(cell) > 40 or as_number(cell) is not None for cell in first):
        return False
    return not any(
        cell in {row[place].strip() for row in rows[1:] if place < len(row)} for place, cell in enumerate(first)
    )


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, default=str)


def as_number(value: str) -> float | None:
    """Return the number a text says; None where it says none."""
    try:
        return float(value)
    except ValueError:
        return None
