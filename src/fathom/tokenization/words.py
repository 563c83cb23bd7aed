"""Where the words of a text are: the units a token classifier labels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

Span = tuple[int, int]
"""Character offsets (start, end) into a text, end excluded."""

HAN = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0002a6df\U0002a700-\U0002ebef\U0002ebf0-\U0002ee5d\U0002f800-\U0002fa1f\U00030000-\U000323af"
)
"""The ranges of Chinese characters, as they stand in a character class of a regular expression."""
_CHARACTER = re.compile(f"[{HAN}]")
_HAN_OR_REST = re.compile(f"[{HAN}]|[^{HAN}]+")
_MARK = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u200d\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\U0001f3fb-\U0001f3ff"
_WORD = re.compile(f"[{HAN}][{_MARK}]*|(?:[^\\W{HAN}][{_MARK}]*)+|[^\\w\\s](?:[{_MARK}]+[^\\w\\s{_MARK}]?)*|[{_MARK}]+")


def has_han(text: str) -> bool:
    """Tell whether a text has a Chinese character."""
    return _CHARACTER.search(text) is not None


def find_words(text: str) -> list[Span]:
    """Split plain text into words: runs of letters and digits, single symbols, single Chinese characters.

    Combining marks stay with the letter before them, emoji sequences joined by U+200D stay one word.
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    if text.isascii():
        return spans
    joined: list[Span] = []
    for start, end in spans:
        if joined and joined[-1][1] == start and _goes_on(text, joined[-1][0], start):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def split_han(text: str, words: Sequence[Span]) -> tuple[list[Span], list[int]]:
    """Split each word that holds Chinese characters into those characters and the runs between them.

    Returns:
        The units, and for each the index of the word it is from.
    """
    units: list[Span] = []
    owners: list[int] = []
    for index, (start, end) in enumerate(words):
        if _CHARACTER.search(text, start, end) is None:
            units.append((start, end))
            owners.append(index)
            continue
        pieces = [match.span() for match in _HAN_OR_REST.finditer(text, start, end)]
        units.extend(pieces)
        owners.extend([index] * len(pieces))
    return units, owners


def slices(text: str, spans: Iterable[Span]) -> list[str]:
    """Return the pieces of text at the spans."""
    return [text[start:end] for start, end in spans]


def _goes_on(text: str, first: int, place: int) -> bool:
    """Tell whether a word from `first` goes on at `place`: with a mark the pattern does not list, or after one."""
    if unicodedata.category(text[place])[0] == "M":
        return True
    after_mark = unicodedata.category(text[place - 1])[0] == "M"
    return after_mark and text[first].isalnum() and text[place].isalnum() and _CHARACTER.match(text, place) is None
