"""Attention over packed tokens: every sequence sees itself only.

Two forms of the same mathematics. `attend` is plain differentiable torch and takes every variant (soft capping).
`FusedAttention` is the fast one for short sequences: one autograd node with a written-out backward pass, a handful of
kernels for all buckets together, and nothing kept but the heads and the probabilities. Its gradients are tested against
`attend`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fathom.model.dropout import DropoutSource, apply_mask
from fathom.model.layout import HeadIndex, Layout


@dataclass(frozen=True)
class AttentionOptions:
    """What a block asks of its attention."""

    scaling: float
    causal: bool = False
    window: int | None = None
    softcap: float | None = None
    dropout: float = 0.0


def attend(query_THK: Tensor, key_THK: Tensor, value_THK: Tensor, layout: Layout, options: AttentionOptions) -> Tensor:
    """Attention of packed tokens by plain differentiable operations.

    Args:
        query_THK: `[T, heads, K]`; key and value may have fewer heads (grouped queries).
        key_THK: Keys.
        value_THK: Values.
        layout: Of the batch.
        options: Scaling, causality, window, soft cap, dropout rate.

    Returns:
        `[T, heads, K]`, zero in slack slots.
    """
    _, heads, width = query_THK.shape
    query, key, value = (gather_heads(tensor, heads, layout) for tensor in (query_THK, key_THK, value_THK))
    index = layout.head_index(heads, heads)
    outputs = []
    for number, bucket in enumerate(layout.buckets):
        rows = slice(index.starts[number], index.starts[number + 1])
        shape = (bucket.sequences * heads, bucket.length, width)
        scores = torch.bmm(query[rows].view(shape), key[rows].view(shape).transpose(1, 2)) * options.scaling
        if options.softcap is not None:
            scores = torch.tanh(scores / options.softcap) * options.softcap
        scores = scores + layout.bias(number, heads, scores.dtype, (options.causal, options.window))
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
        weights = torch.nn.functional.dropout(weights, options.dropout)
        outputs.append(torch.bmm(weights, value[rows].view(shape)).flatten(0, 1))
    outputs.append(query_THK.new_zeros(1, width))
    return torch.cat(outputs).index_select(0, index.back_TH).view(-1, heads, width)


class FusedAttention(torch.autograd.Function):
    """`attend` without soft cap, as one autograd node."""

    @staticmethod
    def forward(  # noqa: PLR0917 (torch calls it by position)
        ctx: Any,
        query_THK: Tensor,
        key_THK: Tensor,
        value_THK: Tensor,
        layout: Layout,
        options: AttentionOptions,
        source: DropoutSource | None,
    ) -> Tensor:
        """See `attend`."""
        slots, heads, width = query_THK.shape
        query, key, value = (gather_heads(tensor, heads, layout) for tensor in (query_THK, key_THK, value_THK))
        query = query.mul_(options.scaling)
        index = layout.head_index(heads, heads)
        weights = query.new_empty(_num_weights(layout, heads))
        for number, (rows, cells) in enumerate(_parts(layout, index, heads)):
            shape = _shape(layout, number, heads, width)
            bias = layout.bias(number, heads, query.dtype, (options.causal, options.window))
            scores = torch.baddbmm(bias, query[rows].view(shape), key[rows].view(shape).transpose(1, 2))
            weights[cells].view(scores.shape).copy_(torch.softmax(scores, dim=-1, dtype=torch.float32))
        keep, dropped = None, weights
        if source is not None and options.dropout > 0:
            keep = source.mask(weights.shape, options.dropout)
            dropped = apply_mask(weights, keep, options.dropout)
        output = query.new_empty(len(query) + 1, width)
        output[-1] = 0
        for number, (rows, cells) in enumerate(_parts(layout, index, heads)):
            shape = _shape(layout, number, heads, width)
            square = (*shape[:2], shape[1])
            torch.bmm(dropped[cells].view(square), value[rows].view(shape), out=output[rows].view(shape))
        ctx.save_for_backward(query, key, value, weights, *([keep] if keep is not None else []))
        ctx.layout, ctx.options, ctx.shapes = layout, options, (query_THK.shape, key_THK.shape)
        return output.index_select(0, index.back_TH).view(slots, heads, width)

    @staticmethod
    def backward(ctx: Any, grad_THK: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        layout, options = ctx.layout, ctx.options
        query, key, value, weights, *kept = ctx.saved_tensors
        (_, heads, width), key_shape = ctx.shapes
        index = layout.head_index(heads, heads)
        grad = gather_heads(grad_THK, heads, layout)  # padding reads a slack slot, whose gradient is zero
        dropped = apply_mask(weights, kept[0], options.dropout) if kept else weights
        grads = [query.new_empty(len(query) + 1, width) for _ in range(3)]
        for target in grads:
            target[-1] = 0
        grad_query, grad_key, grad_value = grads
        grad_weights = torch.empty_like(weights)
        parts = list(_parts(layout, index, heads))
        for number, (rows, cells) in enumerate(parts):
            shape = _shape(layout, number, heads, width)
            square = (*shape[:2], shape[1])
            part = grad[rows].view(shape)
            torch.bmm(dropped[cells].view(square).transpose(1, 2), part, out=grad_value[rows].view(shape))
            torch.bmm(part, value[rows].view(shape).transpose(1, 2), out=grad_weights[cells].view(square))
        if kept:
            grad_weights = apply_mask(grad_weights, kept[0], options.dropout)
        for number, (rows, cells) in enumerate(parts):
            shape = _shape(layout, number, heads, width)
            square = (*shape[:2], shape[1])
            scores = torch._softmax_backward_data(
                grad_weights[cells].view(square), weights[cells].view(square), -1, weights.dtype
            )
            torch.bmm(scores, key[rows].view(shape), out=grad_query[rows].view(shape))
            torch.bmm(scores.transpose(1, 2), query[rows].view(shape), out=grad_key[rows].view(shape))
        grad_query.mul_(options.scaling)
        back = [target.index_select(0, index.back_TH).view(-1, heads, width) for target in grads]
        if key_shape[1] != heads:
            back[1:] = [part.unflatten(1, (key_shape[1], -1)).sum(2) for part in back[1:]]
        return back[0], back[1], back[2], None, None, None


def gather_heads(tensor_THK: Tensor, heads: int, layout: Layout) -> Tensor:
    """Heads of packed tokens as bucket rows `[R, K]`; grouped heads are repeated."""
    index = layout.head_index(heads, tensor_THK.shape[1])
    return tensor_THK.reshape(-1, tensor_THK.shape[2]).index_select(0, index.into_R)


def _shape(layout: Layout, number: int, heads: int, width: int) -> tuple[int, int, int]:
    bucket = layout.buckets[number]
    return bucket.sequences * heads, bucket.length, width


def _num_weights(layout: Layout, heads: int) -> int:
    return sum(bucket.sequences * heads * bucket.length**2 for bucket in layout.buckets)


def _parts(layout: Layout, index: HeadIndex, heads: int) -> list[tuple[slice, slice]]:
    """For each bucket its rows of heads, and its cells of the flat probabilities."""
    parts, cell = [], 0
    for number, bucket in enumerate(layout.buckets):
        end = cell + bucket.sequences * heads * bucket.length**2
        parts.append((slice(index.starts[number], index.starts[number + 1]), slice(cell, end)))
        cell = end
    return parts
