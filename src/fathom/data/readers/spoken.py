"""Rows of a table that name a sound each, and say what is spoken in it."""

from __future__ import annotations

from typing import Any

from fathom.data.encodings import bad_character
from fathom.data.readers.columns import Layout
from fathom.data.readers.media import MediaRows
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import empty_notes
from fathom.data.section import DataSection


class SpokenRows(MediaRows):
    """Rows with a sound and its transcript; see `MediaRows`.

    Rows without a transcript are left out, unless no row has one: then the table is one of sounds, to be transcribed.
    """

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, problems, "speech")
        self.options = options
        self._empty: list[int] = []

    def said(self, line: int, values: dict[str, Any]) -> dict[str, str] | None:
        """Return the transcript of a row, and its group where given; None where one is wrong, which is noted."""
        said = super().said(line, values)
        if said is None or "transcript" not in values:
            return said
        text = values["transcript"]
        if text is None or (isinstance(text, str) and not text.strip()):
            self._empty.append(line)
            return said
        column = self.layout.name("transcript")
        if not isinstance(text, str):
            self.problems.add(
                f"the transcript is a {type(text).__name__}, not a text", "write a text", line=line, column=column
            )
            return None
        bad = bad_character(text)
        if bad is not None:
            self.problems.add(f"{bad} in the transcript", "remove it", line=line, column=column)
            return None
        return {**said, "transcript": text.strip()}

    def settle(self, num_rows: int) -> list[str]:
        """Leave out the rows without a transcript, where others have one.

        Raises:
            DataError: They are too many.
        """
        spoken = [example for example in self.examples if "transcript" in example]
        if not spoken:
            return []
        self.examples = spoken
        return empty_notes(self._empty, num_rows, self.options, self.problems, "transcript")
