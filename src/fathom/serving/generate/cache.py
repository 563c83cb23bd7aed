"""Keys and values of a batch, aligned on the right: the newest token of every sequence lies in the same column.

The columns are laid out in advance and filled in place, where transformers' dynamic cache copies all of it for every
token. Prompts arrive packed and are spread over the rows once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from fathom.model.layout import Layout

SPARE_COLUMNS = 64
"""Columns laid out beyond those that are filled, at least."""


@dataclass
class Arrival:
    """Packed prompts on their way into the cache; None when one token of each sequence arrives."""

    layout: Layout | None = None
    """Of the prompts, padded on the left."""


class AlignedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one block: `[B, heads, columns, width]`.

    Args:
        arrival: Shared by all layers of a cache.
    """

    def __init__(self, arrival: Arrival) -> None:
        super().__init__()
        self._arrival = arrival
        self._stores: list[Tensor] = []
        self._filled = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        """Take in new columns, and return what attention reads: packed prompts as they came, or all columns."""
        layout = self._arrival.layout
        if layout is not None:
            self._stores = [_spread(states, layout) for states in (key_states, value_states)]
            self._fill(layout.padded_length)
            return key_states, value_states
        new = key_states.shape[2]
        if not self._stores:
            self._stores = [_room(states, states.shape[0], 0, new) for states in (key_states, value_states)]
        if self._filled + new > self._stores[0].shape[2]:
            self._stores = [self._grown(store, new) for store in self._stores]
        columns = slice(self._filled, self._filled + new)
        self._stores[0][:, :, columns] = key_states
        self._stores[1][:, :, columns] = value_states
        self._fill(self._filled + new)
        return self.keys, self.values

    def keep(self, rows_R: Tensor, first: int) -> None:
        """Go on with some rows, in the order given, some perhaps twice, without the first columns."""
        if self._stores:
            self._stores = [store[:, :, first:].index_select(0, rows_R) for store in self._stores]
            self._fill(self._filled - first)

    def get_seq_length(self) -> int:
        """Return the columns filled."""
        return self._filled

    def _fill(self, columns: int) -> None:
        self._filled = columns
        self.keys, self.values = (store[:, :, :columns] for store in self._stores)
        self.dtype, self.device, self.is_initialized = self.keys.dtype, self.keys.device, True

    def _grown(self, store: Tensor, new: int) -> Tensor:
        larger = _room(store, store.shape[0], self._filled, max(new, self._filled // 2))
        larger[:, :, : self._filled] = store[:, :, : self._filled]
        return larger


class AlignedCache(Cache):  # type: ignore[misc]
    """The aligned layers of a whole stack; blocks add theirs as they are first met."""

    def __init__(self) -> None:
        self.arrival = Arrival()
        super().__init__(layer_class_to_replicate=self._make_layer)

    def _make_layer(self) -> AlignedLayer:
        return AlignedLayer(self.arrival)

    def keep(self, rows_R: Tensor, first: int = 0) -> None:
        """See `AlignedLayer.keep`."""
        for layer in self.layers:
            layer.keep(rows_R, first)


def _room(states: Tensor, batch: int, filled: int, more: int) -> Tensor:
    """Return zeros (what a hidden column holds is weighed with zero, and must be a number)."""
    columns = filled + more + SPARE_COLUMNS
    return states.new_zeros(batch, states.shape[1], columns, states.shape[3])


def _spread(states_1HTK: Tensor, layout: Layout) -> Tensor:
    """Lay packed tokens out in rows."""
    store = _room(states_1HTK, layout.batch, layout.padded_length, 0)
    place_T = layout.rows_T[: layout.filled]
    row_T = torch.div(place_T, layout.padded_length, rounding_mode="floor")
    store[row_T, :, place_T % layout.padded_length] = states_1HTK[0, :, : layout.filled].transpose(0, 1)
    return store
