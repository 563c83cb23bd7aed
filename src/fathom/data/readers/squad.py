"""SQuAD JSON (v1.1, v2.0, and what is written like it: XQuAD, CMRC 2018, DRCD): articles, paragraphs, questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from fathom.data.encodings import decode
from fathom.data.readers.base import Form, Reader, Reading, Request
from fathom.data.readers.collect import collect
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems, Skipped
from fathom.data.section import DataSection
from fathom.errors import DataError

_ROLES = ("context", "question", "answers", "impossible")
_LAYOUT = Layout(
    {role: place for place, role in enumerate(_ROLES)}, ("context", "question", "answers", "is_impossible")
)
_MEND = 'write {"data": [{"paragraphs": [{"context": ..., "qas": [{"question": ..., "answers": [...]}]}]}]}'

Question = tuple[int, list[Any]]


class SquadReader(Reader):
    """Reads SQuAD JSON, and CMRC 2018's own older form of it; questions are counted from 1 in messages."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every question; see `Reader.read`."""
        data = Path(path).read_bytes()
        problems = Problems(path, skip=options.on_error == "skip")
        if form != "questions":
            raise problems.fail("SQuAD's format holds questions on passages", "write task: question-answering")
        decoded = decode(data, path, options.encoding)
        try:
            value = json.loads(decoded.text)
        except json.JSONDecodeError as error:
            raise problems.fail(f"not valid JSON: {error.msg}", "mend the JSON", line=error.lineno) from None
        except RecursionError:
            raise problems.fail("nested too deeply", _MEND) from None
        rows = list(_questions(value, problems))
        if not rows:
            raise problems.fail("no questions", _MEND)
        examples, more = collect(rows, len(rows), _LAYOUT, Request(form, options, problems))
        passages = len({example["text"] for example in examples})
        notes = (
            f"format: SQuAD JSON, {len(rows):,} questions on {passages:,} passages; places count questions",
            *decoded.notes,
            *more,
        )
        skipped: tuple[Skipped, ...] = ()
        if problems.reasons:
            skipped = problems.skipped(partial(_row_text, dict(rows)))
        return Reading(examples, notes, hashlib.sha256(data).hexdigest(), _LAYOUT.names, skipped)


def is_squad(head: str) -> bool:
    """Tell from the beginning of a JSON file whether it is written like SQuAD."""
    return '"paragraphs"' in head or '"context_text"' in head or ('"qas"' in head and '"context"' in head)


def _questions(value: Any, problems: Problems) -> Iterator[Question]:
    number = 0
    articles = value.get("data") if isinstance(value, dict) else value
    for article in _listed(articles, "data", problems):
        paragraphs = article.get("paragraphs", [article])
        for paragraph in _listed(paragraphs, "paragraphs", problems):
            context = paragraph.get("context", paragraph.get("context_text"))
            for asked in _listed(paragraph.get("qas"), "qas", problems):
                number += 1
                question = asked.get("question", asked.get("query_text"))
                yield number, [context, question, asked.get("answers"), asked.get("is_impossible")]


def _listed(value: Any, name: str, problems: Problems) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _shape(name, problems)
    return value


def _shape(name: str, problems: Problems) -> DataError:
    return problems.fail(f"'{name}' is no list of objects", _MEND)


def _row_text(rows: dict[int, list[Any]], number: int) -> tuple[int, str]:
    return number, json.dumps(dict(zip(_LAYOUT.names, rows[number], strict=True)), ensure_ascii=False)
