"""Filters by what a text looks like: its length, its repetitions, its symbols."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import islice
from typing import Literal

from pydantic import Field

from fathom.data.corpus.filters.base import WORD, CorpusFilter, Verdict
from fathom.data.corpus.pieces import Document


class MinLength(CorpusFilter):
    """Leaves out documents of few words; a Chinese character counts as a word."""

    kind: Literal["min-length"] = "min-length"
    min_words: int = Field(10, ge=1)
    """Words the shortest document has."""

    def open(self) -> Verdict:
        """Return the function that counts."""

        def stays(document: Document) -> bool:
            words = islice(WORD.finditer(document.text), self.min_words)
            return sum(1 for _ in words) == self.min_words

        return stays


class Symbols(CorpusFilter):
    """Leaves out documents with many characters that are no letters, digits, marks or white space."""

    kind: Literal["symbols"] = "symbols"
    max_share: float = Field(0.3, ge=0, le=1)
    """Largest share of such characters among those that are not white space; prose has about 0.05 (English) to 0.2
    (Chinese verse), source code 0.2 to 0.4."""

    def open(self) -> Verdict:
        """Return the function that counts."""

        def stays(document: Document) -> bool:
            counts = Counter(document.text)
            seen = {character: count for character, count in counts.items() if not character.isspace()}
            symbols = sum(count for character, count in seen.items() if _is_symbol(character))
            return symbols <= self.max_share * sum(seen.values())

        return stays


class Repetition(CorpusFilter):
    """Leaves out documents that repeat lines or phrases (Gopher's rules, arXiv 2112.11446, table A1).

    A line or phrase counts from the second time it stands: what a short text or a poem says twice is no repetition.
    """

    kind: Literal["repetition"] = "repetition"
    max_duplicate_lines: float = Field(0.3, ge=0, le=1)
    """Largest share of lines that stood before in the same document."""
    max_duplicate_line_characters: float = Field(0.2, ge=0, le=1)
    """Largest share of the characters that stand in such lines."""
    max_top_phrase: float = Field(0.2, ge=0, le=1)
    """Largest share of the characters that repeats of the most frequent phrase of two words may cover; those of one of
    three words may cover 0.02 less, of four 0.04 less."""
    max_duplicate_phrases: float = Field(0.15, ge=0, le=1)
    """Largest share of the characters that stand in a phrase of five words that stood before."""

    def open(self) -> Verdict:
        """Return the function that counts."""

        def stays(document: Document) -> bool:
            return self._lines_differ(document.text) and self._phrases_differ(WORD.findall(document.text))

        return stays

    def _lines_differ(self, text: str) -> bool:
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        seen: set[str] = set()
        repeated = characters = 0
        for line in lines:
            if line in seen:
                repeated += 1
                characters += len(line)
            seen.add(line)
        total = sum(map(len, lines))
        return (
            repeated <= self.max_duplicate_lines * len(lines)
            and characters <= self.max_duplicate_line_characters * total
        )

    def _phrases_differ(self, words: list[str]) -> bool:
        total = sum(map(len, words))
        for size, share in ((2, 0.0), (3, 0.02), (4, 0.04)):
            phrases = Counter(zip(*(words[place:] for place in range(size)), strict=False))
            if phrases:
                phrase, count = phrases.most_common(1)[0]
                if (count - 1) * sum(map(len, phrase)) > max(0.0, self.max_top_phrase - share) * total:
                    return False
        seen: set[tuple[str, ...]] = set()
        repeated = end = 0
        for place, five in enumerate(zip(*(words[place:] for place in range(5)), strict=False)):
            if five in seen:
                repeated += sum(map(len, words[max(end, place) : place + 5]))
                end = place + 5
            seen.add(five)
        return repeated <= self.max_duplicate_phrases * total


@lru_cache(maxsize=1 << 16)
def _is_symbol(character: str) -> bool:
    return unicodedata.category(character)[0] not in "LNMZ"
