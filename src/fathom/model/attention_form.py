"""Which form of attention a packed batch takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from fathom.model.attention import AttentionOptions, FusedAttention, attend
from fathom.model.dropout import DropoutSource
from fathom.model.flash_attention import attend_long, attend_varlen, is_long, takes_varlen
from fathom.model.layout import Layout


def attend_packed(
    heads: Sequence[Tensor], layout: Layout, options: AttentionOptions, source: DropoutSource | None
) -> Tensor:
    """Attention in the fastest form there is; of batches that were joined, each by itself.

    Args:
        heads: Queries, keys and values; see `attend`.
        layout: Of the batch.
        options: See `attend`.
        source: Where dropout masks come from; None for torch's generator.
    """
    if layout.parts:
        slots = [part.layout.slots for part in layout.parts]
        rest = layout.slots - sum(slots)
        pieces = zip(*(head.split([*slots, rest])[:-1] for head in heads), strict=True)
        found = [
            attend_packed(piece, part.layout, options, part.dropout)
            for piece, part in zip(pieces, layout.parts, strict=True)
        ]
        return torch.cat([*found, heads[0].new_zeros(rest, *heads[0].shape[1:])])
    widest = reduce(torch.promote_types, (head.dtype for head in heads))
    query, key, value = (head.to(widest) for head in heads)  # float32 rotary tables widen queries and keys alone
    if options.softcap is not None:
        return attend(query, key, value, layout, options)
    on_cpu = query.device.type == "cpu"
    drops = options.dropout > 0
    # torch's kernels take the rate of torch's own dropout, on a processor not even that
    if not (drops and (on_cpu or source is not None)):
        if takes_varlen(query, options):
            return attend_varlen(query, key, value, layout, options)
        if is_long(layout.longest, query.element_size(), query.device.type):
            return attend_long(query, key, value, layout, options)
    if drops and source is None:
        return attend(query, key, value, layout, options)
    output: Tensor = FusedAttention.apply(query, key, value, layout, options, source)  # type: ignore[no-untyped-call]
    return output
