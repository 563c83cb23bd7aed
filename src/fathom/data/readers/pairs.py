"""Rows of texts that belong together: pairs, with negatives or scores, labelled texts, texts alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import Numeral, RowChecks, finite_number
from fathom.data.section import DataSection
from fathom.data.split import normalize_text


class PairRows(RowChecks):
    """Checks rows one by one and collects the examples; see `RowChecks`."""

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, options, problems)
        self._same = 0

    def add(self, line: int, values: Mapping[str, Any]) -> None:
        """Check one row: its values by role of the column."""
        example: Example = {}
        for role in ("text", "text_pair"):
            if role in self.layout.roles:
                text = values[role]
                if isinstance(text, str) and not text.strip():
                    self.empty.append(line)
                    return
                if not self._is_text(line, role, text):
                    return
                example[role] = text
        if "text_pair" in example and normalize_text(example["text"]) == normalize_text(example["text_pair"]):
            self._same += 1
        if "negative" in self.layout.roles:
            negatives = self._negatives(line, values["negative"], example)
            if negatives is None:
                return
            example["negatives"] = negatives
        if "score" in self.layout.roles:
            score = finite_number(values["score"])
            if score is None:
                said = f"the score is {values['score']!r}, not a number"[:120]
                self.refuse(line, "score", said, "say how near the two texts are, as a number")
                return
            example["score"] = score
        if "label" in self.layout.roles:
            label = values["label"]
            if not isinstance(label, str | int) or isinstance(label, bool) or not str(label).strip():
                self.refuse(line, "label", f"the label is {label!r}"[:120], "give every row one label")
                return
            example["label"] = str(label).strip()
        example["where"] = f"{self.problems.path}:{line}"
        self.examples.append(example)

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the examples and what was noticed; `num_rows` counts all rows of the file, bad ones too.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no example.
        """
        notes = self.settle(num_rows)
        if not self.examples:
            raise self.problems.fail("no rows", "the file needs at least one row of data besides a header")
        if self._same:
            notes.append(f"{self._same} rows hold the same text twice; nothing is learnt from them")
        return self.examples, notes

    def _negatives(self, line: int, value: Any, example: Example) -> list[str] | None:
        if isinstance(value, str) and value.lstrip().startswith("["):
            with suppress(ValueError, RecursionError):  # a text may begin with a bracket
                value = json.loads(value)
        given = value if isinstance(value, list) else [] if value is None else [value]
        negatives = [text for text in given if not (isinstance(text, str) and not text.strip())]
        for text in negatives:
            if not self._is_text(line, "negative", text):
                return None
            if normalize_text(text) == normalize_text(example.get("text_pair", "")):
                said = "a negative is the very text that belongs to the first one"
                self.refuse(line, "negative", said, "remove it: what is near and far at once teaches nothing")
                return None
        return negatives

    def _is_text(self, line: int, role: str, value: Any) -> bool:
        if not isinstance(value, str) or isinstance(value, Numeral):
            kind = "missing" if value is None else f"a {type(value).__name__}, not a text"
            self.refuse(line, role, f"the {role} is {kind}", "give every row texts")
            return False
        bad = bad_character(value)
        if bad is not None:
            self.refuse(line, role, f"{bad} in the text", "remove it")
        return bad is None
