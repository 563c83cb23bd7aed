"""How wrong a transcript is: edits for each word, or each character, of what was said; by jiwer."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from fathom.errors import MissingExtraError
from fathom.evaluation.base import Accumulator, Metric

_WIDE = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")


def spaced(text: str) -> str:
    """Return a text whose words are set apart by spaces, every Chinese, Japanese or Korean character being one.

    Text without spaces would otherwise be one word, right or wrong as a whole; mixed text has the field's "mixed error
    rate" so.
    """
    return " ".join(_WIDE.sub(r" \1 ", text).split())


class EditRate(Metric):
    """A rate of edits by the package jiwer, over all sounds together: a corpus score, and lower is better."""

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting.

        Raises:
            MissingExtraError: The extra `audio` is not installed.
        """
        try:
            import jiwer
        except ImportError:
            raise MissingExtraError("jiwer", "audio") from None
        return self.counter(jiwer)

    @abstractmethod
    def counter(self, jiwer: Any) -> Accumulator:
        """Return the accumulator, with jiwer's own counts."""


class WordErrorRate(EditRate):
    """Word error rate: substituted, left out and inserted words over the words that were said.

    Chinese, Japanese and Korean characters count as words of their own.
    """

    gives = ("wer", "sentence_error_rate")

    def counter(self, jiwer: Any) -> Accumulator:
        """Return a counter of words."""
        return WordEdits(jiwer.process_words)


class CharacterErrorRate(EditRate):
    """Character error rate: substituted, left out and inserted characters over those that were said, with spaces."""

    gives = ("cer",)

    def counter(self, jiwer: Any) -> Accumulator:
        """Return a counter of characters."""
        return CharacterEdits(jiwer.process_characters)


class EditAccumulator(Accumulator):
    """Sums of edits. A pair is `(text, text)`: what was heard, and what was said."""

    name: ClassVar[str]
    units: ClassVar[str]

    def __init__(self, process: Any) -> None:
        self._process = process
        self.substitutions = self.deletions = self.insertions = self.wanted = self.wrong = self.count = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one sound."""
        edits, wanted = self._edits(prediction, reference)
        self.substitutions += edits[0]
        self.deletions += edits[1]
        self.insertions += edits[2]
        self.wanted += wanted
        self.wrong += any(edits)
        self.count += 1

    def compute(self) -> dict[str, Any]:
        """The rate, and of which edits it is made under `<units>_edits`; no rate where nothing was said."""
        edits = {"substitutions": self.substitutions, "deletions": self.deletions, "insertions": self.insertions}
        rate = {self.name: sum(edits.values()) / self.wanted} if self.wanted else {}
        return {**rate, f"{self.units}_edits": {**edits, self.units: self.wanted}}

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...] | None:
        """(edits, units that were said) of one sound."""
        edits, wanted = self._edits(prediction, reference)
        return float(sum(edits)), float(wanted)

    def _edits(self, heard: str, said: str) -> tuple[tuple[int, int, int], int]:
        found = self._process(self.cut(said), self.cut(heard))
        edits = (found.substitutions, found.deletions, found.insertions)
        return edits, found.hits + found.substitutions + found.deletions

    @staticmethod
    @abstractmethod
    def cut(text: str) -> str:
        """Return a text as jiwer shall cut it."""


class WordEdits(EditAccumulator):
    """Counts words, and the sounds that are not heard without a mistake."""

    name = "wer"
    units = "words"
    sums_to: ClassVar[str | None] = "wer"

    def compute(self) -> dict[str, Any]:
        """The rate, its edits, and `sentence_error_rate`: the share of sounds with a mistake in them."""
        rate = {"sentence_error_rate": self.wrong / self.count} if self.count else {}
        return {**super().compute(), **rate}

    @staticmethod
    def cut(text: str) -> str:
        """Return words set apart by single spaces."""
        return spaced(text)


class CharacterEdits(EditAccumulator):
    """Counts characters; a space between words is one of them."""

    name = "cer"
    units = "characters"
    sums_to: ClassVar[str | None] = "cer"

    @staticmethod
    def cut(text: str) -> str:
        """Return a text with single spaces."""
        return " ".join(text.split())
