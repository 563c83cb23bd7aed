"""How the sequences of one batch lie in a packed tensor.

Sequences are sorted by length and cut into a few *buckets* of nearly equal length. A bucket is a contiguous run of the
packed tokens that can be viewed as `[sequences, length]`, so attention needs neither gather nor scatter. A sequence
shorter than its bucket leaves a few slack slots; `plan_buckets` chooses the buckets so that slack and the number of
kernels together cost least (a few percent of slack on real text). The number of slots is rounded up, because matrix
libraries prepare (and keep) code for every new shape they meet: with a free number of tokens that preparation cost more
than the products.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

BUCKET_COST_TOKENS = 12
"""What one more bucket costs in kernel launches, in tokens of slack that cost as much (measured on MiniLM)."""


@dataclass(frozen=True)
class Bucket:
    """A run of packed tokens seen as `[sequences, length]`; `lengths` are the real ones, longest first."""

    start: int
    sequences: int
    length: int
    lengths: tuple[int, ...]

    @property
    def stop(self) -> int:
        """First packed slot after this bucket."""
        return self.start + self.sequences * self.length

    @property
    def ragged(self) -> bool:
        """Whether some sequence leaves slack slots."""
        return self.lengths[-1] < self.length


@dataclass(frozen=True)
class Layout:
    """The packing of one batch of B sequences padded to L."""

    batch: int
    padded_length: int
    buckets: tuple[Bucket, ...]
    rows_T: Tensor
    """For each packed slot, its row in the padded batch seen as [B * L]. Slack slots within a bucket point to padded
    rows, those that round up the number of slots to row 0; the latter are never put back."""
    device: torch.device
    _masks: dict[tuple[int, bool, int | None], Tensor | None] = field(default_factory=dict, repr=False)

    @property
    def slots(self) -> int:
        """T: packed slots, slack included."""
        return len(self.rows_T)

    @property
    def filled(self) -> int:
        """Slots that belong to a bucket."""
        return self.buckets[-1].stop

    @cached_property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(sum(bucket.lengths) for bucket in self.buckets)

    def mask(self, index: int, *, causal: bool, window: int | None) -> Tensor | None:
        """Which keys a query of bucket `index` may see: bool `[n or 1, 1, l or 1, l]`, or None for all.

        Args:
            index: Of the bucket.
            causal: A query sees no later key.
            window: A query sees keys at most `window - 1` away (the convention of flash attention in transformers).
        """
        key = (index, causal, window)
        if key not in self._masks:
            self._masks[key] = self._make_mask(self.buckets[index], causal, window)
        return self._masks[key]

    def _make_mask(self, bucket: Bucket, causal: bool, window: int | None) -> Tensor | None:
        position_l = torch.arange(bucket.length, device=self.device)
        mask: Tensor | None = None
        if bucket.ragged:
            lengths_n = torch.tensor(bucket.lengths, device=self.device)
            mask = (position_l < lengths_n[:, None])[:, None, None, :]
        distance_ll = position_l[:, None] - position_l
        if causal:
            seen = (distance_ll >= 0)[None, None]
            mask = seen if mask is None else mask & seen
        if window is not None and window <= bucket.length:
            near = (distance_ll.abs() < window)[None, None]
            mask = near if mask is None else mask & near
        return mask


def plan_buckets(lengths: np.ndarray, bucket_cost: int = BUCKET_COST_TOKENS) -> list[tuple[int, int]]:
    """Cut lengths, sorted longest first, into runs; returns `(first, last + 1)` of each run.

    Minimises `slots + bucket_cost * buckets` exactly by dynamic programming over the distinct lengths.
    """
    distinct, first = np.unique(-lengths, return_index=True)
    edges = [*first.tolist(), len(lengths)]
    values = (-distinct).tolist()
    best = [0.0] + [float("inf")] * len(values)
    cut = [0] * (len(values) + 1)
    for end in range(1, len(values) + 1):
        for begin in range(end):
            cost = best[begin] + values[begin] * (edges[end] - edges[begin]) + bucket_cost
            if cost < best[end]:
                best[end], cut[end] = cost, begin
    runs = []
    end = len(values)
    while end > 0:
        runs.append((edges[cut[end]], edges[end]))
        end = cut[end]
    return runs[::-1]


def round_up(slots: int) -> int:
    """Round a number of slots up to one of few: to 64, below 512 to 32, below 128 to 16."""
    step = 64 if slots > 512 else 32 if slots > 128 else 16
    return -(-slots // step) * step


def make_layout(attention_mask_BL: Tensor) -> Layout:
    """Lay out a right-padded batch.

    Args:
        attention_mask_BL: 1 for tokens, 0 for padding; every row starts with a token.

    Raises:
        ValueError: A row is empty, or its padding is not on the right.
    """
    batch, padded_length = attention_mask_BL.shape
    mask = attention_mask_BL.ne(0)
    lengths = mask.sum(1).cpu().numpy()
    last = (mask.long() * torch.arange(1, padded_length + 1, device=mask.device)).amax(1).cpu().numpy()
    if (lengths == 0).any() or (last != lengths).any():
        raise ValueError("packing takes right-padded sequences of at least one token")
    order = np.argsort(-lengths, kind="stable")
    ordered = lengths[order]
    buckets = []
    rows = []
    start = 0
    for first, stop in plan_buckets(ordered):
        length = int(ordered[first])
        bucket = Bucket(start, stop - first, length, tuple(int(value) for value in ordered[first:stop]))
        rows.append((order[first:stop, None] * padded_length + np.arange(length)).reshape(-1))
        buckets.append(bucket)
        start = bucket.stop
    rows.append(np.zeros(round_up(start) - start, dtype=np.int64))
    device = attention_mask_BL.device
    return Layout(batch, padded_length, tuple(buckets), torch.from_numpy(np.concatenate(rows)).to(device), device)
