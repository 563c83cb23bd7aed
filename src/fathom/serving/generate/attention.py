"""Attention while generating: packed prompts each by itself, then one new token of every sequence on its cache."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from fathom.model.layout import LOWEST, Layout
from fathom.model.packing import PackedModel, pack_model

ATTENTION_NAME = "fathom_cached"


@dataclass
class View:
    """What the attention of one model sees now."""

    packed: PackedModel
    """Its layout is set while prompts are read."""
    hidden_BL: Tensor | None = None
    """True at columns of the cache that hold no token of a row; None where every column does."""


_VIEWS: WeakKeyDictionary[nn.Module, ref[View]] = WeakKeyDictionary()
"""The view of the model an attention module belongs to, kept by whoever generates with it."""


def install(model: nn.Module) -> View:
    """Make a model's attention read packed prompts and aligned caches.

    Returns:
        The view; the `reason` of its packed model says why it could not be done.
    """
    view = View(pack_model(model, trial=False))
    if view.packed.packed:
        AttentionInterface.register(ATTENTION_NAME, cached_attention)
        view.packed.model.set_attn_implementation(ATTENTION_NAME)
        for module in view.packed.model.modules():
            _VIEWS[module] = ref(view)
    return view


def cached_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention function for transformers' `AttentionInterface`: `[B, H, L, K]` in, `[B, L, H, K]` out.

    Raises:
        NotImplementedError: The family asks for something else (relative biases, attention sinks).
    """
    for name in ("position_bias", "s_aux"):
        if options.get(name) is not None:
            raise NotImplementedError(f"attention with '{name}'")
    view = _VIEWS[module]()
    assert view is not None
    scaling = options.get("scaling")
    scaling = float(scaling) if scaling is not None else 1.0 / math.sqrt(query.shape[-1])
    seen = _Seen(scaling, options.get("sliding_window"), options.get("softcap"))
    layout = view.packed.layout
    if layout is not None:
        return _prompts(query, key, value, layout, seen), None
    return _newest(query, key, value, view.hidden_BL, seen), None


@dataclass(frozen=True)
class _Seen:
    scaling: float
    window: int | None
    softcap: float | None


def _prompts(query: Tensor, key: Tensor, value: Tensor, layout: Layout, seen: _Seen) -> Tensor:
    """Each prompt by itself, by torch's fused attention, which never holds the scores of a long one whole."""
    output = query.new_zeros(query.shape[2], query.shape[1], value.shape[3])
    groups = query.shape[1] // key.shape[1]
    for bucket in layout.buckets:
        start = bucket.start
        for length in bucket.lengths:
            tokens = slice(start, start + length)
            own, keys, values = query[:, :, tokens], key[:, :, tokens], value[:, :, tokens]
            if groups > 1:
                keys, values = (part.repeat_interleave(groups, dim=1) for part in (keys, values))
            output[tokens] = _one_prompt(own, keys, values, seen)[0].transpose(0, 1)
            start += length
    return output[None]


def _one_prompt(query: Tensor, key: Tensor, value: Tensor, seen: _Seen) -> Tensor:
    length = query.shape[2]
    narrow = seen.window is not None and seen.window < length
    if seen.softcap is None and not narrow:
        return nn.functional.scaled_dot_product_attention(query, key, value, is_causal=length > 1, scale=seen.scaling)
    place_L = torch.arange(length, device=query.device)
    distance_LL = place_L[:, None] - place_L
    open_LL = distance_LL >= 0
    if seen.window is not None:
        open_LL &= distance_LL < seen.window
    if seen.softcap is None:
        return nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=open_LL, scale=seen.scaling)
    scores = query @ key.transpose(-1, -2) * seen.scaling
    scores = torch.tanh(scores / seen.softcap) * seen.softcap
    weights = torch.softmax(scores.masked_fill(~open_LL, LOWEST), dim=-1, dtype=torch.float32).to(value.dtype)
    return weights @ value


def _newest(query: Tensor, key: Tensor, value: Tensor, hidden_BL: Tensor | None, seen: _Seen) -> Tensor:
    """One query for each sequence on all columns of its cache; grouped heads are rows of one product, not copies."""
    batch, heads, _, width = query.shape
    key_heads, length = key.shape[1], key.shape[2]
    if seen.window is not None and seen.window < length:  # aligned on the right: a window is the last columns
        key, value = key[:, :, -seen.window :], value[:, :, -seen.window :]
    columns = key.shape[2]
    query = (query * seen.scaling).reshape(batch * key_heads, heads // key_heads, width)
    scores = torch.bmm(query, key.flatten(0, 1).transpose(1, 2))
    if seen.softcap is not None:
        scores = torch.tanh(scores / seen.softcap) * seen.softcap
    if hidden_BL is not None:
        grouped = scores.view(batch, -1, columns)
        grouped.masked_fill_(hidden_BL[:, None, length - columns : length], LOWEST)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    output = torch.bmm(weights, value.flatten(0, 1))
    return output.view(batch, 1, heads, value.shape[3])
