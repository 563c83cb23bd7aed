"""Rows with a source and what is to be written for it: one target, or several references."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fathom.data.encodings import bad_character
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import RowChecks, empty_notes
from fathom.data.section import DataSection

_WIDE = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]\Z")


class WrittenRows(RowChecks):
    """Rows with a source and its target; see `RowChecks`.

    A cell may hold a list of texts: the sentences of a source, which are joined, or the references of a target, which
    stay apart.
    """

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, options, problems)
        self.without_target: list[int] = []
        self._joined = self._several = 0

    def add(self, line: int, values: Mapping[str, Any]) -> None:
        """Check one row: its values by role of the column; `line` counts from 1."""
        sentences = self._texts(line, "source", values["source"])
        references = self._texts(line, "target", values["target"]) if "target" in self.layout.roles else []
        if sentences is None or references is None:
            return
        if not sentences:
            self.empty.append(line)
            return
        if "target" in self.layout.roles and not references:
            self.without_target.append(line)
        self._joined += len(sentences) > 1
        self._several += len(references) > 1
        example: Example = {"text": join_sentences(sentences)}
        if references:
            example["references"] = references
        self.examples.append({**example, "where": f"{self.problems.path}:{line}"})

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the examples and what was noticed; `num_rows` counts all rows of the file, bad ones too.

        Rows without a target are left out, unless no row has one: then the file is one of sources, to be answered.

        Raises:
            DataError: Problems were found (and are not skipped), or too many sources or targets are empty.
        """
        notes = list(self.problems.finish(num_rows))
        if any("references" in example for example in self.examples):
            self.examples = [example for example in self.examples if "references" in example]
        else:
            self.without_target = []
        for lines, what in ((self.empty, "source"), (self.without_target, "target")):
            notes += empty_notes(lines, num_rows, self.options, self.problems, what)
        if not self.examples:
            raise self.problems.fail("no rows", "the file needs at least one row of data besides a header")
        if self._joined:
            notes.append(f"{self._joined:,} sources are lists of sentences, joined to one text")
        if self._several:
            most = max(len(example.get("references", ())) for example in self.examples)
            notes.append(
                f"{self._several:,} rows have several references (up to {most}); training takes the first, scores all"
            )
        return self.examples, notes

    def _texts(self, line: int, role: str, value: Any) -> list[str] | None:
        """Return the texts of a cell, empty ones left out; None for a bad cell."""
        value = as_list(value)
        texts = value if isinstance(value, list) else [] if value is None else [value]
        for text in texts:
            if type(text) is not str:
                self.problems.add(
                    f"the {role} is a {type(text).__name__}, not a text",
                    "write a text, or a list of texts",
                    line=line,
                    column=self.layout.name(role),
                )
                return None
            bad = bad_character(text)
            if bad is not None:
                self.problems.add(f"{bad} in the {role}", "remove it", line=line, column=self.layout.name(role))
                return None
        return [text for text in texts if text.strip()]


def as_list(value: Any) -> Any:
    """Read a list of texts that is written as JSON in a cell of text."""
    if not isinstance(value, str) or not value.lstrip().startswith('["'):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return found if isinstance(found, list) else value


def join_sentences(sentences: list[str]) -> str:
    """Return sentences as one text: a space between them, none after a Chinese or Japanese one."""
    text = sentences[0]
    for sentence in sentences[1:]:
        text += sentence if _WIDE.search(text) else f" {sentence}"
    return text
