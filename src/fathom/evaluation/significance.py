"""Is A better than B, or lucky? Paired tests on two systems' results for the same examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np

from fathom.errors import DataError

Array = np.ndarray[Any, Any]
Score = Callable[[Array], Array]
"""Sums of per-example counts [..., K] to scores [...]: a mean is `sums[..., 0] / sums[..., 1]`."""


@dataclass(frozen=True)
class Comparison:
    """Two scores, their difference, its confidence interval, and the chance of such a difference by luck."""

    score_a: float
    score_b: float
    difference: float
    low: float
    high: float
    p_value: float


def mean_score(sums: Array) -> Array:
    """Score of counts (value, 1): the mean, for example accuracy."""
    result: Array = sums[..., 0] / np.maximum(sums[..., 1], 1)
    return result


def f1_score(sums: Array) -> Array:
    """Score of counts (right, predicted, existing): micro F1."""
    result: Array = 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)
    return result


def compare(
    counts_a: Array,
    counts_b: Array,
    score: Score = mean_score,
    *,
    rounds: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Compare two systems by a paired bootstrap interval and an approximate randomization test.

    Args:
        counts_a: [N, K] counts of each example under system A, whatever `score` sums; [N] values are taken as means.
        counts_b: The same of system B, in the same order.
        score: Sums to score; `mean_score` or `f1_score`, or any function of the kind.
        rounds: Resamples of each kind.
        seed: Of the resampling.
        level: Of the confidence interval.

    Raises:
        DataError: Different numbers of examples, or none.

    Source: Efron & Tibshirani 1993 (bootstrap); Noreen 1989 (randomization, two-sided, with the +1 correction).
    """
    a_NK, b_NK = _as_counts(counts_a), _as_counts(counts_b)
    if a_NK.shape != b_NK.shape or not len(a_NK):
        raise DataError(f"{len(a_NK)} and {len(b_NK)} results cannot be paired", mend="score the same examples")
    generator = np.random.default_rng(seed)
    number = len(a_NK)
    observed = float(score(a_NK.sum(0)) - score(b_NK.sum(0)))
    resampled, as_large = np.empty(rounds), 0
    for index in range(rounds):
        times_N = np.bincount(generator.integers(0, number, number), minlength=number)
        resampled[index] = float(score(times_N @ a_NK) - score(times_N @ b_NK))
        swap_N1 = generator.integers(0, 2, (number, 1)).astype(bool)
        difference = score(np.where(swap_N1, b_NK, a_NK).sum(0)) - score(np.where(swap_N1, a_NK, b_NK).sum(0))
        as_large += bool(abs(float(difference)) >= abs(observed) - 1e-12)
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return Comparison(
        score_a=float(score(a_NK.sum(0))),
        score_b=float(score(b_NK.sum(0))),
        difference=observed,
        low=float(low),
        high=float(high),
        p_value=(as_large + 1) / (rounds + 1),
    )


def mcnemar(right_a: Array, right_b: Array) -> float:
    """Return the exact two-sided p-value of McNemar's test on which examples each system got right."""
    a_N, b_N = np.asarray(right_a, dtype=bool), np.asarray(right_b, dtype=bool)
    if a_N.shape != b_N.shape:
        raise DataError(f"{len(a_N)} and {len(b_N)} results cannot be paired", mend="score the same examples")
    only_a, only_b = int((a_N & ~b_N).sum()), int((~a_N & b_N).sum())
    number, fewer = only_a + only_b, min(only_a, only_b)
    # Exact integers: floats would overflow from about a thousand differing examples on.
    tail = sum(comb(number, count) for count in range(fewer + 1))
    return min(1.0, 2 * tail / 2**number) if number else 1.0


def _as_counts(values: Array) -> Array:
    array = np.asarray(values, dtype=np.float64)
    return np.stack([array, np.ones_like(array)], axis=1) if array.ndim == 1 else array
