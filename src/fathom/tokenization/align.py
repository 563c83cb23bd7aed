"""Words and character spans to sub-words and back, on offsets alone.

A sub-word's place is its first and last character in the text. Spans and sub-words need not match at their edges: a
span maps to every sub-word that shares a character with it, and back to the text from the first to the last of them,
cut to the span's words. What the tokenizer drops (control characters, words of combining marks alone) has no sub-word:
such spans are reported, never moved to a neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.tokenization.encode import clean_backend, encode_words, starts_of
from fathom.tokenization.words import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IntArray = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Encoded:
    """Texts in sub-words with places: sequence n is `starts[n]:starts[n + 1]` of `ids` [T] and `offsets` [T, 2]."""

    ids: np.ndarray[Any, np.dtype[np.int32]]
    offsets: IntArray
    starts: IntArray

    def of(self, index: int) -> tuple[np.ndarray[Any, np.dtype[np.int32]], IntArray]:
        """Return ids and offsets of one text."""
        place = slice(self.starts[index], self.starts[index + 1])
        return self.ids[place], self.offsets[place]


@dataclass(frozen=True)
class Coverage:
    """What becomes of words in a tokenizer: how many have a sub-word, which have none, and the size of the result."""

    words: int
    subwords: int
    untokenised: tuple[tuple[int, int], ...]
    """(text, word) of every word without a sub-word."""


def encode_offsets(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], chunk: int = 1024) -> Encoded:
    """Encode running texts without special tokens, with the characters of every sub-word.

    Offsets of sub-words that stand for no character of their own (a bare word mark) are empty. White space inside a
    byte-level sub-word belongs to it in the tokenizer's answer; it is taken off at both ends here.
    """
    backend = clean_backend(tokenizer)
    ids: list[Any] = []
    offsets: list[Any] = []
    for first in range(0, len(texts), chunk):
        for text, encoding in zip(
            texts[first : first + chunk],
            backend.encode_batch(list(texts[first : first + chunk]), add_special_tokens=False),
            strict=True,
        ):
            ids.append(np.array(encoding.ids, dtype=np.int32))
            offsets.append(trim(text, np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)))
    if not ids:
        return Encoded(np.empty(0, np.int32), np.empty((0, 2), np.int64), np.zeros(1, np.int64))
    lengths = np.array([len(item) for item in ids], dtype=np.int64)
    return Encoded(np.concatenate(ids), np.concatenate(offsets), starts_of(lengths))


def trim(text: str, offsets_T2: IntArray) -> IntArray:
    """Take white space off both ends of every offset; one of white space alone becomes empty."""
    if not len(text) or not len(offsets_T2):
        return offsets_T2
    blank = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    blank_N = _is_blank(blank)
    if not blank_N.any():
        return offsets_T2
    places_N = np.arange(len(text))
    # For each place: the next character that is not blank, and the end of the last one before it.
    after_N = np.minimum.accumulate(np.where(blank_N, len(text), places_N)[::-1])[::-1]
    before_N = np.maximum.accumulate(np.where(blank_N, 0, places_N + 1))
    start_T, end_T = offsets_T2[:, 0], offsets_T2[:, 1]
    full_T = end_T > start_T
    new_start_T = np.where(full_T, after_N[np.minimum(start_T, len(text) - 1)], start_T)
    new_end_T = np.where(full_T, before_N[np.maximum(end_T - 1, 0)], end_T)
    empty_T = new_end_T <= new_start_T
    return np.stack([np.where(empty_T, start_T, new_start_T), np.where(empty_T, start_T, new_end_T)], axis=1)


def words_of_offsets(words: Sequence[Span], offsets_T2: IntArray) -> IntArray:
    """Return the word of each sub-word, -1 where it touches none; of several touched words, the first.

    Args:
        words: Offsets in reading order, not overlapping.
        offsets_T2: Offsets of the sub-words.
    """
    if not words or not len(offsets_T2):
        return np.full(len(offsets_T2), -1, dtype=np.int64)
    word_W2 = np.array(words, dtype=np.int64)
    # The first word that ends behind the sub-word's start is its word, if it begins before the sub-word's end.
    word_T = np.searchsorted(word_W2[:, 1], offsets_T2[:, 0], side="right")
    inside_T = word_T < len(words)
    starts_T = word_W2[np.minimum(word_T, len(words) - 1), 0]
    touching_T = inside_T & (starts_T < offsets_T2[:, 1]) & (offsets_T2[:, 1] > offsets_T2[:, 0])
    return np.where(touching_T, word_T, -1)


def spans_to_subwords(spans: Sequence[Span], offsets_T2: IntArray) -> IntArray:
    """Return (first, last) sub-word of each span [S, 2]; (-1, -1) where no sub-word shares a character with it.

    Byte-level tokenizers cut a character into several sub-words with the same offsets: all of them belong to the span.
    """
    found_S2 = np.full((len(spans), 2), -1, dtype=np.int64)
    full = np.flatnonzero(offsets_T2[:, 1] > offsets_T2[:, 0])
    if not len(spans) or not len(full):
        return found_S2
    span_S2 = np.array(spans, dtype=np.int64)
    start_T, end_T = offsets_T2[full, 0], offsets_T2[full, 1]
    # Offsets rise through a text, also where neighbours share a character.
    first_S = np.searchsorted(end_T, span_S2[:, 0], side="right")
    last_S = np.searchsorted(start_T, span_S2[:, 1], side="left") - 1
    known_S = (first_S <= last_S) & (span_S2[:, 1] > span_S2[:, 0])
    found_S2[known_S, 0] = full[first_S[known_S]]
    found_S2[known_S, 1] = full[last_S[known_S]]
    return found_S2


def subwords_to_spans(places: IntArray, offsets_T2: IntArray, words: Sequence[Span] | None = None) -> list[Span | None]:
    """Return the characters of (first, last) sub-word pairs; None for (-1, -1).

    Args:
        places: [S, 2], as `spans_to_subwords` gives them.
        offsets_T2: Offsets of the sub-words.
        words: When given, a span that cuts a word is widened to whole words. Sub-words know no boundary within
            themselves, so only spans of whole words (or whole sub-words) come back as they were.
    """
    spans: list[Span | None] = []
    for first, last in np.asarray(places).tolist():
        if first < 0:
            spans.append(None)
            continue
        start, end = int(offsets_T2[first, 0]), int(offsets_T2[last, 1])
        spans.append((start, end) if words is None else widen((start, end), words))
    return spans


def widen(span: Span, words: Sequence[Span]) -> Span:
    """Return the smallest run of whole words that holds a span; the span itself where it touches none."""
    word_W2 = np.array(words, dtype=np.int64).reshape(-1, 2)
    first = int(np.searchsorted(word_W2[:, 1], span[0], side="right"))
    last = int(np.searchsorted(word_W2[:, 0], span[1], side="left")) - 1
    return (int(word_W2[first, 0]), int(word_W2[last, 1])) if first <= last else span


def coverage(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Sequence[str]]) -> Coverage:
    """Count the words of texts that a tokenizer turns into nothing.

    Args:
        tokenizer: A fast tokenizer.
        texts: The words of each text.
    """
    flat = encode_words(tokenizer, texts)
    lengths = np.array([len(words) for words in texts], dtype=np.int64)
    first_word = starts_of(lengths)
    seen = np.zeros(int(first_word[-1]), dtype=bool)
    if flat.words is not None:
        seen[np.repeat(first_word[:-1], np.diff(flat.starts)) + flat.words] = True
    missing = np.flatnonzero(~seen)
    text = np.searchsorted(first_word, missing, side="right") - 1
    pairs = tuple(zip(text.tolist(), (missing - first_word[text]).tolist(), strict=True))
    return Coverage(len(seen), len(flat.ids), pairs)


def _is_blank(codes: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    low = (codes == 32) | ((codes >= 9) & (codes <= 13)) | ((codes >= 28) & (codes <= 31)) | (codes == 0x85)
    high = (codes == 0xA0) | (codes == 0x1680) | ((codes >= 0x2000) & (codes <= 0x200A))
    rest = (codes == 0x2028) | (codes == 0x2029) | (codes == 0x202F) | (codes == 0x205F) | (codes == 0x3000)
    result: np.ndarray[Any, np.dtype[np.bool_]] = low | high | rest
    return result
