"""Best-fit-decreasing packing by counting lengths: a million documents in milliseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def pack_best_fit(lengths: Array, capacity: int) -> tuple[Array, Array]:
    """Put items into as few windows as best-fit decreasing finds: longest first, each where it leaves least room.

    Best fit fills one window with equal items until no more fit, so all items of a length are placed at once: the work
    grows with the number of different lengths (at most `capacity`), not with the number of items. The result is that of
    placing them one by one ("Fewer Truncations Improve Language Modeling", arXiv 2404.10830; histogram packing, arXiv
    2107.02027).

    Args:
        lengths: Of the items, each from 1 to `capacity`.
        capacity: Of a window.

    Returns:
        The items window by window, longest first (int64 [N]), and where each window begins in them (int64 [W + 1]).

    Raises:
        ValueError: An item does not fit in any window.
    """
    lengths = np.ascontiguousarray(lengths, dtype=np.int64)
    if not len(lengths):
        return np.empty(0, np.int64), np.zeros(1, np.int64)
    if lengths.min() < 1 or lengths.max() > capacity:
        raise ValueError(f"lengths go from {lengths.min()} to {lengths.max()}, a window holds 1 to {capacity}")
    # Sorting numbers that carry their own index is several times faster than an indirect stable sort.
    by_length = np.sort((capacity - lengths) << 40 | np.arange(len(lengths))) & ((1 << 40) - 1)
    window_of = _place(np.bincount(lengths, minlength=capacity + 1), capacity)
    by_window = np.sort(window_of << 40 | np.arange(len(lengths))) & ((1 << 40) - 1)
    offsets = np.zeros(int(window_of.max()) + 2, dtype=np.int64)
    np.cumsum(np.bincount(window_of), out=offsets[1:])
    return by_length[by_window], offsets


def _place(counts: Array, capacity: int) -> Array:
    """Return the window of every item, items sorted by length, longest first.

    Args:
        counts: Items by length.
        capacity: Of a window.
    """
    window_of = np.empty(int(counts.sum()), dtype=np.int64)
    rooms = _Rooms(capacity)
    first = num_windows = 0
    for length in np.flatnonzero(counts)[::-1].tolist():
        left = int(counts[length])
        while left:
            room = rooms.smallest(length)
            if room is None:
                room = capacity
                windows = np.arange(num_windows, num_windows - (-left // (capacity // length)))
                num_windows += len(windows)
            else:
                windows = rooms.take(room)
            each = room // length
            full = min(len(windows), left // each)
            taken = full * each
            window_of[first : first + taken] = np.repeat(windows[:full], each)
            rooms.give(room - each * length, windows[:full])
            first += taken
            left -= taken
            if left and full < len(windows):  # fewer items than fill one window
                window_of[first : first + left] = windows[full]
                rooms.give(room - left * length, windows[full : full + 1])
                first += left
                left = 0
                full += 1
            rooms.give(room, windows[full:])
    return window_of


class _Rooms:
    """Windows by the room they have left."""

    def __init__(self, capacity: int) -> None:
        self._windows: list[list[Array]] = [[] for _ in range(capacity + 1)]
        self._mask = 0  # bit r: some window has room r

    def smallest(self, least: int) -> int | None:
        """Return the smallest room of at least `least` that some window has."""
        enough = self._mask >> least
        return least + (enough & -enough).bit_length() - 1 if enough else None

    def take(self, room: int) -> Array:
        """Take windows with this room."""
        windows = self._windows[room].pop()
        if not self._windows[room]:
            self._mask &= ~(1 << room)
        return windows

    def give(self, room: int, windows: Array) -> None:
        """Put windows that have this room now."""
        if room and len(windows):
            self._windows[room].append(windows)
            self._mask |= 1 << room
