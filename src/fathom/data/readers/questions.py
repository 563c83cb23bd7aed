"""Rows with a passage, a question and its answers become examples; every answer is checked at its offset."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import RowChecks
from fathom.data.section import DataSection

NOWHERE = -1
"""The start of an answer that is no literal part of its passage."""
MOVED, NOT_FOUND, UNANSWERED = "moved", "not in the passage", "unanswerable"
"""How the notes begin that `data check` makes findings of."""
_SHOWN = 10
_PLACE_MEND = "give answer_start as the character offset of the answer, counted from 0, or remove the row"


class _BadAnswersError(ValueError):
    """What is wrong with the answers of a row, and how to mend it."""

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message)
        self.message, self.mend = message, mend


class QuestionRows(RowChecks):
    """Rows with a passage, a question and its answers; see `RowChecks`.

    An answer that does not stand at its offset is moved to the one place where it occurs. One that occurs nowhere, or
    several times, is kept to judge by and not learned from; a question with such answers alone is a bad row.
    """

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, options, problems)
        self.num_answers = 0
        self._moved: list[int] = []
        self._unplaced: list[int] = []
        self._unlabelled: list[int] = []
        self._num_unanswerable = 0

    def add(self, line: int, values: Mapping[str, Any]) -> None:
        """Check one row: its values by role of the column; `line` counts from 1."""
        for role in ("context", "question"):
            text = values[role]
            if not isinstance(text, str):
                self.refuse(line, role, f"the {role} is missing or no text", f"give every row a {role}")
                return
            bad = bad_character(text)
            if bad is not None:
                self.refuse(line, role, f"{bad} in the {role}", "remove it")
                return
        context, question = values["context"], values["question"]
        if not context.strip() or not question.strip():
            self.empty.append(line)
            return
        example: Example = {"text": context, "question": question}
        try:
            given = read_answers(values)
            if given is not None:
                example["answers"] = self._place(line, context, given)
        except _BadAnswersError as error:
            self.refuse(line, "answers", error.message, error.mend)
            return
        if given is None:
            self._unlabelled.append(line)
        example["where"] = f"{self.problems.path}:{line}"
        self.examples.append(example)

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the examples and what was noticed; `num_rows` counts all rows of the file, bad ones too.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no example.
        """
        if self._unlabelled and len(self._unlabelled) < len(self.examples):
            mend = "write [] where the passage holds no answer, or remove the row"
            for line in self._unlabelled:
                self.refuse(line, "answers", "the answers are missing here and given elsewhere", mend)
            self.examples = [example for example in self.examples if "answers" in example]
        notes = self.settle(num_rows)
        if self._moved:
            what = (
                f"{len(self._moved):,} of {self.num_answers:,} answers were not at their offset, and each occurs once"
            )
            notes.append(f"{MOVED}: {what}: {_rows(self._moved)}")
        if self._unplaced:
            what = f"{len(self._unplaced):,} of {self.num_answers:,} answers are no literal part of their passage, or"
            notes.append(f"{NOT_FOUND}: {what} several; they are judged by, not learned: {_rows(self._unplaced)}")
        if self._num_unanswerable:
            what = f"{self._num_unanswerable:,} of {len(self.examples):,} questions have no answer in their passage"
            notes.append(f"{UNANSWERED}: {what}")
        if not self.examples:
            raise self.problems.fail("no rows", "the file needs at least one question")
        return self.examples, notes

    def _place(self, line: int, context: str, given: list[tuple[str, int | None]]) -> list[dict[str, Any]]:
        """Return the answers with their places; see the class."""
        answers: list[dict[str, Any]] = []
        for text, start in given:
            bad = bad_character(text)
            if bad is not None:
                raise _BadAnswersError(f"{bad} in an answer", "remove it")
            place = start if start is not None and start >= 0 and context.startswith(text, start) else None
            if place is None:
                places = list(itertools.islice(occurrences(text, context), 2))
                place = places[0] if len(places) == 1 else NOWHERE
                if place == NOWHERE:
                    self._unplaced.append(line)
                elif start is not None:
                    self._moved.append(line)
            answers.append({"text": text, "start": place})
        self.num_answers += len(answers)
        self._num_unanswerable += not answers
        if answers and all(answer["start"] == NOWHERE for answer in answers):
            shown = answers[0]["text"]
            times = len(list(itertools.islice(occurrences(shown, context), 100)))
            raise _BadAnswersError(
                f"the answer {shown[:60]!r} occurs {times} times in the passage, and not at its offset"
                if times
                else f"the answer {shown[:60]!r} does not occur in the passage",
                _PLACE_MEND,
            )
        return answers


def occurrences(text: str, context: str) -> Iterator[int]:
    """Yield every place where a text begins in another, overlapping ones included."""
    place = context.find(text)
    while place >= 0:
        yield place
        place = context.find(text, place + 1)


def read_answers(values: Mapping[str, Any]) -> list[tuple[str, int | None]] | None:
    """Return the answers of a row as (text, start), empty where there is none; None for a row without labels.

    Taken are a text, a list of texts, SQuAD's list of `{"text", "answer_start"}` and the hub's
    `{"text": [...], "answer_start": [...]}`; starts may stand in a column of their own.
    """
    if _is_true(values.get("impossible")):
        return []
    value, starts = _as_json(values.get("answers")), _as_json(values.get("answer_start"))
    if value is None:
        return None
    if isinstance(value, Mapping):
        key = next((name for name in ("answer_start", "start") if name in value), None)
        value, starts = value.get("text", value.get("texts")), None if key is None else value[key]
    if isinstance(value, str):
        value = [value] if value.strip() else []
    if not isinstance(value, list):
        raise _BadAnswersError("answers are a text, a list of texts or SQuAD's objects", 'write [{"text": ...}]')
    texts: list[Any] = list(value)
    if texts and all(isinstance(item, Mapping) for item in texts):
        key = next((name for name in ("answer_start", "start") if name in texts[0]), "answer_start")
        texts, starts = [item.get("text") for item in texts], [item.get(key) for item in texts]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise _BadAnswersError("an answer that is empty or no text", "write [] where there is no answer")
    listed = starts if isinstance(starts, list) else [starts] * len(texts) if len(texts) < 2 else None
    if listed is None or len(listed) != len(texts):
        listed = [None] * len(texts) if starts is None else listed
    if listed is None or len(listed) != len(texts):
        raise _BadAnswersError(f"{len(texts)} answers and another number of starts", "give one start per answer")
    return [(text, _start(start)) for text, start in zip(texts, listed, strict=True)]


def _start(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise _BadAnswersError(f"the start {value!r} is no whole number", _PLACE_MEND) from None


def _is_true(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "1", "yes"))


def _as_json(value: Any) -> Any:
    """Read a list or object that is written as text, as in a cell of CSV."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _rows(lines: list[int]) -> str:
    distinct = sorted(set(lines))
    return ", ".join(map(str, distinct[:_SHOWN])) + (" ..." if len(distinct) > _SHOWN else "")
