"""Are the probabilities true, and is the right class among the first: calibration and top-k accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from fathom.evaluation.base import Accumulator, Metric


class Calibration(Metric):
    """Expected and maximum calibration error (Guo et al. 2017, arXiv 1706.04599), and the Brier score; single label.

    With confidence the probability of the predicted class, and bins of equal width, open on the left:
    ECE = sum over bins of (examples of the bin / all examples) * |accuracy of the bin - mean confidence of the bin|.
    """

    bins: int = Field(15, ge=1)
    """Bins of confidence."""

    gives = ("ece", "mce", "brier")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return CalibrationAccumulator(self.bins)


class CalibrationAccumulator(Accumulator):
    """Examples, right ones and summed confidence by bin."""

    def __init__(self, bins: int) -> None:
        self.edges = np.linspace(0.0, 1.0, bins + 1)
        self.count_N = np.zeros(bins)
        self.right_N = np.zeros(bins)
        self.confidence_N = np.zeros(bins)
        self.squares = 0.0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one example: probabilities and the index of its class."""
        values = np.asarray(prediction, dtype=np.float64)
        best = int(np.argmax(values))
        bin_ = int(np.searchsorted(self.edges[1:-1], values[best], side="left"))
        self.count_N[bin_] += 1
        self.right_N[bin_] += best == int(reference)
        self.confidence_N[bin_] += values[best]
        self.squares += float((values**2).sum() - 2 * values[int(reference)] + 1)

    def compute(self) -> dict[str, Any]:
        """`ece`, `mce` and `brier`."""
        total = float(self.count_N.sum())
        if not total:
            return {"ece": 0.0, "mce": 0.0, "brier": 0.0}
        gap_N = np.abs(self.right_N - self.confidence_N) / np.maximum(self.count_N, 1)
        return {
            "ece": float((self.count_N * gap_N).sum() / total),
            "mce": float(gap_N.max()),
            "brier": self.squares / total,
        }


class TopK(Metric):
    """Share of examples whose class is among the k likeliest; single label. Equal ones rank by their order."""

    k: int = Field(5, ge=1)
    """How many are looked at."""

    @property
    def score_names(self) -> tuple[str, ...]:
        """`top_5_accuracy`, with k in its name."""
        return (f"top_{self.k}_accuracy",)

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return TopKAccumulator(self.k)


class TopKAccumulator(Accumulator):
    """Hits among the k likeliest."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.hits = 0
        self.examples = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one example: probabilities and the index of its class."""
        values = np.asarray(prediction)
        order = np.argsort(-values, kind="stable")
        self.hits += bool((order[: self.k] == int(reference)).any())
        self.examples += 1

    def compute(self) -> dict[str, Any]:
        """`top_5_accuracy`, with k in its name."""
        return {f"top_{self.k}_accuracy": self.hits / self.examples if self.examples else 0.0}
