"""Attention over packed tokens: every sequence sees itself only.

Two forms of the same mathematics. `attend` is plain differentiable torch and takes every variant (soft capping, extra
biases). `FusedAttention` is the fast one: one autograd node for all buckets with a written-out backward pass, which
keeps only the probabilities. Its gradients are tested against `attend`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fathom.model.dropout import DropoutSource, apply_mask
from fathom.model.layout import Layout

LOWEST = -3.0e38
"""Score of a key that is not seen: finite in bfloat16 and float32, so that a slack query that sees no key at all gets
even weights and not NaN."""


@dataclass(frozen=True)
class AttentionOptions:
    """What a block asks of its attention."""

    scaling: float
    causal: bool = False
    window: int | None = None
    softcap: float | None = None
    dropout: float = 0.0


def attend(query_HTK: Tensor, key_HTK: Tensor, value_HTK: Tensor, layout: Layout, options: AttentionOptions) -> Tensor:
    """Attention of packed tokens by plain differentiable operations.

    Args:
        query_HTK: `[heads, T, K]`; key and value may have fewer heads (grouped queries).
        key_HTK: Keys.
        value_HTK: Values.
        layout: Of the batch.
        options: Scaling, causality, window, soft cap, dropout rate.

    Returns:
        `[T, heads, K]`.
    """
    outputs = []
    for index, bucket in enumerate(layout.buckets):
        shape = (bucket.sequences, bucket.length)
        query, key, value = (
            _repeat_heads(tensor[:, bucket.start : bucket.stop], query_HTK.shape[0]).unflatten(1, shape).transpose(0, 1)
            for tensor in (query_HTK, key_HTK, value_HTK)
        )
        scores_nHll = torch.matmul(query, key.transpose(-1, -2)) * options.scaling
        if options.softcap is not None:
            scores_nHll = torch.tanh(scores_nHll / options.softcap) * options.softcap
        mask = layout.mask(index, causal=options.causal, window=options.window)
        if mask is not None:
            scores_nHll = scores_nHll.masked_fill(~mask, LOWEST)
        weights_nHll = torch.softmax(scores_nHll, dim=-1, dtype=torch.float32).to(value.dtype)
        weights_nHll = torch.nn.functional.dropout(weights_nHll, options.dropout)
        output_nHlK = torch.matmul(weights_nHll, value)
        outputs.append(output_nHlK.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)


class FusedAttention(torch.autograd.Function):
    """`attend` without soft cap as one autograd node over all buckets."""

    @staticmethod
    def forward(  # noqa: PLR0917 (torch calls it by position)
        ctx: Any,
        query_HTK: Tensor,
        key_HTK: Tensor,
        value_HTK: Tensor,
        layout: Layout,
        options: AttentionOptions,
        source: DropoutSource | None,
    ) -> Tensor:
        """See `attend`."""
        heads, slots, width = query_HTK.shape
        output_THK = query_HTK.new_empty(slots, heads, width)
        saved: list[Tensor] = []
        for index, bucket in enumerate(layout.buckets):
            query, key, value = (
                _bucket(tensor, bucket.start, bucket.sequences, bucket.length, heads)
                for tensor in (query_HTK, key_HTK, value_HTK)
            )
            scores = torch.bmm(query, key.transpose(1, 2))
            mask = layout.mask(index, causal=options.causal, window=options.window)
            weights = _softmax(scores, mask, options.scaling, bucket.sequences)
            dropped, keep = weights, None
            if source is not None and options.dropout > 0:
                keep = source.mask(weights.shape, options.dropout)
                dropped = apply_mask(weights, keep, options.dropout)
            output = torch.bmm(dropped, value)
            _view(output_THK, bucket.start, bucket.sequences, bucket.length).copy_(
                output.view(bucket.sequences, heads, bucket.length, width).transpose(1, 2)
            )
            saved += [query, key, value, weights] + ([keep] if keep is not None else [])
        ctx.save_for_backward(*saved)
        ctx.layout, ctx.options, ctx.dropped = layout, options, source is not None and options.dropout > 0
        ctx.key_heads = key_HTK.shape[0]
        return output_THK

    @staticmethod
    def backward(ctx: Any, grad_THK: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        layout, options = ctx.layout, ctx.options
        slots, heads, width = grad_THK.shape
        grads = [grad_THK.new_empty(slots, heads, width) for _ in range(3)]
        saved = list(ctx.saved_tensors)
        for bucket in layout.buckets:
            query, key, value, weights = saved[:4]
            keep = saved[4] if ctx.dropped else None
            del saved[: 5 if ctx.dropped else 4]
            grad = _view(grad_THK, bucket.start, bucket.sequences, bucket.length).transpose(1, 2)
            grad = grad.reshape(bucket.sequences * heads, bucket.length, width)
            dropped = weights if keep is None else apply_mask(weights, keep, options.dropout)
            grad_value = torch.bmm(dropped.transpose(1, 2), grad)
            grad_weights = torch.bmm(grad, value.transpose(1, 2))
            if keep is not None:
                grad_weights = apply_mask(grad_weights, keep, options.dropout)
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            grad_scores = grad_scores.mul_(options.scaling)
            grad_query = torch.bmm(grad_scores, key)
            grad_key = torch.bmm(grad_scores.transpose(1, 2), query)
            for target, part in zip(grads, (grad_query, grad_key, grad_value), strict=True):
                _view(target, bucket.start, bucket.sequences, bucket.length).copy_(
                    part.view(bucket.sequences, heads, bucket.length, width).transpose(1, 2)
                )
        query_grad, key_grad, value_grad = (grad.transpose(0, 1) for grad in grads)
        if ctx.key_heads != heads:
            key_grad = key_grad.unflatten(0, (ctx.key_heads, -1)).sum(1)
            value_grad = value_grad.unflatten(0, (ctx.key_heads, -1)).sum(1)
        return query_grad, key_grad, value_grad, None, None, None


def _softmax(scores: Tensor, mask: Tensor | None, scaling: float, sequences: int) -> Tensor:
    """Softmax over keys in float32, of `[n * H, l, l]` scores; returned in the scores' own type."""
    dtype = scores.dtype
    scores = scores.float().mul_(scaling)
    if mask is not None:
        scores.unflatten(0, (sequences, -1)).masked_fill_(~mask, LOWEST)
    return torch.softmax(scores, dim=-1).to(dtype)


def _repeat_heads(tensor_HTK: Tensor, heads: int) -> Tensor:
    repeats = heads // tensor_HTK.shape[0]
    return tensor_HTK if repeats == 1 else tensor_HTK.repeat_interleave(repeats, dim=0)


def _bucket(tensor_HTK: Tensor, start: int, sequences: int, length: int, heads: int) -> Tensor:
    """One bucket of packed heads as contiguous `[n * H, l, K]`."""
    part = _repeat_heads(tensor_HTK[:, start : start + sequences * length], heads)
    bucket: Tensor = part.unflatten(1, (sequences, length)).transpose(0, 1)
    return bucket.reshape(sequences * heads, length, -1)


def _view(tensor_THK: Tensor, start: int, sequences: int, length: int) -> Tensor:
    """One bucket of packed tokens as a view `[n, l, H, K]`."""
    view: Tensor = tensor_THK[start : start + sequences * length].unflatten(0, (sequences, length))
    return view
