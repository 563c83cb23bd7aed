"""Several batches in one pass: each lies in the packed tokens as it would alone, one after another.

Attention runs on each by itself, and each draws its own dropout masks, in the shapes and in the order it would draw
them alone; so all that the batches have in common is the size of the products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fathom.model.dropout import DropoutSource
from fathom.model.layout import Layout, Part, round_up

LARGE = 11
"""Above two to this many slots, their number is rounded up by up to a sixteenth, to be one of few."""


def join_layouts(parts: Sequence[Part]) -> Layout:
    """Return the layout of batches put below each other, padded to the longest.

    Slack slots within it stay where they are; it cannot be unpacked, only cut into its parts.
    """
    longest = max(part.layout.padded_length for part in parts)
    rows, first = [], 0
    for part in parts:
        own = part.layout
        row_T = own.rows_T // own.padded_length + first
        rows.append(row_T * longest + own.rows_T % own.padded_length)
        first += own.batch
    filled = sum(len(row_T) for row_T in rows)
    device = parts[0].layout.device
    rows.append(torch.zeros(_round_up(filled) - filled, dtype=torch.long, device=device))
    return Layout(first, longest, (), torch.cat(rows), filled, device, tuple(parts))


def _round_up(slots: int) -> int:
    step = 64 << max(0, slots.bit_length() - LARGE)
    return -(-round_up(slots) // step) * step


def join_inputs(
    batches: Sequence[Mapping[str, Tensor]], layout: Layout, padding: Mapping[str, int]
) -> dict[str, Tensor]:
    """Put the inputs of batches below each other.

    Args:
        batches: Per-token tensors `[B, L]` by name, the same names in each.
        layout: Of all of them together.
        padding: What fills a name's rows up to the longest; 0 where absent.

    Returns:
        One tensor for each name, `[B of all, L of the longest]`.
    """
    joined = {}
    for name, first in batches[0].items():
        whole = first.new_full((layout.batch, layout.padded_length), padding.get(name, 0))
        start = 0
        for batch in batches:
            values_BL = batch[name]
            whole[start : start + len(values_BL), : values_BL.shape[1]] = values_BL
            start += len(values_BL)
        joined[name] = whole
    return joined


def natural_states(states_TD: Tensor, layout: Layout, attention_mask_BL: Tensor) -> Tensor:
    """Return packed states in the order of the rows' tokens, without slack: `[tokens, D]`."""
    order_T = layout.natural_order(attention_mask_BL)[: layout.filled]
    places = torch.empty_like(order_T)
    places[order_T] = torch.arange(layout.filled, device=order_T.device)
    return states_TD.index_select(0, places)


class JoinedDropout(DropoutSource):
    """Draws for every part of a joined batch the masks that it would draw alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layout: Layout | None = None
        """Of the coming pass."""

    def mask(self, shape: torch.Size | tuple[int, ...], rate: float) -> Tensor:
        """Return the masks of all parts as one; see `DropoutSource.mask`.

        Args:
            shape: Of packed `[1, T, ...]` or of padded tensors `[B, L, ...]`.
            rate: Probability of dropping an element.

        Raises:
            ValueError: The shape is neither, so that it cannot be told whose element is whose.
        """
        layout = self.layout
        assert layout is not None
        rest = shape[2:]
        if tuple(shape[:2]) == (1, layout.slots):
            drawn = [_own(part).mask((1, part.layout.slots, *rest), rate) for part in layout.parts]
            slack = layout.slots - sum(part.layout.slots for part in layout.parts)
            return torch.cat([*drawn, torch.zeros(1, slack, *rest, dtype=torch.int16)], dim=1)
        if tuple(shape[:2]) != (layout.batch, layout.padded_length):
            raise ValueError(f"dropout on {list(shape)}, which is neither tokens nor rows of the batches")
        whole = torch.zeros(shape, dtype=torch.int16)
        start = 0
        for part in layout.parts:
            own = part.layout
            mask = _own(part).mask((own.batch, own.padded_length, *rest), rate)
            whole[start : start + own.batch, : own.padded_length] = mask
            start += own.batch
        return whole


def _own(part: Part) -> DropoutSource:
    assert part.dropout is not None
    return part.dropout
