"""Rows of values become examples, whatever file they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from fathom.data.example import Example
from fathom.data.readers.base import Form, Request
from fathom.data.readers.columns import ANSWERS, Layout
from fathom.data.readers.interactions import InteractionRows
from fathom.data.readers.media import MediaRows
from fathom.data.readers.messages import ConversationRows
from fathom.data.readers.pairs import PairRows
from fathom.data.readers.preferences import PreferenceRows
from fathom.data.readers.problems import Problems
from fathom.data.readers.questions import QuestionRows
from fathom.data.readers.relations import RelationRows
from fathom.data.readers.rows import TextRows, as_json
from fathom.data.readers.spans import SpanRows
from fathom.data.readers.spoken import SpokenRows
from fathom.data.readers.triples import TripleRows
from fathom.data.readers.written import WrittenRows
from fathom.data.section import DataSection

Rows = Iterable[tuple[int, Sequence[Any]]]
"""Line (or row) numbers from 1, with the values in the order of the layout's columns."""


class _Rows(Protocol):
    """What takes rows one by one, their values by role, and gives their examples."""

    def add(self, line: int, values: dict[str, Any]) -> None: ...

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]: ...


_ROWS: dict[Form, Callable[[Layout, DataSection, Problems], _Rows]] = {
    "relation": RelationRows,
    "triples": TripleRows,
    "chat": ConversationRows,
    "preference": PreferenceRows,
    "pairs": PairRows,
    "interactions": InteractionRows,
    "questions": QuestionRows,
    "writing": WrittenRows,
    "speech": SpokenRows,
}


def collect(rows: Rows, num_rows: int, layout: Layout, request: Request) -> tuple[list[Example], list[str]]:
    """Make examples of rows.

    Args:
        rows: Those that could be read.
        num_rows: How many the file has, unreadable ones included.
        layout: Which value is what.
        request: What is wanted; takes the problems.

    Returns:
        The examples, and what was noticed.

    Raises:
        DataError: Problems were found (and are not skipped), or there is no example.
    """
    if not request.options.answers:
        layout = layout.without(ANSWERS.get(request.form, frozenset()))
    if request.form == "spans":
        return _collect_spans(rows, num_rows, layout, request)
    taken = _open(layout, request)
    if taken is not None:
        for line, values in rows:
            if line not in request.problems.rows:
                taken.add(line, {role: values[place] for role, place in layout.roles.items()})
        return taken.finish(num_rows)
    texts = TextRows(layout, request.options, request.problems)
    roles = layout.roles
    text, pair, label, targets = roles["text"], roles.get("text_pair"), roles.get("label"), roles.get("targets")
    spoilt = request.problems.rows
    for line, values in rows:
        if line in spoilt:
            continue
        if targets is not None:
            texts.add_targets(line, values[text], values[targets])
        else:
            texts.add(
                line, values[text], None if pair is None else values[pair], None if label is None else values[label]
            )
    return texts.finish(num_rows)


def _collect_spans(rows: Rows, num_rows: int, layout: Layout, request: Request) -> tuple[list[Example], list[str]]:
    spans = SpanRows(layout, request.options, request.problems)
    roles = layout.roles
    spoilt = request.problems.rows
    for line, values in rows:
        if line in spoilt:
            continue
        if "tokens" in roles:
            tags = _as_list(values[roles["tags"]]) if "tags" in roles else None
            spans.add_words(line, _as_list(values[roles["tokens"]]), tags)
        else:
            entities = values[roles["entities"]] if "entities" in roles else None
            spans.add_text(line, values[roles["text"]], as_json(entities))
    return spans.finish(num_rows)


def _open(layout: Layout, request: Request) -> _Rows | None:
    if request.form in {"image", "sound"}:
        return MediaRows(layout, request.problems, request.form)
    kind = _ROWS.get(request.form)
    return None if kind is None else kind(layout, request.options, request.problems)


def _as_list(value: Any) -> Any:
    """Read a list that is written as text: JSON, or items set apart by spaces."""
    if not isinstance(value, str):
        return value
    return as_json(value) if value.lstrip().startswith("[") else value.split()
