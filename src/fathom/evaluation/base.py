"""The contract of a metric: streaming, bounded in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from fathom.config import Part


class Metric(Part, ABC):
    """A metric by name. `open` returns the live accumulator."""

    gives: ClassVar[tuple[str, ...] | None] = None
    """Keys of the scores it may give, those a run can be judged by; None where it does not say."""

    @property
    def score_names(self) -> tuple[str, ...] | None:
        """Keys of the scores it may give with its options; see `gives`."""
        return self.gives

    @abstractmethod
    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting; `labels` in the model's order (empty for regression)."""


class Accumulator(ABC):
    """Takes (prediction, reference) pairs one by one and never keeps more than it must.

    The forms of a pair, by task: single label `(probabilities float32 [classes], label index int)`; multi-label
    `(probabilities [classes], 0/1 int vector [classes])`, the probabilities rescaled by the task so that its threshold
    lies at 0.5; regression `(value, value)`; entities `(set of (start, end, label), set of (start, end, label))`;
    vectors as in `evaluation.retrieval`; relations `(label or None, label or None)`.
    """

    sums_to: ClassVar[str | None] = None
    """The score that `counts` of all examples sum to; None where no score is a function of such sums."""

    @abstractmethod
    def update(self, prediction: Any, reference: Any) -> None:
        """Count one example."""

    @abstractmethod
    def compute(self) -> dict[str, Any]:
        """Scores by key, plain floats; nested tables (per class, per type) under their own key."""

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...] | None:
        """Return what one example adds to the sums behind `sums_to`, as `evaluation.significance` takes them.

        (value, weight) where the score is a mean, (right, predicted, existing) where it is a micro F1.
        """
        return None

    def final_counts(self) -> list[tuple[float, ...]]:
        """Return what every query adds to the sums, where that is known only once all examples have come.

        Empty where `counts` tells it of each example.
        """
        return []
