"""Scores of recommendations: where the item that was chosen next stands among all items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fathom.evaluation.base import Accumulator, Metric

CUTS = (1, 5, 10, 20)
NAMES = ("ndcg@10", "mrr", *(f"recall@{cut}" for cut in CUTS))


class Recommendation(Metric):
    """nDCG@10, recall@k and MRR of the next item among all items, beside those of the most popular items."""

    gives = (*(of + name for of in ("", "popularity/") for name in NAMES), "cold")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return RecommendationAccumulator()


class RecommendationAccumulator(Accumulator):
    """Sums over the users.

    A prediction is the item's rank, a reference its rank by popularity alone; infinity for an item that training never
    saw (a cold one), which counts as not found.
    """

    sums_to = "ndcg@10"

    def __init__(self) -> None:
        self.count = self.cold = 0
        self.sums: dict[str, float] = {}

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one user."""
        self.count += 1
        self.cold += math.isinf(prediction)
        for before, rank in (("", float(prediction)), ("popularity/", float(reference))):
            for name, value in rank_scores(rank).items():
                self.sums[before + name] = self.sums.get(before + name, 0.0) + value

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return the nDCG of one user, and one."""
        return (rank_scores(float(prediction))["ndcg@10"], 1.0)

    def compute(self) -> dict[str, Any]:
        """The scores; those of popularity with `popularity/`; `cold`, the share of items that training never saw."""
        if not self.count:
            return {}
        return {name: total / self.count for name, total in self.sums.items()} | {"cold": self.cold / self.count}


def rank_scores(rank: float) -> dict[str, float]:
    """Return the scores of one rank, from 1; infinity for not found."""
    recalls = {f"recall@{cut}": float(rank <= cut) for cut in CUTS}
    return {"ndcg@10": 1.0 / math.log2(rank + 1) if rank <= 10 else 0.0, "mrr": 1.0 / rank, **recalls}
