"""Words and their places in the text: joining given words, finding them in a raw text, splitting a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

Span = tuple[int, int]

_ASCII_WORD = re.compile(r"[^\W_]+|[^\w\s]|_")
_JOINED = re.compile(
    "[\u2e80-\u2fdf\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003fffd]"
)
_SPLIT = re.compile("[\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")


def join_words(words: Sequence[str], join: str = "auto") -> tuple[str, list[Span]]:
    """Make a text of words.

    Args:
        words: None of them empty.
        join: `space`, `none`, or `auto`: no space beside a Chinese or Japanese character.

    Returns:
        The text and the place of each word in it.
    """
    if join == "space" or (join == "auto" and not _JOINED.search("".join(words))):
        return _spaced(words)
    pieces: list[str] = []
    spans: list[Span] = []
    end = 0
    before = ""
    for word in words:
        if before and join != "none" and not (_JOINED.match(before) or _JOINED.match(word)):
            pieces.append(" ")
            end += 1
        pieces.append(word)
        spans.append((end, end + len(word)))
        end += len(word)
        before = word[-1]
    return "".join(pieces), spans


def _spaced(words: Sequence[str]) -> tuple[str, list[Span]]:
    end = -1
    return " ".join(words), [(start := end + 1, end := start + len(word)) for word in words]


def find_words(text: str, words: Iterable[str]) -> list[Span] | None:
    """Find words one after another in a raw text, with only white space between; None when they do not fit."""
    spans = []
    place = 0
    for word in words:
        start = place
        if not text.startswith(word, place):
            start = text.find(word, place)
            if start < 0 or text[place:start].strip():
                return None
        place = start + len(word)
        spans.append((start, place))
    return None if text[place:].strip() else spans


def split_words(text: str, borders: Iterable[int] = ()) -> list[Span]:
    """Split a text at white space and punctuation, Chinese and Japanese ideographs one by one.

    Combining marks stay with the character before them. A word never runs over a border.

    Args:
        text: Any text.
        borders: Offsets at which a word must end or begin.
    """
    spans = [match.span() for match in _ASCII_WORD.finditer(text)] if text.isascii() else _split_unicode(text)
    cuts = sorted(set(borders))
    if not cuts:
        return spans
    result: list[Span] = []
    index = 0
    for start, end in spans:
        while index < len(cuts) and cuts[index] <= start:
            index += 1
        begin = start
        while index < len(cuts) and cuts[index] < end:
            result.append((begin, cuts[index]))
            begin = cuts[index]
            index += 1
        result.append((begin, end))
    return result


def _split_unicode(text: str) -> list[Span]:
    spans: list[Span] = []
    start = -1
    for place, character in enumerate(text):
        kind = _kind(character)
        if kind == "word":
            if start < 0:
                start = place
        elif kind == "mark":
            if start < 0 and spans and spans[-1][1] == place:
                spans[-1] = (spans[-1][0], place + 1)
            elif start < 0:
                start = place
        else:
            if start >= 0:
                spans.append((start, place))
                start = -1
            if kind == "alone":
                spans.append((place, place + 1))
    if start >= 0:
        spans.append((start, len(text)))
    return spans


@lru_cache(maxsize=65536)
def _kind(character: str) -> str:
    """`word` (runs together), `mark` (joins what is before), `alone` (a word of its own) or `space`."""
    if character.isspace():
        return "space"
    if _SPLIT.match(character):
        return "alone"
    category = unicodedata.category(character)
    if category[0] == "M" or character == "\u200d":
        return "mark"
    return "word" if category[0] in "LN" else "space" if category == "Cc" else "alone"
