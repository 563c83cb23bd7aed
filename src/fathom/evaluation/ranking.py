"""Area under the ROC curve in bounded memory: exact up to a stated number of scores, then in bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fathom.evaluation.base import Accumulator

FLUSH = 1024
"""Examples gathered before they are counted in bins."""


class AreaAccumulator(Accumulator):
    """One-against-rest areas. Scores are kept until there are `exact_scores`; their quantiles then become bins."""

    def __init__(self, labels: Sequence[str], *, exact_scores: int, bins: int) -> None:
        self.classes = len(labels)
        # Of two exclusive classes one area says everything; the column is chosen when the first example shows the form.
        self.columns: np.ndarray[Any, Any] | None = None
        self.limit = max(exact_scores // max(self.classes, 1), FLUSH)
        self.bins = bins
        self.kept = 0
        self.pending: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        self.blocks: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        self.edges: list[np.ndarray[Any, Any]] = []
        self.positive: list[np.ndarray[Any, Any]] = []
        self.negative: list[np.ndarray[Any, Any]] = []

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one example."""
        single = np.ndim(reference) == 0
        if self.columns is None:
            self.columns = np.array([1]) if single and self.classes == 2 else np.arange(self.classes)
        if single:
            target = np.zeros(self.classes, dtype=bool)
            target[int(reference)] = True
        else:
            target = np.asarray(reference) > 0
        self.pending.append((np.asarray(prediction, dtype=np.float32)[self.columns], target[self.columns]))
        if len(self.pending) >= FLUSH:
            self._store()

    def compute(self) -> dict[str, Any]:
        """`auc`, the mean over classes that have examples on both sides; absent where there is none.

        With binned scores also `auc_error_bound`: no farther than this from the exact value.
        """
        self._store()
        areas: list[tuple[float | None, float]] = []
        if self.edges:
            areas = [binned_area(up, down) for up, down in zip(self.positive, self.negative, strict=True)]
        elif self.blocks:
            score_NC, target_NC = self._all()
            areas = [(exact_area(score_NC[:, i], target_NC[:, i]), 0.0) for i in range(score_NC.shape[1])]
        known = [(area, error) for area, error in areas if area is not None]
        if not known:
            return {}
        result = {"auc": float(np.mean([area for area, _ in known]))}
        if self.edges:
            result["auc_error_bound"] = float(np.mean([error for _, error in known]))
        return result

    def _store(self) -> None:
        """Make one block of the examples gathered; count the blocks in bins once they are too many to keep."""
        if self.pending:
            self.blocks.append((np.stack([score for score, _ in self.pending]), np.stack([t for _, t in self.pending])))
            self.kept += len(self.pending)
            self.pending.clear()
        if self.blocks and (self.edges or self.kept > self.limit):
            self._count(*self._all())
            self.blocks.clear()

    def _all(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        return np.concatenate([block[0] for block in self.blocks]), np.concatenate([block[1] for block in self.blocks])

    def _count(self, score_NC: np.ndarray[Any, Any], target_NC: np.ndarray[Any, Any]) -> None:
        columns = score_NC.shape[1]
        if not self.edges:
            shares = np.linspace(0, 1, self.bins + 1)[1:-1]
            self.edges = [np.unique(np.quantile(score_NC[:, i], shares, method="lower")) for i in range(columns)]
            self.positive = [np.zeros(2 * len(edge) + 1, dtype=np.int64) for edge in self.edges]
            self.negative = [np.zeros(2 * len(edge) + 1, dtype=np.int64) for edge in self.edges]
        for i, edge in enumerate(self.edges):
            # A score equal to an edge has a bin of its own, so that piles of equal scores cost no precision.
            place = np.searchsorted(edge, score_NC[:, i], side="left")
            place = place + np.searchsorted(edge, score_NC[:, i], side="right")
            self.positive[i] += np.bincount(place[target_NC[:, i]], minlength=len(self.positive[i]))
            self.negative[i] += np.bincount(place[~target_NC[:, i]], minlength=len(self.negative[i]))


def exact_area(score_N: np.ndarray[Any, Any], target_N: np.ndarray[Any, Any]) -> float | None:
    """Return the area under the ROC curve (ties count half), or None when one side has no example."""
    positives = int(target_N.sum())
    negatives = len(target_N) - positives
    if not positives or not negatives:
        return None
    above = float(average_ranks(score_N)[target_N].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def binned_area(positive: np.ndarray[Any, Any], negative: np.ndarray[Any, Any]) -> tuple[float | None, float]:
    """Return the area from counts per bin in rising order, and how far it can be from the exact one."""
    positives, negatives = int(positive.sum()), int(negative.sum())
    if not positives or not negatives:
        return None, 0.0
    below = np.concatenate([[0], np.cumsum(negative)[:-1]])
    pairs = float(positives) * float(negatives)
    area = float((positive.astype(np.float64) * (below + negative / 2)).sum()) / pairs
    inside = slice(0, None, 2)
    doubt = float((positive[inside].astype(np.float64) * negative[inside]).sum()) / 2 / pairs
    return area, doubt


def average_ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return ranks from 1, equal values sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    result: np.ndarray[Any, np.dtype[np.float64]] = (last - (counts - 1) / 2)[place.reshape(-1)]
    return result
