"""Rows with a text and a label become examples, whatever file they come from."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.section import DataSection

_UNLABELLED = object()


class Numeral(str):
    """A number of a JSON file, exactly as it is written there."""


class RowChecks:
    """Checks rows one by one and collects the examples.

    Args:
        layout: Names of the columns, for messages.
        options: The data section.
        problems: Takes what is wrong.
    """

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        self.layout = layout
        self.options = options
        self.problems = problems
        self.examples: list[Example] = []
        self.empty: list[int] = []
        """Lines of the rows without a text."""

    def settle(self, num_rows: int) -> list[str]:
        """Return what is to be said of bad and empty rows; `num_rows` counts all rows of the file.

        Raises:
            DataError: Problems were found (and are not skipped), or too many texts are empty.
        """
        bad = self.problems.finish(num_rows)
        return [*bad, *empty_notes(self.empty, num_rows, self.options, self.problems)]

    def refuse(self, line: int, role: str, message: str, mend: str) -> None:
        """Note what is wrong with a row, in the column of a role where the file has one."""
        column = self.layout.name(role) if role in self.layout.roles else None
        self.problems.add(message, mend, line=line, column=column)


class TextRows(RowChecks):
    """Rows with a text and a label; see `RowChecks`."""

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, options, problems)
        self._unlabelled: list[int] = []
        self._kind: tuple[str, int] | None = None
        self._stripped = self._repeated = self._targetless = 0
        self._label_name = layout.name("label") if "label" in layout.roles else "label"

    def add(self, line: int, text: Any, pair: Any = None, label: Any = None) -> None:
        """Check one row; `line` counts from 1."""
        if type(text) is not str:
            self._wrong_text(line, "text", text)
            return
        bad = bad_character(text)
        if bad is not None:
            self._bad_character(line, "text", bad)
            return
        if not text or text.isspace():
            self.empty.append(line)
            return
        example: Example = {"text": text}
        if "text_pair" in self.layout.roles:
            if type(pair) is not str:
                self._wrong_text(line, "text_pair", pair)
                return
            bad = bad_character(pair)
            if bad is not None:
                self._bad_character(line, "text_pair", bad)
                return
            if not pair or pair.isspace():
                self.empty.append(line)
                return
            example["text_pair"] = pair
        if "label" in self.layout.roles:
            value = self._label(line, label)
            if value is None:
                return
            if value is _UNLABELLED:
                self._unlabelled.append(line)
            else:
                example["label"] = value
        example["where"] = f"{self.problems.path}:{line}"
        self.examples.append(example)

    def add_targets(self, line: int, text: Any, targets: Any) -> None:
        """Check one row whose label column maps targets to labels; each target becomes an example."""
        if not isinstance(text, str):
            self._wrong_text(line, "text", text)
            return
        if not text or text.isspace():
            self.empty.append(line)
            return
        column = self.layout.name("targets")
        if isinstance(targets, str):
            targets = _read_mapping(targets)
        if not isinstance(targets, dict) or not all(isinstance(label, str) for label in targets.values()):
            self.problems.add(
                "not a mapping of target to label such as {'Tata Steel': 'negative'}",
                "write an apostrophe inside a name as \\' or enclose the name in double quotes",
                line=line,
                column=column,
            )
            return
        where = f"{self.problems.path}:{line}"
        bad = bad_character(" ".join([text, *map(str, targets), *targets.values()]))
        if bad is not None:
            self._bad_character(line, "targets", bad)
            return
        self._targetless += not targets
        for target, label in targets.items():
            self.examples.append({"text": text, "text_pair": str(target), "label": label.strip(), "where": where})

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the examples and what was noticed; `num_rows` counts all rows of the file, bad ones too.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no example.
        """
        self._settle_labels()
        notes = self.settle(num_rows)
        if self._stripped:
            notes.append(f"white space around {self._stripped} labels was removed")
        if self._repeated:
            notes.append(f"{self._repeated} rows name a label twice; it counts once")
        if self._targetless:
            notes.append(f"{self._targetless} rows name no target and give no example")
        if not self.examples:
            raise self.problems.fail("no rows", "the file needs at least one row of data besides a header")
        return self.examples, notes

    def _settle_labels(self) -> None:
        if self._unlabelled and self._kind is not None:
            for line in self._unlabelled:
                self.problems.add("the label is empty", "give every row a label", line=line, column=self._label_name)
            self.examples = [example for example in self.examples if "label" in example]

    def _label(self, line: int, label: Any) -> Any:
        """Return the label as text or list of texts; `_UNLABELLED` for a row without one; None for a bad row."""
        if label is None:
            return _UNLABELLED
        if isinstance(label, float) and math.isnan(label):
            return self._bad_label(line, "NaN is no label")
        separator = self.options.label_separator
        if isinstance(label, str) and not isinstance(label, Numeral):
            if separator is not None:
                return self._several(line, label.split(separator) if label.strip() else [])
            return self._single(line, label) if not label.strip() or self._is_kind(line, "text") else None
        if isinstance(label, list):
            if not all(isinstance(item, str) for item in label):
                return self._bad_label(line, f"the list of labels {label!r} holds something that is not a text"[:120])
            return self._several(line, label) if self._is_kind(line, "a list") else None
        if isinstance(label, bool):
            return str(label).lower() if self._is_kind(line, "true or false") else None
        if isinstance(label, int | float | Numeral):
            return self._single(line, str(label)) if self._is_kind(line, "a number") else None
        if isinstance(label, dict):
            return self._single(line, str(label))
        return self._bad_label(line, f"a label is a text, a number or a list of texts, not {type(label).__name__}")

    def _is_kind(self, line: int, kind: str) -> bool:
        """Whether the labels so far are of one kind; a file that mixes them would merge or part classes silently."""
        if self._kind is None:
            self._kind = (kind, line)
        if self._kind[0] == kind:
            return True
        first_kind, first_line = self._kind
        self.problems.add(
            f"the label is {kind}, but in line {first_line} it is {first_kind}",
            "write all labels of the column the same way",
            line=line,
            column=self._label_name,
        )
        return False

    def _single(self, line: int, label: str) -> Any:
        stripped = label.strip()
        if not stripped:
            return _UNLABELLED
        self._kind = self._kind or ("text", line)
        self._stripped += stripped != label
        bad = bad_character(stripped)
        if bad is not None:
            return self._bad_label(line, f"{bad} in the label")
        if stripped.lower() == "nan":
            return self._bad_label(line, f"{stripped} (not a number) is no label")
        if stripped[0] == "{" and stripped[-1] == "}" and ":" in stripped:
            self.problems.add(
                f"the label is a mapping: {stripped[:60]}",
                f"map the column as data.columns.text=NAME data.columns.targets={self._label_name}: "
                "each target becomes the text_pair of an example",
                line=line,
                column=self._label_name,
            )
            return None
        return stripped

    def _several(self, line: int, labels: list[str]) -> Any:
        self._kind = self._kind or ("text", line)
        result: list[str] = []
        for label in labels:
            value = self._single(line, label.strip())
            if value is _UNLABELLED:
                return self._bad_label(line, f"an empty label in {labels!r}"[:120])
            if value is None:
                return None
            if value not in result:
                result.append(value)
        self._repeated += len(result) < len(labels)
        return result

    def _bad_label(self, line: int, message: str) -> Any:
        mend = "write the label of every row as text, or remove the row"
        self.problems.add(message, mend, line=line, column=self._label_name)
        return None

    def _bad_character(self, line: int, role: str, bad: str) -> None:
        self.problems.add(f"{bad} in the text", "remove it", line=line, column=self.layout.name(role))

    def _wrong_text(self, line: int, role: str, value: Any) -> None:
        kinds = {Numeral: "number", int: "number", float: "number", bool: "true or false", dict: "mapping"}
        kind = "missing" if value is None else f"a {kinds.get(type(value), type(value).__name__)}, not a text"
        name = self.layout.name(role)
        self.problems.add(f"the {role} is {kind}", text_mend(name, value), line=line, column=name)


def text_mend(column: str, value: Any) -> str:
    """Return what to do about a cell that should be a text; of an object, to name the key in it."""
    inner = [key for key, held in value.items() if isinstance(held, str)] if isinstance(value, dict) else []
    return f"name the text inside the object: '{column}.{inner[0]}'" if inner else "give every row a text"


def empty_notes(
    empty: list[int], num_rows: int, options: DataSection, problems: Problems, what: str = "text"
) -> list[str]:
    """Say which rows were left out for an empty text (or `what` it is), or refuse the file when they are too many.

    Raises:
        DataError: More than `max_empty_share` of the rows.
    """
    if not empty:
        return []
    lines = ", ".join(map(str, empty[:20])) + (" ..." if len(empty) > 20 else "")
    said = f"{len(empty)} of {num_rows} rows have an empty {what}: lines {lines}"
    if len(empty) > options.max_empty_share * num_rows:
        mend = f"fill or remove them, or allow them: data.max_empty_share={min(1.0, len(empty) / num_rows + 0.01):.2f}"
        raise problems.fail(said, mend, line=empty[0])
    return [f"{said} (left out)"]


def finite_number(value: Any) -> float | None:
    """Return the number a cell holds; None where it holds none, or NaN or infinity."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and not isinstance(value, bool) else None


def as_json(value: Any) -> Any:
    """Return what a cell of text holds as JSON, or the cell where it holds none."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _read_mapping(text: str) -> Any:
    """Read a Python or JSON mapping; None when it is not one."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
