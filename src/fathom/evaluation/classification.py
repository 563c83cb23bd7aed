"""Scores of single-label and multi-label classification from counts per class.

Own counts instead of torchmetrics, whose import alone takes seconds; the tests compare them with scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.ranking import AreaAccumulator

CUT = 0.5
"""Probability from which a label counts as given in a multi-label prediction (tasks rescale theirs to it)."""


class Accuracy(Metric):
    """Share of examples that are right; for multi-label, all labels of the example right."""

    gives = ("accuracy",)

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return AccuracyAccumulator(labels)


class F1(Metric):
    """F1, precision and recall: macro (classes alike), micro (decisions alike), weighted (by support)."""

    gives = tuple(f"{name}_{kind}" for name in ("f1", "precision", "recall") for kind in ("macro", "micro", "weighted"))

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return AverageAccumulator(labels)


class Matthews(Metric):
    """Matthews correlation of a single-label classifier, for two classes or more (Gorodkin 2004)."""

    gives = ("matthews",)

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return MatthewsAccumulator(labels)


class PerClass(Metric):
    """Precision, recall, F1 and support of every class."""

    gives = ()

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return PerClassAccumulator(labels)


class Auc(Metric):
    """Area under the ROC curve: of the second class of two, else one class against the rest, mean over classes."""

    gives = ("auc",)

    exact_scores: int = Field(4_000_000, gt=0)
    """Scores kept for an exact area (4 bytes each); beyond, they are counted in bins and the error bound is stated."""
    bins: int = Field(4096, ge=16)
    """Bins per class once the scores are no longer kept."""

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return AreaAccumulator(labels, exact_scores=self.exact_scores, bins=self.bins)


class CountAccumulator(Accumulator):
    """Counts per class: right (true positives), given (predicted) and there (support)."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = list(labels)
        self.right_C = np.zeros(len(self.labels), dtype=np.int64)
        self.given_C = np.zeros(len(self.labels), dtype=np.int64)
        self.there_C = np.zeros(len(self.labels), dtype=np.int64)
        self.examples = 0
        self.exact = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one example; see `Accumulator` for the forms."""
        self.examples += 1
        if np.ndim(reference) == 0:
            best, target = int(np.argmax(prediction)), int(reference)
            self.given_C[best] += 1
            self.there_C[target] += 1
            if best == target:
                self.right_C[best] += 1
                self.exact += 1
            return
        given_C = np.asarray(prediction) >= CUT
        there_C = np.asarray(reference) > 0
        self.given_C += given_C
        self.there_C += there_C
        self.right_C += given_C & there_C
        self.exact += bool((given_C == there_C).all())


class AccuracyAccumulator(CountAccumulator):
    """Accuracy from counts."""

    sums_to = "accuracy"

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return whether one example is right, and 1."""
        if np.ndim(reference) == 0:
            return (float(int(np.argmax(prediction)) == int(reference)), 1.0)
        return (float(((np.asarray(prediction) >= CUT) == (np.asarray(reference) > 0)).all()), 1.0)

    def compute(self) -> dict[str, Any]:
        """`accuracy`."""
        return {"accuracy": _ratio(self.exact, self.examples)}


class AverageAccumulator(CountAccumulator):
    """Averaged F1, precision and recall from counts."""

    sums_to = "f1_micro"

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return right, given and existing labels of one example."""
        if np.ndim(reference) == 0:
            return (float(int(np.argmax(prediction)) == int(reference)), 1.0, 1.0)
        given_C, there_C = np.asarray(prediction) >= CUT, np.asarray(reference) > 0
        return (float((given_C & there_C).sum()), float(given_C.sum()), float(there_C.sum()))

    def compute(self) -> dict[str, Any]:
        """`f1_macro`, `f1_micro`, `f1_weighted` and the same of `precision` and `recall`.

        Macro and weighted are over the classes that occur in predictions or references, as in scikit-learn.
        """
        names = ("precision", "recall", "f1")
        tables = scores_of(self.right_C, self.given_C, self.there_C)
        seen_C = (self.given_C + self.there_C) > 0
        support = int(self.there_C.sum())
        micro = scores_of(*(count_C.sum(keepdims=True) for count_C in (self.right_C, self.given_C, self.there_C)))
        result: dict[str, Any] = {}
        for name, value_C, total in zip(names, tables, micro, strict=True):
            result[f"{name}_macro"] = float(value_C[seen_C].mean()) if seen_C.any() else 0.0
            result[f"{name}_micro"] = float(total[0])
            result[f"{name}_weighted"] = _ratio(float((value_C * self.there_C).sum()), support)
        return result


class PerClassAccumulator(CountAccumulator):
    """The table of classes from counts."""

    def compute(self) -> dict[str, Any]:
        """`per_class`: {label: {precision, recall, f1, support}}."""
        columns = scores_of(self.right_C, self.given_C, self.there_C)
        table = {}
        for index, label in enumerate(self.labels):
            precision, recall, f1 = (float(column[index]) for column in columns)
            table[label] = {"precision": precision, "recall": recall, "f1": f1, "support": int(self.there_C[index])}
        return {"per_class": table}


class MatthewsAccumulator(CountAccumulator):
    """Matthews correlation from counts: the full confusion matrix is not needed."""

    def compute(self) -> dict[str, Any]:
        """`matthews`, 0 when everything is predicted as, or is, one class."""
        right, total = int(self.right_C.sum()), self.examples
        given_C, there_C = self.given_C.astype(np.float64), self.there_C.astype(np.float64)
        above = right * total - float(given_C @ there_C)
        below = (total**2 - float(given_C @ given_C)) * (total**2 - float(there_C @ there_C))
        return {"matthews": above / float(np.sqrt(below)) if below > 0 else 0.0}


def scores_of(
    right: np.ndarray[Any, Any], given: np.ndarray[Any, Any], there: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return precision, recall and F1 from counts of right, predicted and existing; 0 where undefined."""
    precision = right / np.maximum(given, 1)
    recall = right / np.maximum(there, 1)
    f1 = 2 * right / np.maximum(given + there, 1)
    return precision, recall, f1


def _ratio(above: float, below: float) -> float:
    return float(above) / float(below) if below else 0.0
