"""CSV and TSV: every row has the columns of the first one, or is named."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from fathom.data.encodings import decode, refuse_characters
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.readers.columns import Layout, find_columns, looks_like_header
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import TextRows
from fathom.data.readers.spans import SpanRows
from fathom.data.section import DataSection

Row = tuple[int, list[str]]

_LINE = re.compile(r"\r\n|\n|\r")
_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_FIELD_LIMIT = 16 * 1024 * 1024


class DelimitedReader(Reader):
    """Reads rows of columns set apart by one character."""

    delimiter: ClassVar[str]

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every row; see `Reader.read`."""
        data = Path(path).read_bytes()
        problems = Problems(path, skip=options.on_error == "skip")
        decoded = decode(data, path, options.encoding)
        if not decoded.text.strip():
            raise problems.fail("the file is empty", "give a file with rows")
        delimiter = options.delimiter or self.delimiter
        quoted = self._quoted(decoded.text, delimiter, options)
        refuse_characters(decoded.text, problems)
        rows = list(_quoted_rows(decoded.text, delimiter, problems) if quoted else _plain_rows(decoded.text, delimiter))
        blank = sum(1 for _, cells in rows if not any(cells))
        rows = [row for row in rows if any(row[1])]
        if not rows:
            raise problems.error() if len(problems) else problems.fail("no rows", "give a file with rows")
        header = looks_like_header(rows[0][1], options, form)
        names = rows[0][1] if header else [str(place) for place in range(_usual_width(rows))]
        names = [name.strip() for name in names]
        _refuse_other_delimiter(rows, delimiter, problems)
        layout = find_columns(names, options, form, problems, header)
        rows = rows[1:] if header else rows
        notes = [
            f"format: {'CSV' if delimiter != chr(9) else 'TSV'}, {'with' if header else 'no'} header, "
            f"{_NAMES.get(delimiter, delimiter)}-separated{'' if quoted else ', quotes are plain characters'}"
        ]
        notes += [*decoded.notes, layout.note()]
        if blank:
            notes.append(f"{blank} blank lines skipped")
        good = list(_check_widths(rows, len(names), problems))
        examples, more = _collect(good, len(rows), layout, form, options, problems)
        return Reading(examples, (*notes, *more), hashlib.sha256(data).hexdigest(), tuple(names))

    def _quoted(self, text: str, delimiter: str, options: DataSection) -> bool:
        if options.quoting != "auto":
            return options.quoting == "standard"
        return self.delimiter == "," or _well_quoted(text, delimiter)


class CsvReader(DelimitedReader):
    """Comma-separated values with standard quoting (RFC 4180)."""

    delimiter = ","


class TsvReader(DelimitedReader):
    """Tab-separated values; quotes count as such only where all of them are well formed."""

    delimiter = "\t"


def _well_quoted(text: str, delimiter: str) -> bool:
    """Whether every field that holds a quote is enclosed in quotes, with the ones inside doubled."""
    seen = False
    for line in text.split("\n"):
        if '"' not in line:
            continue
        for field in line.rstrip("\r").split(delimiter):
            if '"' in field:
                seen = True
                if len(field) < 2 or field[0] != '"' or field[-1] != '"' or '"' in field[1:-1].replace('""', ""):
                    return False
    return seen


def _plain_rows(text: str, delimiter: str) -> Iterator[Row]:
    for number, line in enumerate(_LINE.split(text), 1):
        if line:
            yield number, line.split(delimiter)


def _quoted_rows(text: str, delimiter: str, problems: Problems) -> Iterator[Row]:
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            end = reader.line_num
            if "unexpected end of data" in str(error) or end - start > 1000:
                problems.add(
                    "a quoted field is never closed",
                    'close the quote; a quote inside a field is written ""',
                    line=start,
                )
                return
            problems.add(
                f"bad quoting ({error})", 'enclose the field in quotes and double the ones inside: ""', line=start
            )
            start = end + 1
            continue
        if row:
            yield start, row
        start = reader.line_num + 1


def _usual_width(rows: list[Row]) -> int:
    return Counter(len(cells) for _, cells in rows[:10_000]).most_common(1)[0][0]


def _refuse_other_delimiter(rows: list[Row], delimiter: str, problems: Problems) -> None:
    """A file of one column whose lines all hold the same number of another separator was read with the wrong one."""
    if any(len(cells) > 1 for _, cells in rows[:100]):
        if len(rows[0][1]) > 1:
            return
    elif len(rows[0][1]) != 1:
        return
    for other in (",", "\t", ";", "|"):
        counts = {cells[0].count(other) if len(cells) == 1 else 0 for _, cells in rows[:100]}
        if (
            other != delimiter
            and rows[0][1][0].count(other) >= 1
            and (counts == {rows[0][1][0].count(other)} or other in ";\t")
        ):
            raise problems.fail(
                f"read as {_NAMES.get(delimiter, delimiter)}-separated there is one column, "
                f"but the lines hold {_NAMES[other]}s",
                f"say data.delimiter='{other if other != chr(9) else chr(92) + 't'}'",
                line=rows[0][0],
            )


def _check_widths(rows: Iterable[Row], width: int, problems: Problems) -> Iterator[Row]:
    for line, cells in rows:
        if len(cells) == width:
            yield line, cells
        else:
            problems.add(
                f"{len(cells)} columns where there should be {width}: {' | '.join(cells)[:80]}",
                "enclose a text that holds the separator in quotes; give every row all columns",
                line=line,
            )


def _collect(
    rows: list[Row], num_rows: int, layout: Layout, form: Form, options: DataSection, problems: Problems
) -> tuple[list[Any], list[str]]:
    roles = layout.roles
    bad = problems.rows
    if form == "spans":
        spans = SpanRows(layout, options, problems)
        for line, cells in rows:
            if "tokens" in roles:
                tags = _cell_list(cells[roles["tags"]]) if "tags" in roles else None
                spans.add_words(line, _cell_list(cells[roles["tokens"]]), tags)
            else:
                spans.add_text(
                    line, cells[roles["text"]], _cell_json(cells[roles["entities"]]) if "entities" in roles else None
                )
        return spans.finish(num_rows)
    texts = TextRows(layout, options, problems)
    text, pair, label = roles["text"], roles.get("text_pair"), roles.get("label")
    for line, cells in rows:
        if line in bad:
            continue
        if "targets" in roles:
            texts.add_targets(line, cells[text], cells[roles["targets"]])
        else:
            texts.add(line, cells[text], None if pair is None else cells[pair], None if label is None else cells[label])
    return texts.finish(num_rows)


def _cell_list(cell: str) -> Any:
    """A list in a cell: JSON, or items set apart by spaces."""
    return _cell_json(cell) if cell.lstrip().startswith("[") else cell.split()


def _cell_json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell
