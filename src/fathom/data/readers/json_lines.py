"""JSON and JSON Lines: one object is one row."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fathom.data.encodings import decode
from fathom.data.readers.base import Form, Reader, Reading, Request
from fathom.data.readers.collect import collect
from fathom.data.readers.columns import find_columns
from fathom.data.readers.problems import Problems, Skipped
from fathom.data.readers.rows import Numeral
from fathom.data.section import DataSection
from fathom.errors import DataError

Record = tuple[int, dict[str, Any]]

_LINE = re.compile(r"\r\n|\n|\r")
_BLANK = re.compile(r"[ \t\r\n]*")
_WRAPPERS = ("data", "rows", "examples", "records", "items")


class _DuplicateKeyError(ValueError):
    """An object names a key twice, so one of the values would be lost."""


class JsonLinesReader(Reader):
    """Reads one JSON object a line; a file that is one JSON array is read as such."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every row; see `Reader.read`."""
        data = Path(path).read_bytes()
        problems = Problems(path, skip=options.on_error == "skip")
        decoded = decode(data, path, options.encoding)
        text = decoded.text
        if not text.strip():
            raise problems.fail("the file is empty", "give a file with rows")
        name, read = json_records(text, problems)
        records = list(read)
        num_rows = len(records) + len(problems.rows)
        if not records:
            raise problems.error() if len(problems) else problems.fail("no rows", "give a file with rows")
        request = Request(form, options, problems)
        names = list(dict.fromkeys(key for _, record in records for key in record))
        paths = _paths(options, names, records)
        layout = find_columns([*names, *paths], request)
        rows = (
            (number, [*map(record.get, names), *(_inside(record, one) for one in paths)]) for number, record in records
        )
        examples, more = collect(rows, num_rows, layout, request)
        notes = (f"format: {name}", *decoded.notes, layout.note(), *more)
        skipped: tuple[Skipped, ...] = ()
        if problems.reasons:
            skipped = problems.skipped(partial(_row_text, dict(records), _LINE.split(text)))
        return Reading(examples, notes, hashlib.sha256(data).hexdigest(), tuple(names), skipped)


class JsonReader(JsonLinesReader):
    """Reads a JSON array of objects, or an object that holds one; one object a line is read as such."""


def json_records(text: str, problems: Problems) -> tuple[str, Iterator[Record]]:
    """Return whether a file is one array (`JSON`) or an object a line (`JSON Lines`), and its objects with their lines.

    Args:
        text: The file, not blank.
        problems: Takes what is wrong with single rows; reading the objects raises `DataError` where no row can be told.
    """
    if _is_document(text):
        return "JSON", _document_records(text, problems)
    return "JSON Lines", _line_records(text, problems)


def _paths(options: DataSection, names: list[str], records: list[Record]) -> list[str]:
    """Return the stated columns that lie inside an object, `outer.inner`, where some record has them."""
    stated = [str(column) for column in options.columns.values() if "." in str(column) and column not in names]
    return [path for path in stated if any(_inside(record, path) is not None for _, record in records)]


def _inside(record: Any, path: str) -> Any:
    for key in path.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _row_text(records: dict[int, dict[str, Any]], lines: list[str], line: int) -> tuple[int, str]:
    """Return a row by its line: the object where it could be read, else the line."""
    return line, json.dumps(records[line], ensure_ascii=False) if line in records else lines[line - 1]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _DuplicateKeyError(f"the key '{twice}' is given twice")
    return result


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_object, parse_float=Numeral)


def _is_document(text: str) -> bool:
    """Whether the file is one JSON value rather than one value a line."""
    start = text.lstrip()
    if start[0] == "[":
        return True
    first_line = _LINE.split(start, maxsplit=1)[0]
    try:
        _decoder().decode(first_line)
    except _DuplicateKeyError:
        return False
    except (ValueError, RecursionError):
        return bool(re.match(r"\{\s*(?:\r|\n|\Z)", start)) or _wraps(start)
    return _wraps(start) and not _LINE.split(start.strip(), maxsplit=1)[1:]


def _wraps(text: str) -> bool:
    match = re.match(r'\{\s*"([^"]*)"\s*:\s*\[\s*\{', text)
    return match is not None and match[1] in _WRAPPERS


def _line_records(text: str, problems: Problems) -> Iterator[Record]:
    decoder = _decoder()
    for number, line in enumerate(_LINE.split(text), 1):
        if not line.strip(" \t"):
            continue
        try:
            value = decoder.decode(line)
        except _DuplicateKeyError as error:
            problems.add(str(error), "remove one of the two", line=number)
            continue
        except json.JSONDecodeError as error:
            shown = line[max(0, error.pos - 20) : error.pos + 20]
            mend = "write one complete JSON object in each line"
            problems.add(f"not valid JSON: {error.msg} (character {error.pos + 1}, near {shown!r})", mend, line=number)
            continue
        except RecursionError:
            problems.add("nested too deeply", "write one flat JSON object in each line", line=number)
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            problems.add(
                f"a {type(value).__name__}, not an object",
                'write an object, {"text": ..., "label": ...}, in each line',
                line=number,
            )


def _document_records(text: str, problems: Problems) -> Iterator[Record]:
    """Walk through the array element by element, so that each row knows its line."""
    decoder = _decoder()
    start = _BLANK.match(text)
    place = start.end() if start else 0
    if text[place] == "{":
        match = re.compile(r'\{\s*"[^"]*"\s*:\s*').match(text, place)
        if match is None or text[match.end() : match.end() + 1] != "[":
            raise problems.fail(
                "a JSON object, not a list of rows", "write a list of objects, or one object in each line", line=1
            )
        place = match.end()
    place = _skip(text, place + 1)
    line, counted = 1, 0
    while place < len(text) and text[place] != "]":
        line += text.count("\n", counted, place)
        counted = place
        try:
            value, place = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise _broken(error, problems) from None
        except _DuplicateKeyError as error:
            raise problems.fail(str(error), "remove one of the two", line=line) from None
        except RecursionError:
            raise problems.fail("nested too deeply", "write a list of flat objects", line=line) from None
        if isinstance(value, dict):
            yield line, value
        else:
            problems.add(f"a {type(value).__name__}, not an object", 'write {"text": ..., "label": ...}', line=line)
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
            if text[place : place + 1] != "]":
                continue
        elif text[place : place + 1] == "]":
            continue
        expected = "a value or ']'" if text[place : place + 1] == "]" else "',' or ']'"
        message = f"expected {expected}" if place < len(text) else "the list is never closed"
        raise _broken(json.JSONDecodeError(message, text, min(place, len(text))), problems)
    if place >= len(text):
        raise _broken(json.JSONDecodeError("the list is never closed", text, len(text)), problems)


def _skip(text: str, place: int) -> int:
    match = _BLANK.match(text, place)
    return match.end() if match else place


def _broken(error: json.JSONDecodeError, problems: Problems) -> DataError:
    shown = error.doc[max(0, error.pos - 20) : error.pos + 20]
    return problems.fail(
        f"not valid JSON: {error.msg} (character {error.colno}, near {shown!r})", "mend the JSON", line=error.lineno
    )
