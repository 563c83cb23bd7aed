"""Scores of a regression: correlation and error, streaming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.ranking import average_ranks

FLUSH = 1024
"""Pairs gathered before they are counted."""


class Pearson(Metric):
    """Linear correlation of predicted and true numbers."""

    gives = ("pearson",)

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return PearsonAccumulator()


class Spearman(Metric):
    """Rank correlation of predicted and true numbers."""

    gives = ("spearman",)

    exact_pairs: int = Field(1_000_000, gt=0)
    """Pairs kept for exact ranks (16 bytes each); beyond, ranks come from bins."""
    bins: int = Field(1024, ge=16)
    """Bins of each variable once the pairs are no longer kept."""

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return SpearmanAccumulator(self.exact_pairs, self.bins)


class MeanSquaredError(Metric):
    """Mean squared, root mean squared and mean absolute error."""

    gives = ("mse", "rmse", "mae")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return ErrorAccumulator()


class ErrorAccumulator(Accumulator):
    """Sums of errors."""

    def __init__(self) -> None:
        self.count, self.squared, self.absolute = 0, 0.0, 0.0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one pair."""
        error = float(prediction) - float(reference)
        self.count += 1
        self.squared += error * error
        self.absolute += abs(error)

    def compute(self) -> dict[str, Any]:
        """`mse`, `rmse` and `mae`."""
        count = max(self.count, 1)
        return {"mse": self.squared / count, "rmse": (self.squared / count) ** 0.5, "mae": self.absolute / count}


class PearsonAccumulator(Accumulator):
    """Running means and co-moments (Welford), so that far-off means cost no precision."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = [0.0, 0.0]
        self.xx = self.yy = self.xy = 0.0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one pair."""
        x, y = float(prediction), float(reference)
        self.count += 1
        dx, dy = x - self.mean[0], y - self.mean[1]
        self.mean[0] += dx / self.count
        self.mean[1] += dy / self.count
        self.xx += dx * (x - self.mean[0])
        self.yy += dy * (y - self.mean[1])
        self.xy += dx * (y - self.mean[1])

    def compute(self) -> dict[str, Any]:
        """`pearson`, 0 when either side is constant."""
        return {"pearson": _correlation(self.xx, self.yy, self.xy)}


class SpearmanAccumulator(Accumulator):
    """Pairs kept up to a limit, then a table of bins cut at the quantiles of the kept ones."""

    def __init__(self, exact_pairs: int, bins: int) -> None:
        self.limit, self.bins = exact_pairs, bins
        self.kept = 0
        self.pending: list[tuple[float, float]] = []
        self.blocks: list[np.ndarray[Any, Any]] = []
        self.edges: list[np.ndarray[Any, Any]] = []
        self.table_XY = np.zeros((0, 0), dtype=np.int64)

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one pair."""
        self.pending.append((float(prediction), float(reference)))
        if len(self.pending) >= FLUSH:
            self._store()

    def compute(self) -> dict[str, Any]:
        """`spearman`, 0 when either side is constant; from bins once the pairs passed the limit."""
        self._store()
        if self.edges:
            return {"spearman": table_correlation(self.table_XY)}
        if not self.blocks:
            return {"spearman": 0.0}
        pair_N2 = np.concatenate(self.blocks)
        x_N, y_N = (average_ranks(pair_N2[:, i]) for i in (0, 1))
        x_N, y_N = x_N - x_N.mean(), y_N - y_N.mean()
        return {"spearman": _correlation(float(x_N @ x_N), float(y_N @ y_N), float(x_N @ y_N))}

    def _store(self) -> None:
        """Make one block of the pairs gathered; count the blocks in bins once they are too many to keep."""
        if self.pending:
            self.blocks.append(np.array(self.pending))
            self.kept += len(self.pending)
            self.pending.clear()
        if not self.blocks or not (self.edges or self.kept > self.limit):
            return
        pair_N2 = np.concatenate(self.blocks)
        self.blocks.clear()
        if not self.edges:
            shares = np.linspace(0, 1, self.bins + 1)[1:-1]
            self.edges = [np.unique(np.quantile(pair_N2[:, i], shares)) for i in (0, 1)]
            self.table_XY = np.zeros((len(self.edges[0]) + 1, len(self.edges[1]) + 1), dtype=np.int64)
        x_N, y_N = (np.searchsorted(self.edges[i], pair_N2[:, i], side="right") for i in (0, 1))
        np.add.at(self.table_XY, (x_N, y_N), 1)


def table_correlation(table_XY: np.ndarray[Any, Any]) -> float:
    """Return the rank correlation of a table of counts, every bin at its mean rank."""
    total = float(table_XY.sum())
    centred = []
    for count in (table_XY.sum(1), table_XY.sum(0)):
        rank = np.cumsum(count) - (count - 1) / 2
        centred.append(rank - float(count @ rank) / total)
    x, y = centred
    xx, yy = float(table_XY.sum(1) @ (x * x)), float(table_XY.sum(0) @ (y * y))
    return _correlation(xx, yy, float(x @ table_XY @ y))


def _correlation(xx: float, yy: float, xy: float) -> float:
    below = (xx * yy) ** 0.5
    return max(-1.0, min(1.0, xy / below)) if below > 0 else 0.0
