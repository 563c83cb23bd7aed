"""CSV and TSV: every row has the columns of the first one, or is named."""

from __future__ import annotations

import bisect
import csv
import hashlib
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from fathom.data.encodings import decode, refuse_characters
from fathom.data.readers.base import Form, Reader, Reading, Request
from fathom.data.readers.collect import collect
from fathom.data.readers.columns import ROLES_OF_FORM, find_columns, looks_like_header, usual_names
from fathom.data.readers.problems import Problems, Skipped
from fathom.data.section import DataSection

Row = tuple[int, list[str]]
"""The line a row begins in, and its cells."""

DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_LINE = re.compile(r"\r\n|\n|\r")
_FIELD_LIMIT = 16 * 1024 * 1024
_QUOTE_MEND = 'enclose the field in quotes and double the ones inside it (""), or say data.quoting=none'
_WIDTH_MEND = "enclose a text that holds the separator or a line end in quotes; give every row all columns"


class DelimitedReader(Reader):
    """Reads rows of columns set apart by one character."""

    delimiter: ClassVar[str]

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every row; see `Reader.read`."""
        data = Path(path).read_bytes()
        problems = Problems(path, skip=options.on_error == "skip")
        request = Request(form, options, problems)
        decoded = decode(data, path, options.encoding)
        if not decoded.text.strip():
            raise problems.fail("the file is empty", "give a file with rows")
        delimiter = options.delimiter or self.delimiter
        quoted, read = table_rows(decoded.text, delimiter, options.quoting, problems)
        refuse_characters(decoded.text, problems)
        rows = list(read)
        num_blank = sum(1 for _, cells in rows if not any(cells))
        rows = [row for row in rows if any(row[1])]
        if not rows:
            raise problems.error() if len(problems) else problems.fail("no rows", "give a file with rows")
        _refuse_other_delimiter(rows, delimiter, request)
        header = looks_like_header(rows[0][1], request)
        width = len(rows[0][1]) if header else Counter(len(cells) for _, cells in rows).most_common(1)[0][0]
        names = [cell.strip() for cell in rows[0][1]] if header else [str(place) for place in range(width)]
        layout = find_columns(names, request, header)
        rows = rows[1:] if header else rows
        notes = [
            f"format: {DELIMITER_NAMES.get(delimiter, delimiter)}-separated, {'with' if header else 'no'} header, "
            f"quotes {'enclose fields' if quoted else 'are plain characters'}",
            *decoded.notes,
            layout.note(),
        ]
        if num_blank:
            notes.append(f"{num_blank} blank lines skipped")
        good = _check_widths(rows, width, problems)
        examples, more = collect(good, len(rows) + _unread(problems, rows), layout, request)
        skipped: tuple[Skipped, ...] = ()
        if problems.reasons:
            skipped = problems.skipped(_lines_of_row(decoded.text, {line for line, _ in rows} | problems.rows))
        return Reading(examples, (*notes, *more), hashlib.sha256(data).hexdigest(), tuple(names), skipped)


class CsvReader(DelimitedReader):
    """Comma-separated values with standard quoting (RFC 4180)."""

    delimiter = ","


class TsvReader(DelimitedReader):
    """Tab-separated values; quotes count as such only where they are well formed."""

    delimiter = "\t"


def table_rows(text: str, delimiter: str, quoting: str, problems: Problems) -> tuple[bool, Iterator[Row]]:
    """Return whether quotes enclose fields, and the rows with the line each begins in.

    Args:
        text: The file.
        delimiter: Between columns.
        quoting: As `data.quoting` says it.
        problems: Takes what is wrong with quotes.
    """
    quoted = quoting == "standard" or (quoting == "auto" and _quotes(text, delimiter))
    return quoted, _quoted_rows(text, delimiter, problems) if quoted else _plain_rows(text, delimiter)


def _quotes(text: str, delimiter: str) -> bool:
    """Whether quotes enclose fields: always with commas; with others when that, and nothing else, makes sense."""
    if delimiter != "\t":
        return True
    if '"' not in text or _all_enclosed(text, delimiter):
        return '"' in text
    plain = {len(cells) for _, cells in _plain_rows(text, delimiter) if any(cells)}
    if len(plain) == 1:
        return False
    trial = Problems("")
    enclosed = {len(cells) for _, cells in _quoted_rows(text, delimiter, trial) if any(cells)}
    return len(enclosed) == 1 and not len(trial)


def _all_enclosed(text: str, delimiter: str) -> bool:
    """Whether every field that holds a quote is enclosed in quotes, with the ones inside doubled."""
    for line in _LINE.split(text):
        if '"' not in line:
            continue
        for field in line.split(delimiter):
            if '"' not in field:
                continue
            if len(field) < 2 or field[0] != '"' or field[-1] != '"' or '"' in field[1:-1].replace('""', ""):
                return False
    return True


def _plain_rows(text: str, delimiter: str) -> Iterator[Row]:
    lines = _LINE.split(text)
    if not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        yield number, line.split(delimiter)


def _quoted_rows(text: str, delimiter: str, problems: Problems) -> Iterator[Row]:
    """Yield the rows; after bad quoting, go on with the line after the one it began in, so that no row is swallowed."""
    csv.field_size_limit(_FIELD_LIMIT)
    lines = list(io.StringIO(text, newline=""))
    first = 0
    while first < len(lines):
        reader = csv.reader(itertools.islice(lines, first, None), delimiter=delimiter, strict=True)
        done = 0
        try:
            for row in reader:
                yield first + done + 1, row
                done = reader.line_num
            return
        except csv.Error as error:
            never = "unexpected end" in str(error)
            message = "a quote is opened and never closed" if never else f"bad quoting ({error})"
            problems.add(message, _QUOTE_MEND, line=first + done + 1)
        first += done + 1


def _lines_of_row(text: str, starts: set[int]) -> Callable[[int], tuple[int, str]]:
    """Return what gives the text of a row by its line: up to the line the next row begins in."""
    lines = _LINE.split(text)
    ordered = [*sorted(starts), len(lines) + 1]

    def read(line: int) -> tuple[int, str]:
        end = ordered[bisect.bisect_right(ordered, line)]
        return line, "\n".join(lines[line - 1 : end - 1]).rstrip("\n")

    return read


def _unread(problems: Problems, rows: list[Row]) -> int:
    """Rows that quoting problems kept from being read."""
    return len(problems.rows - {line for line, _ in rows}) if len(problems) else 0


def other_delimiter(rows: Sequence[Row], delimiter: str, known: Collection[str]) -> str | None:
    """Return what parts the columns of a file that was read as one column; None where nothing else does.

    Args:
        rows: The file as it was read.
        delimiter: What it was read with.
        known: Names of columns in lower case; a first line that holds one of them names its columns.
    """
    first = rows[0][1]
    if len(first) != 1:
        return None
    sample = [delimiter.join(cells) for _, cells in rows[:100]]
    for other in (",", "\t", ";", "|"):
        count = first[0].count(other)
        if other == delimiter or not count:
            continue
        named = {cell.strip().strip('"').lower() for cell in first[0].split(other)} & {*known}
        if named or (len(sample) > 1 and all(line.count(other) == count for line in sample)):
            return other
    return None


def _refuse_other_delimiter(rows: list[Row], delimiter: str, request: Request) -> None:
    """A file read as one column whose lines hold another separator regularly was read with the wrong one."""
    wanted = {str(column).lower() for column in request.options.columns.values()}
    usual = {name for role in ROLES_OF_FORM[request.form] for name in usual_names(request.form, role)}
    other = other_delimiter(rows, delimiter, wanted | usual)
    if other is not None:
        raise request.problems.fail(
            f"read as {DELIMITER_NAMES.get(delimiter, delimiter)}-separated there is one column, "
            f"but the lines hold {DELIMITER_NAMES[other]}s",
            f"say data.delimiter={DELIMITER_NAMES[other]}",
            line=rows[0][0],
        )


def _check_widths(rows: Iterable[Row], width: int, problems: Problems) -> Iterator[Row]:
    for line, cells in rows:
        if len(cells) == width:
            yield line, cells
        else:
            shown = " | ".join(cells)[:80]
            problems.add(f"{len(cells)} columns where there should be {width}: {shown}", _WIDTH_MEND, line=line)
