"""A look into a data file before anything is known of it: its columns, a sample of its rows, what parts them.

Nothing is refused here. What cannot be looked at is left to the reader, whose error names the place and the mend.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from fathom.config import validate
from fathom.data.encodings import decode
from fathom.data.example import Example
from fathom.data.load import detect_format, load_examples
from fathom.data.readers.base import Form
from fathom.data.readers.columns import USUAL_NAMES
from fathom.data.readers.delimited import DELIMITER_NAMES, Row, other_delimiter, table_rows
from fathom.data.readers.json_lines import json_records
from fathom.data.readers.problems import Problems
from fathom.data.section import DataSection
from fathom.errors import DataError

SAMPLE_ROWS = 1000
"""Rows looked at when columns are guessed by their content."""
TABLES = ("csv", "tsv", "json", "jsonl", "parquet")
"""Formats whose rows have named columns."""
_SEPARATED = {"csv": ",", "tsv": "\t"}


@dataclass(frozen=True)
class Source:
    """A data path, and what is known of how it is read.

    Attributes:
        path: As in a recipe, `#n` included.
        stated: Keys of the `data:` section besides `train`.
    """

    path: str
    stated: Mapping[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> str:
        """The path without `#n`."""
        return self.path.partition("#")[0]

    def section(self, **options: Any) -> DataSection:
        """Return the `data:` section, with further options."""
        return validate(DataSection, {"train": self.path, **self.stated, **options}, "data")

    def format(self, form: Form) -> str:
        """Return the name of the reader; raises `DataError` where it cannot be told."""
        return detect_format(self.path, form, self.section())

    def read(self, form: Form, **options: Any) -> tuple[list[Example], tuple[str, ...]]:
        """Read everything as a task would take it; see `load_examples`."""
        return load_examples(self.path, form, self.section(**options))


def with_separator(source: Source) -> Source:
    """Return the source with the character between its columns, where that is not the usual one of its format."""
    plain = Path(source.plain)
    if not plain.is_file() or source.section().delimiter is not None:
        return source
    try:
        name = source.format("text")
    except DataError:
        return source
    rows = _rows(source, name) if name in _SEPARATED else []
    other = other_delimiter(rows, _SEPARATED[name], _KNOWN) if rows else None
    return source if other is None else Source(source.path, {**source.stated, "delimiter": DELIMITER_NAMES[other]})


def read_table(source: Source, name: str) -> tuple[list[Any], list[list[str]], bool | None]:
    """Return column names (positions without a header), a sample of rows as text, and whether a header was seen.

    Args:
        source: A file.
        name: Its format.
    """
    if name in _SEPARATED:
        rows = [cells for _, cells in _rows(source, name)]
        if len(rows) < 2:
            return [], [], None
        stated = source.section().header
        if _has_header(rows) if stated is None else stated:
            return [cell.strip() for cell in rows[0]], rows[1:], True
        return list(range(len(rows[0]))), rows, False
    records = _records(source, name)
    names = list(dict.fromkeys(key for record in records for key in record))
    return names, [[_cell(record.get(key)) for key in names] for record in records], None


def column_names(source: Source, name: str) -> list[str]:
    """Return the names of a table's columns as they are compared; none of a file that is no table."""
    names = read_table(source, name)[0] if name in TABLES else []
    return [str(column).strip().lower() for column in names]


_KNOWN = frozenset(name for names in USUAL_NAMES.values() for name in names)
"""Every usual name of a column, whatever it holds."""


def _rows(source: Source, name: str) -> list[Row]:
    section = source.section()
    delimiter = section.delimiter or _SEPARATED[name]
    _, rows = table_rows(_text(source), delimiter, section.quoting, Problems(source.path))
    return [row for row in islice(rows, SAMPLE_ROWS) if any(row[1])]


def _text(source: Source) -> str:
    return decode(Path(source.plain).read_bytes(), source.plain, source.section().encoding).text


def _records(source: Source, name: str) -> list[dict[str, Any]]:
    if name == "parquet":
        return _parquet_records(source.plain)
    text = _text(source) if name in {"json", "jsonl"} else ""
    found: list[dict[str, Any]] = []
    if text.strip():
        with suppress(DataError):
            found += (record for _, record in islice(json_records(text, Problems(source.path))[1], SAMPLE_ROWS))
    return found


def _parquet_records(path: str) -> list[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            first = next(file.iter_batches(batch_size=SAMPLE_ROWS), None)
            found: list[dict[str, Any]] = [] if first is None else first.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return []
    return found


def _has_header(rows: list[list[str]]) -> bool:
    """A header's cells are short, distinct, no numbers, and none of them comes again in its column."""
    first = [cell.strip() for cell in rows[0]]
    if len(set(first)) < len(first) or any(not cell or len(cell) > 40 or as_number(cell) is not None for cell in first):
        return False
    return not any(
        cell in {row[place].strip() for row in rows[1:] if place < len(row)} for place, cell in enumerate(first)
    )


def _cell(value: Any) -> str:
    try:
        return value if isinstance(value, str) else "" if value is None else json.dumps(value, default=str)
    except RecursionError:
        return ""


def as_number(value: str) -> float | None:
    """Return the number a text says; None where it says none."""
    try:
        return float(value)
    except ValueError:
        return None
