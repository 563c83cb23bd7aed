"""Scores of relation extraction, with the label of no relation left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from fathom.evaluation.base import Accumulator, Metric

_DIRECTION = re.compile(r"\((e1,e2|e2,e1)\)\Z")


class RelationF1(Metric):
    """Micro F1 over pairs that are related, and the macro F1 of SemEval-2010 task 8 (direction counted)."""

    gives = (*(f"{name}_{kind}" for kind in ("micro", "macro") for name in ("f1", "precision", "recall")), "accuracy")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting; labels such as `Cause-Effect(e1,e2)` and `Cause-Effect(e2,e1)` are one relation."""
        return RelationAccumulator(labels)


class RelationAccumulator(Accumulator):
    """Counts per relation of right, predicted and existing pairs; a pair is (predicted label, label), None for none.

    A relation with the wrong direction is a wrong decision: it was predicted, and there, and not right.
    """

    sums_to = "f1_micro"

    def __init__(self, labels: Sequence[str]) -> None:
        self.relations = list(dict.fromkeys(undirected(label) for label in labels))
        self.right: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self.there: Counter[str] = Counter()
        self.examples = self.exact = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one pair."""
        self.examples += 1
        self.exact += prediction == reference
        if prediction is not None:
            self.given[undirected(prediction)] += 1
        if reference is not None:
            self.there[undirected(reference)] += 1
            self.right[undirected(reference)] += prediction == reference

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return right, predicted and existing relations of one pair."""
        right = prediction is not None and prediction == reference
        return (float(right), float(prediction is not None), float(reference is not None))

    def compute(self) -> dict[str, Any]:
        """`f1_micro` and `f1_macro`, the same of `precision` and `recall`, `accuracy`, and `per_relation`.

        Micro is TACRED's: over all pairs predicted, or there, as related. Macro is the official score of SemEval-2010
        task 8: the mean over the relations that occur in the references.
        """
        micro = _scores(self.right.total(), self.given.total(), self.there.total())
        seen = [relation for relation in self.there if self.there[relation]]
        table = {
            relation: {**_scores(self.right[relation], self.given[relation], self.there[relation]),
                       "support": self.there[relation]}
            for relation in sorted({*self.relations, *self.given, *self.there})
            if self.given[relation] or self.there[relation]
        }  # fmt: skip
        macro = {
            name: sum(table[relation][name] for relation in seen) / len(seen) if seen else 0.0
            for name in ("precision", "recall", "f1")
        }
        return {
            **{f"{name}_micro": value for name, value in micro.items()},
            **{f"{name}_macro": value for name, value in macro.items()},
            "accuracy": self.exact / self.examples if self.examples else 0.0,
            "per_relation": table,
        }


def undirected(label: str) -> str:
    """Return a label without its direction, `(e1,e2)` or `(e2,e1)`."""
    return _DIRECTION.sub("", label)


def _scores(right: int, given: int, there: int) -> dict[str, float]:
    return {
        "precision": right / given if given else 0.0,
        "recall": right / there if there else 0.0,
        "f1": 2 * right / (given + there) if given + there else 0.0,
    }
