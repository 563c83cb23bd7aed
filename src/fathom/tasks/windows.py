"""Cutting long texts into overlapping windows of whole words, and which window decides about a word."""

from __future__ import annotations

from typing import Any

import numpy as np

FAR = 1 << 30
"""Context on a side where the text itself ends."""


def plan_windows(lengths: np.ndarray[Any, Any], room: int, stride: int) -> list[tuple[int, int]]:
    """Cover a text with windows of words.

    Args:
        lengths: Sub-words of each word; a word longer than `room` counts as `room` (it is cut).
        room: Sub-words a window holds.
        stride: Words a window shares with the one before it, where they leave room for a new word.

    Returns:
        (first word, end word) of each window, in order; together they cover every word.
    """
    count = len(lengths)
    sums = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.minimum(lengths, room), out=sums[1:])
    if sums[-1] <= room:
        return [(0, count)]
    windows: list[tuple[int, int]] = []
    start = 0
    while True:
        end = int(np.searchsorted(sums, sums[start] + room, side="right")) - 1
        windows.append((start, end))
        if end == count:
            return windows
        # The next window must hold the first word not yet covered, however long the overlap is.
        earliest = int(np.searchsorted(sums, sums[end + 1] - room, side="left"))
        start = max(end - stride, earliest, start + 1)


def deciding_window(windows: list[tuple[int, int]], count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return, for each word, the window where its nearer edge is farthest (the first of equals).

    The edge of the text itself is no loss of context and counts as far away.
    """
    if len(windows) == 1:
        return np.zeros(count, dtype=np.int64)
    best = np.full(count, -1, dtype=np.int64)
    owner = np.zeros(count, dtype=np.int64)
    for index, (start, end) in enumerate(windows):
        words = np.arange(start, end)
        left = words - start if start > 0 else np.full(len(words), FAR)
        right = end - 1 - words if end < count else np.full(len(words), FAR)
        context = np.minimum(left, right)
        better = context > best[start:end]
        best[start:end][better] = context[better]
        owner[start:end][better] = index
    return owner
