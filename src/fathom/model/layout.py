"""How the sequences of one batch lie in a packed tensor, and how attention sees them.

The packed tokens are tight: sequences lie one after another, longest first. Their number is rounded up to few distinct
values by slack slots at the end, because matrix libraries prepare (and keep) code for every new shape they meet: with a
free number of tokens that preparation cost more than the products.

Attention needs rectangles. The sorted sequences are cut into a few *buckets* of equal numbers of sequences, each padded
to its longest; one gather for all buckets brings the heads of the packed tokens into that form and one brings the
result back. Only attention, a few percent of the arithmetic, ever sees that padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fathom.model.dropout import DropoutSource

SEQUENCES_PER_BUCKET = 8
MOST_BUCKETS = 16
LENGTH_STEP = 8
"""Padded lengths of buckets are multiples of it, and coarser where they are long: again, few distinct shapes."""
SEQUENCE_STEP = 4
"""Numbers of sequences in the last of several buckets are multiples of it, filled up with empty ones."""

LOWEST = -3.0e38
"""Score of a key that is not seen: finite in bfloat16 and float32, so that a query that sees no key at all (padding)
gets even weights and not NaN."""


@dataclass(frozen=True)
class Bucket:
    """Sequences `first` to `first + len(lengths) - 1` of the sorted batch, padded to `length`."""

    start: int
    """First packed slot."""
    lengths: tuple[int, ...]
    """Real lengths, longest first; the last ones may be 0: no sequence."""
    length: int

    @property
    def sequences(self) -> int:
        """Number of sequences."""
        return len(self.lengths)


@dataclass(frozen=True)
class HeadIndex:
    """Where the heads of packed tokens lie in the buckets.

    Attributes:
        into_R: For each row (bucket, sequence, head, position) the row of `[T * H]` packed heads it is read from;
            padding reads the last slack slot.
        back_TH: The other way; slack slots read row R, which is kept zero.
        starts: First row of each bucket, and R.
    """

    into_R: Tensor
    back_TH: Tensor
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """The packing of one batch of B sequences padded to L."""

    batch: int
    padded_length: int
    buckets: tuple[Bucket, ...]
    rows_T: Tensor
    """For each packed slot its row in the padded batch seen as [B * L]; slack slots say 0 and are never put back."""
    filled: int
    """Slots that hold a token; the rest is slack, at least one where a bucket is padded."""
    device: torch.device
    parts: tuple[Part, ...] = ()
    """The batches it was joined from, one after another; see `join_layouts`."""
    _cache: dict[tuple[object, ...], object] = field(default_factory=dict, repr=False)

    @property
    def slots(self) -> int:
        """T: packed slots, slack included."""
        return len(self.rows_T)

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return self.buckets[0].lengths[0]

    def bounds(self) -> tuple[Tensor, int]:
        """Return where each sequence begins and the last one ends, int32, and the length of the longest.

        The slack slots are a sequence too.
        """
        if ("bounds",) not in self._cache:
            lengths = [length for bucket in self.buckets for length in bucket.lengths if length]
            lengths += [self.slots - self.filled] if self.slots > self.filled else []
            ends = torch.tensor([0, *np.cumsum(lengths).tolist()], dtype=torch.int32, device=self.device)
            self._cache["bounds",] = ends, max(lengths)
        found = self._cache["bounds",]
        assert isinstance(found, tuple)
        return found

    def natural_order(self, attention_mask_BL: Tensor) -> Tensor:
        """Return for each packed slot which token of the batch it is, its rows' tokens counted one after another.

        Slack slots say 0.
        """
        count_N = attention_mask_BL.flatten().cumsum(0) - 1
        return count_N.index_select(0, self.rows_T)

    def bias(self, index: int, heads: int, dtype: torch.dtype, view: tuple[bool, int | None]) -> Tensor:
        """Return what is added to the scores of bucket `index`: 0 where a query sees a key, LOWEST elsewhere.

        Args:
            index: Of the bucket.
            heads: Number of query heads.
            dtype: Of the scores.
            view: Whether a query sees no later key, and how far it sees: at most `window - 1` away (the convention of
                flash attention in transformers), or None.

        Returns:
            `[n * heads, 1 or l, l]`.
        """
        key = ("bias", index, heads, dtype, view)
        if key not in self._cache:
            self._cache[key] = _make_bias(self.buckets[index], heads, dtype, view, self.device)
        found = self._cache[key]
        assert isinstance(found, Tensor)
        return found

    def head_index(self, heads: int, key_heads: int) -> HeadIndex:
        """Return the gather of `key_heads` heads that serve `heads` query heads."""
        key = ("index", heads, key_heads)
        if key not in self._cache:
            self._cache[key] = _make_index(self, heads, key_heads)
        found = self._cache[key]
        assert isinstance(found, HeadIndex)
        return found


@dataclass(frozen=True)
class Part:
    """A batch within a joined one.

    Attributes:
        layout: As it would be alone.
        dropout: Where its masks come from; None for torch's generator.
    """

    layout: Layout
    dropout: DropoutSource | None


def make_layout(attention_mask_BL: Tensor, segment_BL: Tensor | None = None) -> Layout:
    """Lay out a right-padded batch.

    Args:
        attention_mask_BL: 1 for tokens, 0 for padding; every row starts with a token.
        segment_BL: Number of the document each token of a row is from, ascending: every document is a sequence of its
            own, which sees itself only. None: a row is one sequence.

    Raises:
        ValueError: A row is empty, or its padding is not on the right.
    """
    batch, padded_length = attention_mask_BL.shape
    mask_BL = attention_mask_BL.detach().cpu().numpy() != 0
    lengths = mask_BL.sum(1)
    last = (mask_BL * np.arange(1, padded_length + 1)).max(1)
    if (lengths == 0).any() or (last != lengths).any():
        raise ValueError("packing takes right-padded sequences of at least one token")
    first = np.arange(batch) * padded_length
    if segment_BL is not None:
        first, lengths = _segments(mask_BL, segment_BL.detach().cpu().numpy())
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    rows = np.repeat(first[order], ordered) + positions(ordered)
    filled = len(rows)
    buckets = cut_buckets(ordered)
    rows = np.concatenate([rows, np.zeros(num_slots(filled, attended(buckets)) - filled, dtype=rows.dtype)])
    device = attention_mask_BL.device
    return Layout(batch, padded_length, buckets, torch.from_numpy(rows).to(device), filled, device)


def _segments(mask_BL: np.ndarray, segment_BL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where each document begins in `[B * L]`, and its length."""
    begins_BL = mask_BL.copy()
    begins_BL[:, 1:] &= segment_BL[:, 1:] != segment_BL[:, :-1]
    first = begins_BL.reshape(-1).nonzero()[0]
    real = mask_BL.reshape(-1)
    count = np.cumsum(real)  # tokens up to and with each position
    before = count[first] - 1
    return first, np.diff(np.append(before, count[-1]))


def positions(lengths: np.ndarray) -> np.ndarray:
    """Return 0 .. length - 1 of each sequence, one after another."""
    starts = np.cumsum(lengths) - lengths
    result: np.ndarray = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    return result


def attended(buckets: Sequence[Bucket]) -> int:
    """Return how many positions attention gathers, the padding of its buckets included."""
    return sum(bucket.sequences * bucket.length for bucket in buckets)


def num_slots(tokens: int, positions: int) -> int:
    """Return the packed slots of a number of tokens, of which attention makes a number of positions.

    Padding reads the last slack slot; where full windows leave no padding there need be none.
    """
    return round_up(tokens if positions == tokens else tokens + 1)


def round_up(slots: int) -> int:
    """Round a number of slots up to one of few: to 64, below 512 to 32, below 128 to 16."""
    step = 64 if slots > 512 else 32 if slots > 128 else 16
    return -(-slots // step) * step


def cut_buckets(ordered: np.ndarray) -> tuple[Bucket, ...]:
    """Cut lengths, sorted longest first, into buckets of equal numbers of sequences (the last may have fewer)."""
    batch = len(ordered)
    size = _up(max(SEQUENCES_PER_BUCKET, -(-batch // MOST_BUCKETS)), SEQUENCES_PER_BUCKET)
    starts = np.concatenate([[0], np.cumsum(ordered)])
    buckets = []
    for first in range(0, batch, size):
        lengths = [int(length) for length in ordered[first : first + size]]
        if first:
            lengths += [0] * (_up(len(lengths), SEQUENCE_STEP) - len(lengths))
        buckets.append(Bucket(int(starts[first]), tuple(lengths), _padded(lengths[0])))
    return tuple(buckets)


def _padded(length: int) -> int:
    """Round a length up by an eighth or a quarter of itself, so that long ones too are few."""
    return _up(length, LENGTH_STEP * max(1, 1 << max(0, (length - 1).bit_length() - 6)))


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _make_bias(
    bucket: Bucket, heads: int, dtype: torch.dtype, view: tuple[bool, int | None], device: torch.device
) -> Tensor:
    causal, window = view
    position_l = torch.arange(bucket.length, device=device)
    lengths_n = torch.tensor(bucket.lengths, device=device)
    seen = (position_l < lengths_n[:, None])[:, None, :]
    distance_ll = position_l[:, None] - position_l
    if causal:
        seen = seen & (distance_ll >= 0)
    if window is not None and window < bucket.length:
        seen = seen & (distance_ll.abs() < window)
    bias = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, LOWEST)
    return bias.repeat_interleave(heads, dim=0)


def _make_index(layout: Layout, heads: int, key_heads: int) -> HeadIndex:
    into, starts, places = [], [0], []
    slack = layout.slots - 1
    read_head = np.arange(heads) * key_heads // heads
    for bucket in layout.buckets:
        count, length = bucket.sequences, bucket.length
        lengths = np.array(bucket.lengths)
        first = bucket.start + np.cumsum(lengths) - lengths
        position = np.arange(length)
        slot_nl = np.where(position < lengths[:, None], first[:, None] + position, slack)
        into.append((slot_nl[:, None, :] * key_heads + read_head[:, None]).reshape(-1))
        sequence = np.repeat(np.arange(count), lengths)
        row = (sequence[:, None] * heads + np.arange(heads)) * length + positions(lengths)[:, None]
        places.append(starts[-1] + row.reshape(-1))
        starts.append(starts[-1] + count * heads * length)
    places.append(np.full((layout.slots - layout.filled) * heads, starts[-1]))
    gather, back = (torch.from_numpy(np.concatenate(parts)).to(layout.device) for parts in (into, places))
    return HeadIndex(gather, back, tuple(starts))
