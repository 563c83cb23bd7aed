"""Entity-level scores: an entity counts when start, end and type are all right (strict, as in CoNLL)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fathom.evaluation.base import Accumulator, Metric


class EntityF1(Metric):
    """Precision, recall and F1 over entities: micro, macro over types, and per type."""

    gives = ("f1", "precision", "recall", "f1_macro", "precision_macro", "recall_macro")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting; `labels` are tags or types, and every type gets its row."""
        return EntityAccumulator(labels)


class EntityAccumulator(Accumulator):
    """Counts per type of right, predicted and existing entities."""

    sums_to = "f1"

    def __init__(self, labels: Sequence[str]) -> None:
        self.types = sorted({label[2:] if label[:2] in {"B-", "I-"} else label for label in labels if label != "O"})
        self.right: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self.there: Counter[str] = Counter()

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one text; both are sets of (start, end, type)."""
        predicted, existing = set(prediction), set(reference)
        self.given.update(entity[2] for entity in predicted)
        self.there.update(entity[2] for entity in existing)
        self.right.update(entity[2] for entity in predicted & existing)

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return right, predicted and existing entities of one text."""
        predicted, existing = set(prediction), set(reference)
        return (len(predicted & existing), len(predicted), len(existing))

    def compute(self) -> dict[str, Any]:
        """`precision`, `recall`, `f1` (micro), the same with `_macro`, and `per_type`.

        Macro is over the types that occur in predictions or references, as in seqeval.
        """
        micro = _scores(self.right.total(), self.given.total(), self.there.total())
        seen = sorted(set(self.given) | set(self.there))
        table = {}
        for kind in sorted({*self.types, *seen}):
            scores = _scores(self.right[kind], self.given[kind], self.there[kind])
            table[kind] = {**scores, "support": self.there[kind]}
        macro = {
            f"{name}_macro": sum(table[kind][name] for kind in seen) / len(seen) if seen else 0.0
            for name in ("precision", "recall", "f1")
        }
        return {**micro, **macro, "per_type": table}


def _scores(right: int, given: int, there: int) -> dict[str, float]:
    return {
        "precision": right / given if given else 0.0,
        "recall": right / there if there else 0.0,
        "f1": 2 * right / (given + there) if given + there else 0.0,
    }
