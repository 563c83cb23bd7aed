"""Best-fit packing: every item once, nothing overfull, as few windows as placing items one by one."""

from __future__ import annotations

import bisect
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.corpus.bestfit import pack_best_fit


def one_by_one(lengths, capacity):
    """Best-fit decreasing as the books have it: the number of windows."""
    rooms: list[int] = []
    windows = 0
    for length in sorted(lengths, reverse=True):
        place = bisect.bisect_left(rooms, length)
        if place == len(rooms):
            windows += 1
            room = capacity
        else:
            room = rooms.pop(place)
        bisect.insort(rooms, room - length)
    return windows


def check(lengths, capacity):
    order, offsets = pack_best_fit(np.array(lengths), capacity)
    assert sorted(order.tolist()) == list(range(len(lengths)))
    assert offsets[0] == 0 and offsets[-1] == len(lengths)
    packed = np.array(lengths, dtype=np.int64)[order]
    for begin, end in itertools.pairwise(offsets):
        assert begin < end
        assert packed[begin:end].sum() <= capacity
        assert (np.diff(packed[begin:end]) <= 0).all()
    return len(offsets) - 1


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(1, n), max_size=120))))
def test_packs_like_one_by_one(case):
    capacity, lengths = case
    assert check(lengths, capacity) == one_by_one(lengths, capacity)


def test_large():
    lengths = np.random.default_rng(0).lognormal(5.5, 1.1, 20_000).astype(np.int64).clip(1, 2048)
    windows = check(lengths.tolist(), 2048)
    assert windows == one_by_one(lengths.tolist(), 2048)
    assert windows <= 1.001 * -(-lengths.sum() // 2048) + 1


def test_is_deterministic_and_takes_nothing():
    lengths = np.random.default_rng(1).integers(1, 100, 1000)
    first, second = pack_best_fit(lengths, 100), pack_best_fit(lengths, 100)
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    order, offsets = pack_best_fit(np.empty(0, np.int64), 100)
    assert len(order) == 0 and offsets.tolist() == [0]


@pytest.mark.parametrize("lengths", [[5, 11], [0, 3]])
def test_what_fits_nowhere_is_refused(lengths):
    with pytest.raises(ValueError, match="a window holds 1 to 10"):
        pack_best_fit(np.array(lengths), 10)
