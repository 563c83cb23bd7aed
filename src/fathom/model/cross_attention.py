"""Attention between two packed batches, and attention with a bias for each distance, as one autograd node.

The queries of a sequence see the keys of the same sequence, in whatever order either batch is packed: a decoder's
tokens see its own source. With one batch on both sides it is self-attention, and may take T5's relative bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.model.attention import AttentionOptions
from fathom.model.dropout import DropoutSource, apply_mask
from fathom.model.layout import LENGTH_STEP, LOWEST, HeadIndex, Layout, positions


@dataclass(frozen=True)
class Crossing:
    """Which keys the queries of each bucket see.

    Attributes:
        queries: Layout of the queries, whose buckets are used.
        keys: Layout of the keys; the same object for self-attention.
        key_lengths: For each bucket the real keys of its sequences, 0 where there is no sequence.
        widths: For each bucket the keys it is padded to.
    """

    queries: Layout
    keys: Layout
    key_lengths: tuple[tuple[int, ...], ...]
    widths: tuple[int, ...]
    _key_starts: tuple[tuple[int, ...], ...]
    _cache: dict[tuple[object, ...], Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, queries: Layout, keys: Layout) -> Crossing:
        """Pair the sequences of two layouts of the same rows."""
        rows, starts, lengths = _sequences(keys)
        place = {row: (start, length) for row, start, length in zip(rows, starts, lengths, strict=True)}
        order = iter(_sequences(queries)[0])
        found = [[place[next(order)] if length else (0, 0) for length in bucket.lengths] for bucket in queries.buckets]
        widths = tuple(-(-max(length for _, length in each) // LENGTH_STEP) * LENGTH_STEP for each in found)
        return cls(
            queries, keys, tuple(tuple(length for _, length in each) for each in found), widths,
            tuple(tuple(start for start, _ in each) for each in found),
        )  # fmt: skip

    def key_index(self, heads: int) -> HeadIndex:
        """Return where the heads of packed keys lie in the buckets; padding reads slot 0, which no query sees."""
        key = ("index", heads)
        if key not in self._cache:
            self._cache[key] = self._make_index(heads)
        found: HeadIndex = self._cache[key]
        return found

    def bias(self, number: int, heads: int, dtype: torch.dtype, causal: bool) -> Tensor:
        """Return 0 where a query of a bucket sees a key and LOWEST elsewhere, `[n * heads, 1 or l, s]`."""
        key = ("bias", number, heads, dtype, causal)
        if key not in self._cache:
            position_s = torch.arange(self.widths[number], device=self.queries.device)
            lengths_n = torch.tensor(self.key_lengths[number], device=self.queries.device)
            seen = (position_s < lengths_n[:, None])[:, None, :]
            if causal:
                position_l = torch.arange(self.queries.buckets[number].length, device=self.queries.device)
                seen = seen & (position_l[:, None] >= position_s)
            bias = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, LOWEST)
            self._cache[key] = bias.repeat_interleave(heads, dim=0)
        found: Tensor = self._cache[key]
        return found

    def distances(self, number: int, reach: int) -> Tensor:
        """Return for each query and key of a bucket the column of a table of `2 * reach - 1` distances, `[l, s]`."""
        key = ("distance", number, reach)
        if key not in self._cache:
            device = self.queries.device
            position_l = torch.arange(self.queries.buckets[number].length, device=device)
            self._cache[key] = torch.arange(self.widths[number], device=device) - position_l[:, None] + reach - 1
        found: Tensor = self._cache[key]
        return found

    def _make_index(self, heads: int) -> HeadIndex:
        into, starts = [], [0]
        back = np.full(self.keys.slots * heads, -1, dtype=np.int64)
        head = np.arange(heads)
        for width, key_starts, lengths in zip(self.widths, self._key_starts, self.key_lengths, strict=True):
            first, real = np.array(key_starts), np.array(lengths)
            position = np.arange(width)
            slot_ns = np.where(position < real[:, None], first[:, None] + position, 0)
            into.append((slot_ns[:, None, :] * heads + head[:, None]).reshape(-1))
            sequence = np.repeat(np.arange(len(real)), real)
            within = positions(real)
            row = starts[-1] + (sequence[:, None] * heads + head) * width + within[:, None]
            back[(np.repeat(first, real) + within)[:, None] * heads + head] = row
            starts.append(starts[-1] + len(real) * heads * width)
        back[back < 0] = starts[-1]
        gather, ungather = (torch.from_numpy(part).to(self.keys.device) for part in (np.concatenate(into), back))
        return HeadIndex(gather, ungather, tuple(starts))


class CrossAttention(torch.autograd.Function):
    """Attention of packed queries to packed keys, with a learned bias for each distance where a table is given."""

    @staticmethod
    def forward(  # noqa: PLR0917 (torch calls it by position)
        ctx: Any,
        query_THK: Tensor,
        key_SHK: Tensor,
        value_SHK: Tensor,
        table_HR: Tensor | None,
        crossing: Crossing,
        settings: tuple[AttentionOptions, DropoutSource | None],
    ) -> Tensor:
        """Return `[T, H, K]`, zero in slack slots; `table_HR` holds a bias for each of R distances, key minus query."""
        options, source = settings
        slots, heads, width = query_THK.shape
        index, key_index = crossing.queries.head_index(heads, heads), crossing.key_index(heads)
        query = query_THK.reshape(-1, width).index_select(0, index.into_R).mul_(options.scaling)
        key, value = (part.reshape(-1, width).index_select(0, key_index.into_R) for part in (key_SHK, value_SHK))
        weights = query.new_empty(sum(_num_weights(crossing, heads)))
        for part in _parts(crossing, heads, width):
            bias = crossing.bias(part.number, heads, query.dtype, options.causal)
            if table_HR is not None:
                reach = (table_HR.shape[1] + 1) // 2
                learned = table_HR[:, crossing.distances(part.number, reach)].to(query.dtype)
                bias = (bias.view(part.sequences, heads, -1, part.keys) + learned).flatten(0, 1)
            scores = torch.baddbmm(bias, query[part.rows].view(part.query_shape), _turned(key, part))
            weights[part.cells].view(scores.shape).copy_(torch.softmax(scores, dim=-1, dtype=torch.float32))
        keep = _draw(weights, options.dropout, source)
        dropped = weights if keep is None else _drop(weights, keep, options.dropout)
        output = query.new_empty(len(query) + 1, width)
        output[-1] = 0
        for part in _parts(crossing, heads, width):
            torch.bmm(
                dropped[part.cells].view(part.square), value[part.key_rows].view(part.key_shape),
                out=output[part.rows].view(part.query_shape),
            )  # fmt: skip
        ctx.save_for_backward(query, key, value, weights, *([] if keep is None else [keep]))
        ctx.crossing, ctx.options, ctx.table = crossing, options, None if table_HR is None else table_HR.shape
        return output.index_select(0, index.back_TH).view(slots, heads, width)

    @staticmethod
    def backward(ctx: Any, grad_THK: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key, value and table."""
        crossing, options = ctx.crossing, ctx.options
        query, key, value, weights, *kept = ctx.saved_tensors
        _, heads, width = grad_THK.shape
        index, key_index = crossing.queries.head_index(heads, heads), crossing.key_index(heads)
        grad = grad_THK.reshape(-1, width).index_select(0, index.into_R)
        dropped = _drop(weights, kept[0], options.dropout) if kept else weights
        grad_query = query.new_empty(len(query) + 1, width)
        grad_key, grad_value = (key.new_empty(len(key) + 1, width) for _ in range(2))
        grad_weights = torch.empty_like(weights)
        for target in (grad_query, grad_key, grad_value):
            target[-1] = 0
        parts = list(_parts(crossing, heads, width))
        for part in parts:
            own = grad[part.rows].view(part.query_shape)
            into = grad_value[part.key_rows].view(part.key_shape)
            torch.bmm(dropped[part.cells].view(part.square).transpose(1, 2), own, out=into)
            torch.bmm(own, _turned(value, part), out=grad_weights[part.cells].view(part.square))
        if kept:
            grad_weights = _drop(grad_weights, kept[0], options.dropout)
        grad_table = None if ctx.table is None else torch.zeros(ctx.table, device=grad.device)
        for part in parts:
            scores = torch._softmax_backward_data(
                grad_weights[part.cells].view(part.square), weights[part.cells].view(part.square), -1, weights.dtype
            )
            if grad_table is not None:
                summed_Hls = scores.view(part.sequences, heads, *part.square[1:]).float().sum(0)
                column = crossing.distances(part.number, (grad_table.shape[1] + 1) // 2)
                grad_table.index_add_(1, column.flatten(), summed_Hls.flatten(1))
            torch.bmm(scores, key[part.key_rows].view(part.key_shape), out=grad_query[part.rows].view(part.query_shape))
            into = grad_key[part.key_rows].view(part.key_shape)
            torch.bmm(scores.transpose(1, 2), query[part.rows].view(part.query_shape), out=into)
        grad_query.mul_(options.scaling)
        found = [grad_query.index_select(0, index.back_TH).view(-1, heads, width)]
        found += [part.index_select(0, key_index.back_TH).view(-1, heads, width) for part in (grad_key, grad_value)]
        return *found, grad_table, None, None


@dataclass(frozen=True)
class _Part:
    """The rows and cells of one bucket."""

    number: int
    sequences: int
    keys: int
    rows: slice
    key_rows: slice
    cells: slice
    query_shape: tuple[int, int, int]
    key_shape: tuple[int, int, int]
    square: tuple[int, int, int]


def _parts(crossing: Crossing, heads: int, width: int) -> Iterator[_Part]:
    starts = crossing.queries.head_index(heads, heads).starts
    key_starts = crossing.key_index(heads).starts
    cell = 0
    for number, (bucket, keys, count) in enumerate(
        zip(crossing.queries.buckets, crossing.widths, _num_weights(crossing, heads), strict=True)
    ):
        each = bucket.sequences * heads
        yield _Part(
            number, bucket.sequences, keys, slice(starts[number], starts[number + 1]),
            slice(key_starts[number], key_starts[number + 1]), slice(cell, cell + count),
            (each, bucket.length, width), (each, keys, width), (each, bucket.length, keys),
        )  # fmt: skip
        cell += count


def _num_weights(crossing: Crossing, heads: int) -> list[int]:
    both = zip(crossing.queries.buckets, crossing.widths, strict=True)
    return [bucket.sequences * heads * bucket.length * keys for bucket, keys in both]


def _turned(rows: Tensor, part: _Part) -> Tensor:
    return rows[part.key_rows].view(part.key_shape).transpose(1, 2)


def _draw(weights: Tensor, rate: float, source: DropoutSource | None) -> Tensor | None:
    """Return which probabilities stay: a mask of the source, or one of torch's generator."""
    if rate == 0:
        return None
    return torch.rand_like(weights) >= rate if source is None else source.mask(weights.shape, rate)


def _drop(values: Tensor, keep: Tensor, rate: float) -> Tensor:
    return values * keep / (1.0 - rate) if keep.dtype == torch.bool else apply_mask(values, keep, rate)


def _sequences(layout: Layout) -> tuple[list[int], list[int], list[int]]:
    """Return the batch row of each packed sequence, its first slot, and its length."""
    lengths = np.array([length for bucket in layout.buckets for length in bucket.lengths if length])
    starts = np.cumsum(lengths) - lengths
    first = layout.rows_T.cpu().numpy()[starts]
    return (first // layout.padded_length).tolist(), starts.tolist(), lengths.tolist()
