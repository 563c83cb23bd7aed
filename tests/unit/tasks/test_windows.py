from __future__ import annotations

import itertools

import numpy as np
import pytest

from fathom.tasks.windows import deciding_window, plan_windows


@pytest.mark.parametrize("stride", [0, 1, 7, 1000])
def test_windows_cover_every_word_and_fit(stride):
    generator = np.random.default_rng(stride)
    for _ in range(200):
        lengths = generator.integers(0, 9, int(generator.integers(0, 60)))
        room = int(generator.integers(1, 20))
        windows = plan_windows(lengths, room, stride)
        sizes = np.minimum(lengths, room)
        assert all(sizes[start:end].sum() <= room for start, end in windows)
        assert windows[0][0] == 0
        assert windows[-1][1] == len(lengths)
        for (start, end), (next_start, next_end) in itertools.pairwise(windows):
            assert start < next_start <= end < next_end
            assert end - next_start <= stride
        owner = deciding_window(windows, len(lengths))
        assert all(windows[index][0] <= word < windows[index][1] for word, index in enumerate(owner))


def test_a_word_is_decided_where_it_has_most_context():
    assert deciding_window([(0, 10), (6, 16)], 16).tolist() == [0] * 8 + [1] * 8
    assert deciding_window([(0, 4)], 4).tolist() == [0] * 4
