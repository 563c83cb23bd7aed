"""Scores of a cross-encoder: the candidates of each query, ranked by what it says of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from fathom.evaluation import ranked
from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.ranking import exact_area


class Reranking(Metric):
    """MRR and nDCG@10 over the candidates of each query, and the area under the ROC curve over all pairs."""

    gives = (f"ndcg@{ranked.CUT}", "mrr", "auc")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start collecting."""
        return RerankingAccumulator()


class RerankingAccumulator(Accumulator):
    """Keeps the score and the relevance of every pair.

    A prediction is float [candidates], a reference `(query, relevances [candidates])`; a query may come several times.
    """

    sums_to = f"ndcg@{ranked.CUT}"

    def __init__(self) -> None:
        self.lists: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def update(self, prediction: Any, reference: Any) -> None:
        """Take some candidates of one query."""
        query, relevances = reference
        self.lists[query] += zip(map(float, prediction), map(float, relevances), strict=True)

    def compute(self) -> dict[str, Any]:
        """`ndcg@10` and `mrr`, means over the queries that have a relevant candidate; `auc` of relevant or not.

        Of equal scores the candidate that is given first ranks first.
        """
        judged = self._judged()
        scores: dict[str, Any] = {}
        if judged:
            gains, reciprocals = zip(*judged, strict=True)
            scores = {f"ndcg@{ranked.CUT}": float(np.mean(gains)), "mrr": float(np.mean(reciprocals))}
        everything = np.array([pair for pairs in self.lists.values() for pair in pairs])
        area = exact_area(everything[:, 0], everything[:, 1] > 0) if len(everything) else None
        return scores if area is None else {**scores, "auc": area}

    def final_counts(self) -> list[tuple[float, ...]]:
        """Return the nDCG of each query that has a relevant candidate, and one."""
        return [(gain, 1.0) for gain, _ in self._judged()]

    def _judged(self) -> list[tuple[float, float]]:
        """Return nDCG and reciprocal rank of each query that has a relevant candidate."""
        found = []
        for pairs in self.lists.values():
            score_N, relevance_N = np.array(pairs).T
            if (relevance_N > 0).any():
                found_1N = relevance_N[np.argsort(-score_N, kind="stable")][None]
                gain = float(ranked.ndcg(found_1N, -np.sort(-found_1N))[0])
                found.append((gain, float(1.0 / ranked.best_rank(found_1N)[0])))
        return found
