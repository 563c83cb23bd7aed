"""Windows of a corpus as the objectives read them: pieces framed by special tokens, or pairs of passages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np

from fathom.data.corpus.store import CorpusStore
from fathom.data.corpus.windows import Spans, WindowPlan, cut_windows
from fathom.data.draw import mix
from fathom.data.example import Example, Features
from fathom.data.sequences import Sequences
from fathom.errors import ConfigError
from fathom.tasks.language_model import OpenLanguageTask

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class FramedWindows:
    """Windows of one plan over one store; every piece of a document gets the task's special tokens around it.

    Attributes:
        store: Of the corpus.
        plan: Whose windows leave room for the special tokens.
        before: Tokens before each piece.
        after: Tokens after each piece.
    """

    store: CorpusStore
    plan: WindowPlan
    before: Array
    after: Array

    def __len__(self) -> int:
        return len(self.plan)

    @cached_property
    def lengths(self) -> Array:
        """Tokens of each window, int64."""
        pieces = np.diff(self.plan.window_offsets)
        found: Array = self.plan.lengths + pieces * (len(self.before) + len(self.after))
        return found

    @property
    def num_tokens(self) -> int:
        """Tokens of all windows."""
        return int(self.lengths.sum())

    @property
    def owners(self) -> Array:
        """Every window is its own example."""
        return np.arange(len(self))

    def used_ids(self) -> Array:
        """Return the token ids that occur."""
        return np.union1d(self.store.used_ids(), np.concatenate([self.before, self.after]))

    def piece(self, index: int) -> Array:
        """Return the tokens of one piece of the plan, without special tokens; int32."""
        plan = self.plan
        start = int(self.store.document_offsets[plan.piece_document[index]] + plan.piece_start[index])
        return self.store.tokens(start, start + int(plan.piece_length[index])).astype(np.int32)

    def __getitem__(self, index: int) -> Features:
        """Return `input_ids`, and `segment` where the window holds several pieces; int32 [L]."""
        first, last = self.plan.window_offsets[index : index + 2]
        pieces = [np.concatenate([self.before, self.piece(at), self.after]) for at in range(first, last)]
        numbers = np.repeat(np.arange(len(pieces), dtype=np.int32), [len(piece) for piece in pieces])
        return {"input_ids": np.concatenate(pieces), "segment": numbers}


@dataclass(frozen=True)
class SinglePieces(FramedWindows):
    """Windows of one piece each, for models that cannot keep documents apart."""

    def __getitem__(self, index: int) -> Features:
        """Return `input_ids`, int32 [L]."""
        return {"input_ids": np.concatenate([self.before, self.piece(index), self.after])}


@dataclass(frozen=True)
class PairWindows(SinglePieces):
    """Pairs of passages with a label, 1 where they do not belong together in this order.

    A passage is cut in two, at the end of a sentence where there is one. For `next-sentence` half of the second parts
    are those of another passage (Devlin et al. 2019); for `sentence-order` half of the pairs are swapped (Lan et al.
    2020). Which, is a function of seed and passage: the pairs of a run stay the same in every epoch.

    Attributes:
        swapped: Sentence order.
        ends: Ids of the tokens that end a sentence.
        seed: Of the choice.
    """

    swapped: bool = False
    ends: Array = field(default_factory=lambda: np.empty(0, np.int64))
    seed: int = 0

    @cached_property
    def lengths(self) -> Array:
        """Most tokens each pair may have; a second part from elsewhere is cut to fit."""
        return self.plan.lengths + len(self.before) + 2 * len(self.after)

    def __getitem__(self, index: int) -> Features:
        """Return `input_ids` and `token_type_ids` (int32 [L]), and `label`."""
        first, second = self._halves(index)
        wrong = bool(self._chance(index, 0) & np.uint64(1))
        if wrong and self.swapped:
            first, second = second, first
        elif wrong:
            other = int(self._chance(index, 1) % np.uint64(max(len(self) - 1, 1)))
            other += other >= index
            second = self._halves(other % len(self))[1][: len(second)]
        parts = [np.concatenate([self.before, first, self.after]), np.concatenate([second, self.after])]
        return {
            "input_ids": np.concatenate(parts),
            "token_type_ids": np.repeat(np.arange(2, dtype=np.int32), [len(part) for part in parts]),
            "label": np.asarray(int(wrong), dtype=np.int64),
        }

    def _halves(self, index: int) -> tuple[Array, Array]:
        ids = self.piece(index)
        cuts = np.flatnonzero(np.isin(ids[:-1], self.ends)) + 1
        if not len(cuts):
            return ids[: len(ids) // 2], ids[len(ids) // 2 :]
        at = int(cuts[int(self._chance(index, 2) % np.uint64(len(cuts)))])
        return ids[:at], ids[at:]

    def _chance(self, index: int, stream: int) -> np.uint64:
        words = mix(np.array([self.seed, stream, index], dtype=np.uint64))
        return np.uint64(mix(words[:1] ^ mix(words[1:2] ^ words[2:]))[0])


@dataclass(frozen=True)
class WindowExamples(Sequence[Example]):
    """The windows of a split as examples: where each is from and, for models that say text, the bytes they predict.

    Attributes:
        windows: Of every source, one source after another.
        task: Counts the bytes, once for each window however often a run is scored.
        sources: Windows of each source, by name.
    """

    windows: Sequences
    task: OpenLanguageTask
    sources: Mapping[str, int]
    _bytes: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.windows)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        source, inside = self._place(index)
        example: Example = {"where": f"{source}, window {inside}", "source": source}
        if self.task.causal:
            if index not in self._bytes:
                self._bytes[index] = self.task.predicted_bytes(self.windows[index])
            example["bytes"] = self._bytes[index]
        return example

    def _place(self, index: int) -> tuple[str, int]:
        for source, size in self.sources.items():
            if index < size:
                return source, index
            index -= size
        raise IndexError(index)


def apart(spans: Spans, room: int) -> WindowPlan:
    """Cut every document into pieces of at most `room` tokens, each a window of its own; a piece of one is left out.

    Raises:
        ConfigError: `room` leaves no text.
    """
    if room < 2:
        raise no_room()
    counts = -(-spans.length // room)
    span = np.repeat(np.arange(len(counts)), counts)
    inside = (np.arange(len(span)) - np.repeat(np.cumsum(counts) - counts, counts)) * room
    lengths = np.minimum(spans.length[span] - inside, room)
    kept = lengths > 1
    span, inside, lengths = span[kept], inside[kept], lengths[kept]
    return WindowPlan(spans.document[span], spans.start[span] + inside, lengths, np.arange(len(span) + 1))


def no_room() -> ConfigError:
    """Return what to say of windows that hold less than two tokens of text."""
    return ConfigError("max_length leaves no room for text", where="data.max_length", mend="give a larger one")


def together(spans: Spans, length: int, overhead: int, *, pack: bool) -> WindowPlan:
    """Fill windows of `length` tokens, each piece taking `overhead` more than its own.

    Args:
        spans: Of the split.
        length: Of a window.
        overhead: Special tokens around each piece.
        pack: Pack documents by best fit; else cut the stream of all documents one after another.

    Raises:
        ConfigError: `length` leaves no room for text.
    """
    if length - overhead < 2:
        raise no_room()
    if not pack:
        return cut_windows(spans, length, overhead)
    from fathom.data.corpus.bestfit import pack_best_fit

    pieces = apart(spans, length - overhead)
    order, offsets = pack_best_fit(pieces.piece_length + overhead, length)
    return WindowPlan(pieces.piece_document[order], pieces.piece_start[order], pieces.piece_length[order], offsets)
