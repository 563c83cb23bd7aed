"""Counter-based draws: uniform, independent of batch and order, different between steps, seeds and streams."""

from __future__ import annotations

import numpy as np
import pytest

from fathom.data.draw import Draw

PLACES = np.broadcast_to(np.arange(500), (40, 500))


def uniform(seed: int = 1, step: int = 2, rows: list[int] | None = None, stream: int = 0) -> np.ndarray:
    draw = Draw(seed, step, np.array(range(40) if rows is None else rows))
    return draw.uniform(stream, PLACES[: len(draw.rows)])


def test_numbers_are_uniform() -> None:
    found = uniform()
    counts = np.histogram(found, bins=20, range=(0, 1))[0]
    expected = found.size / 20
    assert ((counts - expected) ** 2 / expected).sum() < 43.8  # chi squared, 19 degrees, p = 0.001
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(found[:-1].ravel(), found[1:].ravel())[0, 1]) < 0.03


def test_a_row_draws_the_same_in_any_batch() -> None:
    assert (uniform()[7] == uniform(rows=[7])[0]).all()
    assert (uniform(rows=[9, 3])[1] == uniform()[3]).all()


@pytest.mark.parametrize("change", [{"seed": 2}, {"step": 3}, {"stream": 1}])
def test_everything_that_may_differ_makes_a_difference(change: dict[str, int]) -> None:
    assert abs(np.corrcoef(uniform().ravel(), uniform(**change).ravel())[0, 1]) < 0.03


def test_generators_are_of_their_row() -> None:
    first = Draw(1, 2, np.array([5, 6])).generator(1, 3).random(4)
    assert (first == Draw(1, 2, np.array([6])).generator(0, 3).random(4)).all()
    assert (first != Draw(1, 2, np.array([5])).generator(0, 3).random(4)).all()
