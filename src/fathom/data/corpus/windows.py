"""Windows of tokens over a corpus: cut one after another, or documents packed by best fit; nothing is held whole."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fathom.data.corpus.bestfit import pack_best_fit
from fathom.data.corpus.store import CorpusStore
from fathom.data.example import Features
from fathom.data.sampler import permutation
from fathom.errors import DataError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Spans:
    """Which tokens of which documents are used, in order.

    Attributes:
        document: Index of the document, int64 [S].
        start: First token in the document, int64 [S].
        length: Tokens, int64 [S].
    """

    document: Array
    start: Array
    length: Array

    @property
    def num_tokens(self) -> int:
        """Tokens of all spans."""
        return int(self.length.sum())

    def digest(self) -> str:
        """Return the digest of all numbers."""
        hasher = hashlib.blake2b(digest_size=32)
        for numbers in (self.document, self.start, self.length):
            hasher.update(np.ascontiguousarray(numbers, dtype=np.int64).data)
        return hasher.hexdigest()

    def take(self, chosen: Array) -> Spans:
        """Return some of the spans, by index or mask."""
        return Spans(self.document[chosen], self.start[chosen], self.length[chosen])


@dataclass(frozen=True)
class WindowPlan:
    """Which pieces of documents make up each window: window w holds the pieces `window_offsets[w:w + 2]`.

    Attributes:
        piece_document: Index of the document, int64 [P].
        piece_start: First token in the document, int64 [P].
        piece_length: Tokens, int64 [P].
        window_offsets: First piece of each window, and the number of pieces: int64 [W + 1].
    """

    piece_document: Array
    piece_start: Array
    piece_length: Array
    window_offsets: Array

    def __len__(self) -> int:
        return len(self.window_offsets) - 1

    @cached_property
    def lengths(self) -> Array:
        """Tokens of each window, int64 [W]."""
        ends = np.zeros(len(self.piece_length) + 1, dtype=np.int64)
        np.cumsum(self.piece_length, out=ends[1:])
        lengths: Array = np.diff(ends[self.window_offsets])
        return lengths

    @property
    def num_tokens(self) -> int:
        """Tokens of all windows."""
        return int(self.piece_length.sum())


@dataclass(frozen=True)
class CorpusWindows:
    """The windows of one plan over one store, as sequences to train on."""

    store: CorpusStore
    plan: WindowPlan

    def __len__(self) -> int:
        return len(self.plan)

    @property
    def lengths(self) -> Array:
        """Tokens of each window, int64."""
        return self.plan.lengths

    @property
    def num_tokens(self) -> int:
        """Tokens of all windows."""
        return self.plan.num_tokens

    def used_ids(self) -> Array:
        """Return the token ids that occur in the store, ascending."""
        return self.store.used_ids()

    def window(self, index: int) -> tuple[Array, Array]:
        """Return the ids of a window [L] and the lengths of its pieces."""
        plan, store = self.plan, self.store
        pieces = slice(plan.window_offsets[index], plan.window_offsets[index + 1])
        lengths = plan.piece_length[pieces]
        starts = store.document_offsets[plan.piece_document[pieces]] + plan.piece_start[pieces]
        parts = [
            store.tokens(start, start + length) for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts), lengths

    def __getitem__(self, index: int) -> Features:
        """Return `input_ids` and `segment` (which piece of the window a token is of), int32 [L]."""
        ids, lengths = self.window(index)
        return {
            "input_ids": ids.astype(np.int32),
            "segment": np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        }


def all_spans(store: CorpusStore) -> Spans:
    """Return the whole of every document that has tokens."""
    offsets = np.asarray(store.document_offsets)
    lengths = np.diff(offsets)
    document = np.flatnonzero(lengths)
    return Spans(document, np.zeros(len(document), np.int64), lengths[document])


def split_spans(spans: Spans, fraction: float, seed: int, where: str | None = None) -> tuple[Spans, Spans]:
    """Split into train and validation: whole documents chosen by chance, or the end where documents are too long.

    Args:
        spans: All of them.
        fraction: Share of the tokens for validation; 0 leaves it empty.
        seed: Of the choice.
        where: Their source, for the message.

    Raises:
        DataError: There is too little text to split.
    """
    target = int(spans.num_tokens * fraction)
    if fraction == 0:
        return spans, spans.take(np.empty(0, np.int64))
    if target < 1:
        raise DataError(
            f"{spans.num_tokens} tokens are too few to take {fraction:.3g} of them for validation",
            where=where,
            mend="give data.validation a file, or data.validation_fraction=0 for none",
        )
    order = permutation(len(spans.length), seed, 0)
    order = order[spans.length[order] <= target]
    if spans.length[order].sum() < target:
        return _split_end(spans, spans.num_tokens - target)
    chosen = order[: int(np.searchsorted(np.cumsum(spans.length[order]), target)) + 1]
    held = np.zeros(len(spans.length), dtype=bool)
    held[chosen] = True
    return spans.take(~held), spans.take(held)


def _split_end(spans: Spans, place: int) -> tuple[Spans, Spans]:
    """Split the stream of tokens at one place, inside a document where it falls there."""
    ends = np.cumsum(spans.length)
    cut = int(np.searchsorted(ends, place, side="left"))  # the span in which the first part ends
    inside = place - int(ends[cut] - spans.length[cut])
    first = Spans(spans.document[: cut + 1], spans.start[: cut + 1], spans.length[: cut + 1].copy())
    second = Spans(spans.document[cut:], spans.start[cut:].copy(), spans.length[cut:].copy())
    first.length[-1] = inside
    second.start[0] += inside
    second.length[0] -= inside
    return first.take(first.length > 0), second.take(second.length > 0)


def cut_windows(spans: Spans, length: int, overhead: int = 0) -> WindowPlan:
    """Cut the stream of all spans every `length` tokens; the last window may be shorter.

    Args:
        spans: All of them.
        length: Of a window.
        overhead: Tokens that each piece takes more than its own; a window ends early where no token fits besides.
    """
    if overhead:
        return _cut_framed(spans, length, overhead)
    offsets = np.zeros(len(spans.length) + 1, dtype=np.int64)
    np.cumsum(spans.length, out=offsets[1:])
    windows = np.arange(0, offsets[-1], length)
    starts = np.union1d(offsets[:-1], windows)
    span = np.searchsorted(offsets, starts, side="right") - 1
    return WindowPlan(
        piece_document=spans.document[span],
        piece_start=spans.start[span] + starts - offsets[span],
        piece_length=np.diff(starts, append=offsets[-1]),
        window_offsets=np.append(np.searchsorted(starts, windows), len(starts)),
    )


def _cut_framed(spans: Spans, length: int, overhead: int) -> WindowPlan:
    """Cut a stream in which every span is followed by its overhead, for what is left of one takes that once more.

    Where a window begins depends on all before it; which pieces it holds does not.
    """
    spans = spans.take(spans.length > 0)
    offsets = np.zeros(len(spans.length) + 1, dtype=np.int64)
    np.cumsum(spans.length + overhead, out=offsets[1:])
    windows = _framed_starts(offsets, length, overhead)
    starts = np.union1d(offsets[:-1], windows)
    span = np.searchsorted(offsets, starts, side="right") - 1
    ends = np.minimum(np.append(starts[1:], offsets[-1]), offsets[span] + spans.length[span])
    return WindowPlan(
        piece_document=spans.document[span],
        piece_start=spans.start[span] + starts - offsets[span],
        piece_length=ends - starts,
        window_offsets=np.append(np.searchsorted(starts, windows), len(starts)),
    )


def _framed_starts(offsets: Array, length: int, overhead: int) -> Array:
    """Where windows begin in such a stream: the next span, or as much of one as fits beside its overhead later."""
    if offsets[-1] == 0:
        return np.empty(0, dtype=np.int64)
    bounds = offsets.data
    starts, span = [0], 0
    while (end := starts[-1] + length) < bounds[-1]:
        span = bisect_right(bounds, end, span) - 1
        starts.append(max(bounds[span], end - overhead))
    return np.array(starts, dtype=np.int64)


def pack_windows(spans: Spans, length: int) -> WindowPlan:
    """Pack spans into windows of at most `length` tokens by best fit; longer ones are cut into full windows and a rest.

    No token is lost or repeated.
    """
    num_pieces = -(-spans.length // length)
    span = np.repeat(np.arange(len(spans.length)), num_pieces)
    firsts = np.zeros(len(num_pieces) + 1, dtype=np.int64)
    np.cumsum(num_pieces, out=firsts[1:])
    inside = (np.arange(len(span)) - firsts[span]) * length
    pieces = np.minimum(spans.length[span] - inside, length)
    order, window_offsets = pack_best_fit(pieces, length)
    span, inside = span[order], inside[order]
    return WindowPlan(spans.document[span], spans.start[span] + inside, pieces[order], window_offsets)
