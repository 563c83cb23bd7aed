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
from fathom.model.layout import Bucket, Layout

LOWEST = -3.0e38
"""Score of a key that is not seen: finite in bfloat16 and float32, so that a slack query that sees no key at all gets
even weights and not NaN."""
LOW_PRECISION_FROM = 128
"""Length from which bfloat16 products of attention pay on a processor."""


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
    outputs.append(query_HTK.new_zeros(layout.slots - layout.filled, *outputs[0].shape[1:]))
    return torch.cat(outputs)


class FusedAttention(torch.autograd.Function):
    """`attend` without soft cap as one autograd node over all buckets.

    Products of short sequences run in float32 also where the tensors are bfloat16: they are too small to gain from it,
    and the low-precision library prepares code for each of their many shapes.
    """

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
        output_THK[layout.filled :] = 0
        saved: list[Tensor] = []
        for index, bucket in enumerate(layout.buckets):
            query, key, value = (_bucket(tensor, bucket, heads) for tensor in (query_HTK, key_HTK, value_HTK))
            scores = torch.bmm(query, key.transpose(1, 2)).float().mul_(options.scaling)
            mask = layout.mask(index, causal=options.causal, window=options.window)
            if mask is not None:
                scores.unflatten(0, (bucket.sequences, heads)).masked_fill_(~mask, LOWEST)
            weights = torch.softmax(scores, dim=-1).to(query_HTK.dtype)
            dropped, keep = weights, None
            if source is not None and options.dropout > 0:
                keep = source.mask(weights.shape, options.dropout)
                dropped = apply_mask(weights, keep, options.dropout)
            output = torch.bmm(dropped.to(value.dtype), value)
            _view(output_THK, bucket).copy_(_by_token(output, bucket))
            saved += [weights] + ([keep] if keep is not None else [])
        ctx.save_for_backward(query_HTK, key_HTK, value_HTK, *saved)
        ctx.layout, ctx.options, ctx.dropped = layout, options, source is not None and options.dropout > 0
        return output_THK

    @staticmethod
    def backward(ctx: Any, grad_THK: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        layout, options = ctx.layout, ctx.options
        query_HTK, key_HTK, value_HTK, *saved = ctx.saved_tensors
        slots, heads, width = grad_THK.shape
        grads = [grad_THK.new_empty(slots, heads, width) for _ in range(3)]
        for target in grads:
            target[layout.filled :] = 0
        for bucket in layout.buckets:
            weights, keep = saved[0], saved[1] if ctx.dropped else None
            del saved[: 2 if ctx.dropped else 1]
            query, key, value = (_bucket(tensor, bucket, heads) for tensor in (query_HTK, key_HTK, value_HTK))
            grad = _bucket(grad_THK.transpose(0, 1), bucket, heads)
            dropped = weights if keep is None else apply_mask(weights, keep, options.dropout)
            grad_value = torch.bmm(dropped.to(grad.dtype).transpose(1, 2), grad)
            grad_weights = torch.bmm(grad, value.transpose(1, 2))
            if keep is not None:
                grad_weights = apply_mask(grad_weights, keep, options.dropout)
            weights = weights.to(grad_weights.dtype)
            grad_scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype).mul_(options.scaling)
            grad_query = torch.bmm(grad_scores, key)
            grad_key = torch.bmm(grad_scores.transpose(1, 2), query)
            for target, part in zip(grads, (grad_query, grad_key, grad_value), strict=True):
                _view(target, bucket).copy_(_by_token(part, bucket))
        query_grad, key_grad, value_grad = (grad.transpose(0, 1) for grad in grads)
        if len(key_HTK) != heads:
            key_grad = key_grad.unflatten(0, (len(key_HTK), -1)).sum(1)
            value_grad = value_grad.unflatten(0, (len(key_HTK), -1)).sum(1)
        return query_grad, key_grad, value_grad, None, None, None


def _repeat_heads(tensor_HTK: Tensor, heads: int) -> Tensor:
    repeats = heads // tensor_HTK.shape[0]
    return tensor_HTK if repeats == 1 else tensor_HTK.repeat_interleave(repeats, dim=0)


def _bucket(tensor_HTK: Tensor, bucket: Bucket, heads: int) -> Tensor:
    """One bucket of packed heads as contiguous `[n * H, l, K]`, in the type its products run in."""
    part = _repeat_heads(tensor_HTK[:, bucket.start : bucket.stop], heads)
    part = part.unflatten(1, (bucket.sequences, bucket.length)).transpose(0, 1)
    dtype = tensor_HTK.dtype
    if dtype == torch.bfloat16 and tensor_HTK.device.type == "cpu" and bucket.length < LOW_PRECISION_FROM:
        dtype = torch.float32
    copied = torch.empty(part.shape, dtype=dtype, device=part.device).copy_(part)
    return copied.view(bucket.sequences * heads, bucket.length, -1)


def _view(tensor_THK: Tensor, bucket: Bucket) -> Tensor:
    """One bucket of packed tokens as a view `[n, l, H, K]`."""
    view: Tensor = tensor_THK[bucket.start : bucket.stop].unflatten(0, (bucket.sequences, bucket.length))
    return view


def _by_token(bucket_mlK: Tensor, bucket: Bucket) -> Tensor:
    """`[n * H, l, K]` as a view `[n, l, H, K]`."""
    view: Tensor = bucket_mlK.unflatten(0, (bucket.sequences, -1)).transpose(1, 2)
    return view
