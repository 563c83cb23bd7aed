"""What the parts of a step cost on a machine, fitted to the runs that it has finished.

    seconds = a products in fp32 + b products in bf16 + c bytes moved + d blocks started + e operations added + f

Products and bytes are in seconds at the machine's best (`runs/calibration.py`), so that `a`, `b` and `c` say how far
from it a step runs. The six numbers are never negative; they minimise the sum of the relative errors, with each run's
error bounded by its absolute value, so that one odd run does not bend the rest. A prior, which counts as much as
`PRIOR_RUNS` runs, stands for what no run has told yet. What runs of the same strategy, and of the same model under it,
took beyond the fit corrects it, the more of them the more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fathom.model.steptime import Rates, StepWork

Numbers = NDArray[np.float64]

PRIOR = np.array([1.8, 1.8, 1.8, 2e-3, 2e-4, 3e-3])
"""Of a step before any run: products and copies at 55% of the machine's best, and milliseconds for what is started."""
PRIOR_RUNS = 0.03
EVEN_ERROR = 0.2
"""Relative errors below it count squared."""
REWEIGHTED = 20
SWEEPS = 200
STRATEGY_RUNS, MODEL_RUNS = 2.0, 1.0
"""Runs that say nothing, beside which those of the same strategy, and of the same model under it, are averaged."""


@dataclass(frozen=True)
class Observed:
    """A step that was, or is to be, made."""

    work: StepWork
    rates: Rates
    precision: str
    model: str
    tuning: str

    @property
    def parts(self) -> Numbers:
        """What the six numbers multiply, `[6]`."""
        products = self.work.flops / self.rates.flops_per_s
        low = self.precision == "bf16"
        moved = self.work.moved_bytes / self.rates.bytes_per_s
        return np.array(
            [products * (not low), products * low, moved, self.work.block_passes, self.work.added_operations, 1.0]
        )


def prior_seconds(step: Observed) -> float:
    """Return the seconds of a step on a machine that no run is known of."""
    return float(step.parts @ PRIOR)


def fitted_seconds(step: Observed, known: Sequence[tuple[Observed, float]]) -> float:
    """Return the seconds of a step.

    Args:
        step: To be made.
        known: Steps of finished runs on this machine, and their seconds.
    """
    costs = fit_costs(known)
    ratios = [(other, float(np.log(seconds / (other.parts @ costs)))) for other, seconds in known]
    alike = [(other, ratio) for other, ratio in ratios if other.tuning == step.tuning]
    correction = _shrunken([ratio for _, ratio in alike], STRATEGY_RUNS)
    same = [ratio - correction for other, ratio in alike if other.model == step.model]
    return float(step.parts @ costs * np.exp(correction + _shrunken(same, MODEL_RUNS)))


def fit_costs(known: Sequence[tuple[Observed, float]]) -> Numbers:
    """Return the six numbers, `[6]`, in seconds a unit of their part."""
    parts_N6 = np.array([step.parts / seconds for step, seconds in known]).reshape(-1, len(PRIOR))
    told_66 = np.diag(1.0 / PRIOR)
    weights_N = np.ones(len(parts_N6))
    costs = PRIOR
    for _ in range(REWEIGHTED):
        rows = np.concatenate([parts_N6 * np.sqrt(weights_N)[:, None], told_66 * np.sqrt(PRIOR_RUNS)])
        targets = np.concatenate([np.sqrt(weights_N), np.full(len(PRIOR), np.sqrt(PRIOR_RUNS))])
        costs = nonnegative_least_squares(rows, targets, costs)
        weights_N = EVEN_ERROR / np.maximum(np.abs(parts_N6 @ costs - 1.0), EVEN_ERROR)
    return costs


def nonnegative_least_squares(rows: Numbers, targets: Numbers, start: Numbers) -> Numbers:
    """Minimise |rows x - targets|^2 over x >= 0, coordinate by coordinate; the problem is convex.

    `scipy.optimize.nnls` does it exactly and takes 0.3 s to import beside torch.
    """
    gram, right = rows.T @ rows, rows.T @ targets
    found = start.copy()
    for _ in range(SWEEPS):
        for index in range(len(found)):
            found[index] = max(0.0, found[index] + (right[index] - gram[index] @ found) / gram[index, index])
    return found


def _shrunken(ratios: Sequence[float], silent: float) -> float:
    return sum(ratios) / (len(ratios) + silent)
