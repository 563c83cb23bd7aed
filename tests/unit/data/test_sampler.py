"""The order of training is a pure function of seed and step."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.sampler import Sampler, permutation

ORDER = [1, 2, 0, 9, 8, 4, 7, 6, 3, 5]
SAMPLERS = st.builds(Sampler, st.integers(1, 60), st.integers(1, 70), st.integers(0, 2**31))


@given(SAMPLERS, st.integers(0, 4))
@settings(deadline=None)
def test_each_sequence_once_in_each_epoch(sampler: Sampler, epoch: int) -> None:
    first = epoch * sampler.steps_per_epoch
    batches = [sampler.batch(first + step) for step in range(sampler.steps_per_epoch)]
    assert sorted(np.concatenate(batches).tolist()) == list(range(sampler.size))
    assert all(len(batch) == sampler.batch_size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= sampler.batch_size


@given(SAMPLERS, st.lists(st.integers(0, 500), min_size=1, max_size=8))
@settings(deadline=None)
def test_a_step_needs_no_history(sampler: Sampler, steps: list[int]) -> None:
    forwards = [sampler.batch(step).tolist() for step in steps]
    permutation.cache_clear()
    fresh = Sampler(sampler.size, sampler.batch_size, sampler.seed)
    assert [fresh.batch(step).tolist() for step in reversed(steps)] == forwards[::-1]


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(permutation(50, seed, epoch).tolist()) for seed in (0, 1, 7) for epoch in range(3)}
    assert len(orders) == 9


def test_the_order_does_not_change_between_versions() -> None:
    # A run stopped under one version is resumed under the next: these numbers must stay.
    assert Sampler(10, 4, 7).batch(0).tolist() == ORDER[:4]
    assert permutation(10, 7, 0).tolist() == ORDER
