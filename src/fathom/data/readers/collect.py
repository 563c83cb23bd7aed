"""Rows of values become examples, whatever file they come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from fathom.data.example import Example
from fathom.data.readers.base import Request
from fathom.data.readers.columns import ANSWERS, Layout
from fathom.data.readers.interactions import InteractionRows
from fathom.data.readers.media import MediaRows
from fathom.data.readers.messages import ConversationRows
from fathom.data.readers.pairs import PairRows
from fathom.data.readers.preferences import PreferenceRows
from fathom.data.readers.questions import QuestionRows
from fathom.data.readers.relations import RelationRows
from fathom.data.readers.rows import TextRows
from fathom.data.readers.spans import SpanRows
from fathom.data.readers.spoken import SpokenRows
from fathom.data.readers.written import WrittenRows

Rows = Iterable[tuple[int, Sequence[Any]]]
"""Line (or row) numbers from 1, with the values in the order of the layout's columns."""


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
    if request.form == "relation":
        return _collect_relations(rows, num_rows, layout, request)
    if request.form in ("chat", "preference"):
        return _collect_conversations(rows, num_rows, layout, request)
    if request.form in ("pairs", "interactions"):
        kind = PairRows if request.form == "pairs" else InteractionRows
        taken = kind(layout, request.options, request.problems)
        for line, values in rows:
            if line not in request.problems.rows:
                taken.add(line, {role: values[place] for role, place in layout.roles.items()})
        return taken.finish(num_rows)
    if request.form == "writing":
        return _collect_written(rows, num_rows, layout, request)
    if request.form in {"image", "sound", "speech"}:
        return _collect_media(rows, num_rows, layout, request)
    if request.form == "questions":
        return _collect_questions(rows, num_rows, layout, request)
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
            spans.add_text(line, values[roles["text"]], _as_json(entities))
    return spans.finish(num_rows)


def _collect_relations(rows: Rows, num_rows: int, layout: Layout, request: Request) -> tuple[list[Example], list[str]]:
    relations = RelationRows(layout, request.options, request.problems)
    spoilt = request.problems.rows
    for line, values in rows:
        if line not in spoilt:
            relations.add(line, {role: values[place] for role, place in layout.roles.items()})
    return relations.finish(num_rows)


def _collect_conversations(
    rows: Rows, num_rows: int, layout: Layout, request: Request
) -> tuple[list[Example], list[str]]:
    kind = ConversationRows if request.form == "chat" else PreferenceRows
    conversations = kind(layout, request.options, request.problems)
    spoilt = request.problems.rows
    for line, values in rows:
        if line not in spoilt:
            conversations.add(line, {role: values[place] for role, place in layout.roles.items()})
    return conversations.finish(num_rows)


def _collect_written(rows: Rows, num_rows: int, layout: Layout, request: Request) -> tuple[list[Example], list[str]]:
    pairs = WrittenRows(layout, request.options, request.problems)
    source, target = layout.roles["source"], layout.roles.get("target")
    spoilt = request.problems.rows
    for line, values in rows:
        if line not in spoilt:
            pairs.add(line, values[source], None if target is None else values[target])
    return pairs.finish(num_rows)


def _collect_media(rows: Rows, num_rows: int, layout: Layout, request: Request) -> tuple[list[Example], list[str]]:
    if request.form == "speech":
        media: MediaRows = SpokenRows(layout, request.options, request.problems)
    else:
        media = MediaRows(layout, request.problems, request.form)
    spoilt = request.problems.rows
    for line, values in rows:
        if line not in spoilt:
            media.add(line, {role: values[place] for role, place in layout.roles.items()})
    return media.finish(num_rows)


def _collect_questions(rows: Rows, num_rows: int, layout: Layout, request: Request) -> tuple[list[Example], list[str]]:
    questions = QuestionRows(layout, request.options, request.problems)
    spoilt = request.problems.rows
    for line, values in rows:
        if line not in spoilt:
            questions.add(line, {role: values[place] for role, place in layout.roles.items()})
    return questions.finish(num_rows)


def _as_list(value: Any) -> Any:
    """Read a list that is written as text: JSON, or items set apart by spaces."""
    if not isinstance(value, str):
        return value
    return _as_json(value) if value.lstrip().startswith("[") else value.split()


def _as_json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
