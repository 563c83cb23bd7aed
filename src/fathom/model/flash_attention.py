"""Attention that never holds its probabilities: torch's own kernels over packed tokens, for long sequences and GPUs.

On a processor `scaled_dot_product_attention` runs bucket by bucket; on a GPU in low precision one kernel of variable
lengths takes the whole batch as it lies. What is kept for the backward pass grows with the length, not with its square.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

from fathom.log import get_console
from fathom.model.attention import AttentionOptions, attend, gather_heads
from fathom.model.layout import Layout, make_layout

LONG = 256
"""Positions of the longest sequence from which it pays on a processor in float32 (forward and backward, causal, AVX2:
1.3 times as fast as buckets of products at 256, 3.0 at 1,024, and slower at 128)."""
LONG_IN_LOW_PRECISION = 1024
"""The same in bfloat16, where products run on units of their own: not for time, which was not measured, but for
memory."""
WIDEST_HEAD = 256
"""Of the kernel of variable lengths."""
TRIAL_TOLERANCE = 2e-2
"""Of bfloat16 outputs of the order of one."""

GROUPED = "enable_gqa" in inspect.signature(varlen_attn).parameters
"""Whether the kernel reads fewer heads of keys than of queries (torch 2.12 and later)."""


def is_long(longest: int, product_bytes: int, device: str = "cpu") -> bool:
    """Whether a batch's attention keeps no probabilities, dropout and soft caps aside.

    Args:
        longest: Positions of its longest sequence.
        product_bytes: Of one number of queries, keys and values.
        device: Type of the device it runs on.
    """
    return device != "cpu" or longest >= (LONG if product_bytes >= 4 else LONG_IN_LOW_PRECISION)


def attend_long(
    query_THK: Tensor, key_THK: Tensor, value_THK: Tensor, layout: Layout, options: AttentionOptions
) -> Tensor:
    """`attend` without soft cap by torch's fused kernels, one bucket at a time."""
    slots, heads, width = query_THK.shape
    whole = all(length == bucket.length for bucket in layout.buckets for length in bucket.lengths)
    if whole:  # the packed tokens are rectangles already
        read = [_repeated(tensor, heads) for tensor in (query_THK, key_THK, value_THK)]
    else:
        read = [_Gather.apply(tensor, heads, layout) for tensor in (query_THK, key_THK, value_THK)]  # type: ignore[no-untyped-call]
    starts = layout.head_index(heads, heads).starts if not whole else ()
    outputs = []
    for number, bucket in enumerate(layout.buckets):
        shape = (bucket.sequences, bucket.length)
        if whole:
            rows = slice(bucket.start, bucket.start + bucket.sequences * bucket.length)
            parts = [tensor[rows].unflatten(0, shape).transpose(1, 2) for tensor in read]
        else:
            rows = slice(starts[number], starts[number + 1])
            parts = [tensor[rows].view(bucket.sequences, heads, bucket.length, width) for tensor in read]
        mask, causal = _view(layout, number, options, query_THK.dtype, whole=whole)
        query, key, value = parts
        found = scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal, scale=options.scaling, dropout_p=options.dropout
        )
        outputs.append(found.transpose(1, 2).flatten(0, 1) if whole else found.reshape(-1, width))
    if whole:
        return torch.cat([*outputs, query_THK.new_zeros(slots - layout.filled, heads, width)])
    output: Tensor = _Return.apply(torch.cat(outputs), heads, layout)  # type: ignore[no-untyped-call]
    return output


def attend_varlen(
    query_THK: Tensor, key_THK: Tensor, value_THK: Tensor, layout: Layout, options: AttentionOptions
) -> Tensor:
    """`attend` without soft cap and dropout by one kernel for sequences of all lengths (a GPU, float16 or bfloat16).

    Slack slots are a sequence of their own, which nobody reads.
    """
    bounds, longest = layout.bounds()
    heads = query_THK.shape[1]
    if not GROUPED:
        key_THK, value_THK = _repeated(key_THK, heads), _repeated(value_THK, heads)
    reach = -1 if options.window is None else options.window - 1
    window = (reach, 0 if options.causal else reach)
    grouped: dict[str, Any] = {"enable_gqa": key_THK.shape[1] != heads} if GROUPED else {}
    output = varlen_attn(
        query_THK, key_THK, value_THK, bounds, bounds, longest, longest,
        scale=options.scaling, window_size=window, **grouped,
    )  # fmt: skip
    assert isinstance(output, Tensor)
    return output


def takes_varlen(query_THK: Tensor, options: AttentionOptions) -> bool:
    """Whether the kernel of variable lengths can run a batch on this device, and is right there."""
    width = query_THK.shape[2]
    fits = query_THK.is_cuda and query_THK.dtype in (torch.float16, torch.bfloat16)
    return fits and width <= WIDEST_HEAD and width % 8 == 0 and options.dropout == 0 and _trial(query_THK.device)


@cache
def _trial(device: torch.device) -> bool:
    """Try the kernel once on a device; one that fails or disagrees is said once and never used."""
    layout = make_layout(torch.ones(2, 9, dtype=torch.long, device=device))
    generator = torch.Generator(device).manual_seed(0)
    heads = [torch.randn(layout.slots, 2, 32, device=device, generator=generator) for _ in range(3)]
    options = AttentionOptions(scaling=0.2, causal=True)
    low = [tensor.bfloat16() for tensor in heads]
    try:
        found = attend_varlen(low[0], low[1], low[2], layout, options)
    except (RuntimeError, NotImplementedError) as error:  # an old GPU, or a build without the kernel
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    else:
        wanted = attend(heads[0], heads[1], heads[2], layout, options)
        difference = (found.float() - wanted)[: layout.filled].abs().max().item()
        if difference <= TRIAL_TOLERANCE:
            return True
        reason = f"it differs by {difference:.1e} on a trial batch"
    get_console().warn(f"torch's attention kernel of variable lengths is not used on {device}: {reason}")
    return False


def _view(
    layout: Layout, number: int, options: AttentionOptions, dtype: torch.dtype, *, whole: bool
) -> tuple[Tensor | None, bool]:
    """Return the mask of a bucket, `[n, 1, 1 or l, l]`, if it needs one, and whether the kernel itself looks back only.

    Padding lies behind the tokens: who looks back only never sees it.
    """
    length = layout.buckets[number].length
    if options.window is not None and options.window < length:
        return layout.bias(number, 1, dtype, (options.causal, options.window)).unsqueeze(1), False
    if options.causal or whole:
        return None, options.causal
    return layout.bias(number, 1, dtype, (False, None)).unsqueeze(1), False


def _repeated(tensor_THK: Tensor, heads: int) -> Tensor:
    """Heads of keys or values, one for every query head."""
    times = heads // tensor_THK.shape[1]
    return tensor_THK if times == 1 else tensor_THK.repeat_interleave(times, dim=1)


class _Gather(torch.autograd.Function):
    """Heads of packed tokens `[T, heads, K]` to bucket rows `[R, K]`; its gradient is a gather too, not a scatter."""

    @staticmethod
    def forward(ctx: Any, tensor_THK: Tensor, heads: int, layout: Layout) -> Tensor:
        ctx.heads, ctx.layout, ctx.own = heads, layout, tensor_THK.shape[1]
        return gather_heads(tensor_THK, heads, layout)

    @staticmethod
    def backward(ctx: Any, grad_RK: Tensor) -> tuple[Tensor, None, None]:
        grad_THK = _returned(grad_RK, ctx.heads, ctx.layout)
        if ctx.own != ctx.heads:
            grad_THK = grad_THK.unflatten(1, (ctx.own, -1)).sum(2)
        return grad_THK, None, None


class _Return(torch.autograd.Function):
    """Bucket rows `[R, K]` to packed tokens `[T, heads, K]`, zero in slack slots."""

    @staticmethod
    def forward(ctx: Any, rows_RK: Tensor, heads: int, layout: Layout) -> Tensor:
        ctx.heads, ctx.layout = heads, layout
        return _returned(rows_RK, heads, layout)

    @staticmethod
    def backward(ctx: Any, grad_THK: Tensor) -> tuple[Tensor, None, None]:
        return gather_heads(grad_THK, ctx.heads, ctx.layout), None, None  # padding reads a slack slot: no gradient


def _returned(rows_RK: Tensor, heads: int, layout: Layout) -> Tensor:
    index = layout.head_index(heads, heads)
    zero = rows_RK.new_zeros(1, rows_RK.shape[1])
    return torch.cat([rows_RK, zero]).index_select(0, index.back_TH).view(-1, heads, rows_RK.shape[1])
