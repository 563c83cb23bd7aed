"""Documents out of records: JSON Lines, JSON, delimited rows and Parquet, streaming."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from fathom.data.corpus.pieces import PIECE_CHARACTERS, Document, cut_text
from fathom.data.corpus.streams import read_chunks, read_lines
from fathom.data.corpus.template import columns_of, fill
from fathom.data.encodings import bad_character
from fathom.data.readers.base import Request
from fathom.data.readers.columns import USUAL_NAMES, find_columns, looks_like_header
from fathom.data.readers.problems import Problems
from fathom.data.section import DataSection
from fathom.errors import DataError
from fathom.log import get_console

# Names of whole texts first: a poem's `title` is a text too, and not the one that is meant.
TEXT_NAMES = tuple(
    dict.fromkeys(("text", "content", "body", "paragraphs", "para", "正文", "内容", *USUAL_NAMES["text"]))
)
_COLUMN = "data.columns.text in a recipe, --column in a command"
_FIELD_LIMIT = 16 * 1024 * 1024
_WRAPPER = re.compile(r'\{\s*"(?:data|rows|examples|records|items)"\s*:\s*\[\s*(?=\{)')
_BETWEEN = re.compile(r"[\s,]*")
_CUT_CHARACTERS = 16
"""Longer than `-Infinity` and the escape of one character, whose errors count from where they begin."""


def read_json_lines(file: Path, section: DataSection) -> Iterator[Document]:
    """Read one object a line; see `read_documents`."""
    texts = _Texts(file, section)
    for number, line in read_lines(read_chunks(file, section.encoding)):
        if line and not line.isspace():
            yield from texts.of_record(_loads(line, texts, number), number)
    texts.tell_skipped()


def read_json(file: Path, section: DataSection) -> Iterator[Document]:
    """Read an array of objects, an object that holds one, or objects one after another; see `read_documents`."""
    texts = _Texts(file, section)
    decoder = json.JSONDecoder()
    chunks = read_chunks(file, section.encoding)
    buffer, place, line = next(chunks, ""), 0, 1
    bare = buffer.lstrip()[:1] == "["
    wrapped = bare or _WRAPPER.match(buffer.lstrip()) is not None
    if wrapped:
        place = buffer.index("[") + 1
        line += buffer.count("\n", 0, place)
    step = 1
    while True:
        between = _BETWEEN.match(buffer, place)
        assert between is not None
        start = between.end()
        if wrapped and buffer[start : start + 1] == "]":
            line += buffer.count("\n", place, start)
            if bare and any(rest.strip() for rest in chain([buffer[start + 1 :]], chunks)):
                raise texts.problem("something stands behind the end of the array", "make it one array", line)
            break
        try:
            value, end = decoder.raw_decode(buffer, start)
        except RecursionError:
            raise texts.problem("nested too deeply", "write objects with a text", line) from None
        except json.JSONDecodeError as error:
            if not _may_be_cut(error):
                line += buffer.count("\n", place, error.pos)
                raise texts.problem(f"not valid JSON: {error.msg}", "mend the JSON", line) from None
            more = "".join(chunk for _, chunk in zip(range(step), chunks, strict=False))
            if not more:
                if start < len(buffer) or wrapped:
                    raise texts.problem(f"not valid JSON: {error.msg}", "mend the JSON", line) from None
                break
            # An object longer than the buffer: read more each time, so that a long one is not decoded often.
            line += buffer.count("\n", place, start)
            buffer, place, step = buffer[start:] + more, 0, step * 2
            continue
        line += buffer.count("\n", place, start)
        yield from texts.of_record(value, line)
        line += buffer.count("\n", start, end)
        place, step = end, 1
        if place > PIECE_CHARACTERS:
            buffer, place = buffer[place:], 0
    texts.tell_skipped()


def _may_be_cut(error: json.JSONDecodeError) -> bool:
    """Tell whether more text could mend an object: the error is at the end of it.

    A string that is cut counts from where it begins, however long it is. Any other error stays.
    """
    return error.msg.startswith("Unterminated string") or error.pos + _CUT_CHARACTERS >= len(error.doc.rstrip())


def read_delimited(file: Path, section: DataSection) -> Iterator[Document]:
    """Read comma- or tab-separated rows; see `read_documents`."""
    csv.field_size_limit(_FIELD_LIMIT)
    texts = _Texts(file, section)
    named = any(suffix.lower() in {".tsv", ".tab"} for suffix in file.suffixes[-2:])
    tabs = named if section.format is None else section.format == "tsv"
    delimiter = section.delimiter or ("\t" if tabs else ",")
    plain = section.quoting == "none" or (section.quoting == "auto" and delimiter == "\t")
    lines = (f"{line}\n" for _, line in read_lines(read_chunks(file, section.encoding)))
    rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE if plain else csv.QUOTE_MINIMAL, strict=True)
    problems = Problems(str(file))
    column, width, line = 0, 0, 1
    names: list[str] = []
    try:
        for row in rows:
            if not width:
                header = looks_like_header(row, Request("text", section, problems))  # a label names a header too
                names = [cell.strip() for cell in row] if header else [str(place) for place in range(len(row))]
                found = find_columns(names, Request("corpus", section, problems), header)
                column, width = found.roles["text"], len(row)
                if header:
                    line = rows.line_num + 1
                    continue
            if any(row):
                if len(row) != width:
                    texts.refuse(f"{len(row)} columns where there should be {width}", "mend the row", line)
                else:
                    yield from texts.of_value(row[column], line, dict(zip(names, row, strict=True)))
            line = rows.line_num + 1
    except csv.Error as error:
        raise texts.problem(
            f"bad quoting ({error})", "double the quotes inside a field, or say data.quoting=none", line
        ) from None
    texts.tell_skipped()


def read_parquet(file: Path, section: DataSection) -> Iterator[Document]:
    """Read the rows of a Parquet file, a few at a time; see `read_documents`. Rows count from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = _Texts(file, section)
    mend = "the file is cut, damaged or no Parquet file; get it again"
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            column = texts.column(parquet.schema_arrow.names, 1)
            row = 1
            wanted = columns_of(section.document_template)
            named = dict.fromkeys((column, *(name for name in wanted if name in parquet.schema_arrow.names)))
            for batch in parquet.iter_batches(batch_size=256, columns=list(named)):
                for record in batch.to_pylist():
                    yield from texts.of_value(record[column], row, record)
                    row += 1
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=str(file), mend=mend) from None
    texts.tell_skipped()


def _loads(line: str, texts: _Texts, number: int) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        shown = line[max(0, error.pos - 20) : error.pos + 20]
        message = f"not valid JSON: {error.msg} (character {error.pos + 1}, near {shown!r})"
    except RecursionError:
        message = "nested too deeply"
    texts.refuse(message, "write one complete JSON object in each line", number)
    return None


class _Texts:
    """Takes the text out of the records of one file; bad ones are refused, or left out and counted."""

    def __init__(self, file: Path, section: DataSection) -> None:
        self._file = str(file)
        self._section = section
        self._column: str | None = None
        self._skipped = 0

    def of_record(self, record: Any, line: int) -> Iterator[Document]:
        if record is None:
            return
        if not isinstance(record, Mapping):
            self.refuse(f"a {type(record).__name__}, not an object", 'write {"text": ...}', line)
            return
        if self._column is None:
            self._column = self.column(list(record), line)
        if self._column not in record:
            self.refuse(f"no '{self._column}'", f"give every record a '{self._column}'", line)
            return
        yield from self.of_value(record[self._column], line, record)

    def of_value(self, value: Any, line: int, record: Mapping[str, Any]) -> Iterator[Document]:
        """Yield a text, or lines of one, in pieces; nothing where it is empty.

        Args:
            value: Of the column with the text.
            line: Of the record.
            record: All its columns, for the template.
        """
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            value = "\n".join(value)
        if value is None or (isinstance(value, str) and not value.strip()):
            return
        if not isinstance(value, str):
            self.refuse(f"the text is a {type(value).__name__}", f"name the column with text: {_COLUMN}", line)
            return
        if self._section.document_template is not None:
            try:
                value = fill(self._section.document_template, record, value, f"{self._file}:{line}")
            except DataError as error:
                self.refuse(error.message, error.mend or "", line)
                return
        bad = bad_character(value)
        if bad is not None:
            self.refuse(f"{bad} in the text", "remove it", line)
        elif len(value) > PIECE_CHARACTERS:
            for piece in cut_text([value], self._file):
                yield Document(piece.text, f"{self._file}:{line}", piece.continues)
        else:
            yield Document(value, f"{self._file}:{line}")

    def column(self, names: Sequence[str], line: int) -> str:
        """Return the name of the column with the text."""
        given = self._section.columns.get("text")
        if given is not None:
            if isinstance(given, int) and str(given) not in names and given < len(names):
                return names[given]
            if str(given) in names:
                return str(given)
            known = ", ".join(f"'{name}'" for name in names)
            raise self.problem(f"no column is called '{given}'", f"name one of {known}: {_COLUMN}", line)
        folded = {name.strip().lower(): name for name in reversed(names)}
        for name in TEXT_NAMES:
            if name in folded:
                return folded[name]
        known = ", ".join(f"'{name}'" for name in names)
        raise self.problem(f"none of {known} is known to hold the text", f"name it: {_COLUMN}", line)

    def problem(self, message: str, mend: str, line: int) -> DataError:
        return DataError(message, where=f"{self._file}:{line}", mend=mend)

    def refuse(self, message: str, mend: str, line: int) -> None:
        """Raise for a bad record, or count it where the recipe says `on_error: skip`."""
        if self._section.on_error == "refuse":
            raise self.problem(message, f"{mend}; or leave bad records out: data.on_error=skip", line)
        self._skipped += 1

    def tell_skipped(self) -> None:
        if self._skipped:
            get_console().warn(f"{self._file}: left out {self._skipped:,} bad records (on_error: skip)")
