"""Scores of a ranked list: how early the relevant ones come.

Gains are the relevances themselves, discounted by log2(rank + 1), as trec_eval and scikit-learn have them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

CUTS = (1, 5, 10)
"""Ranks at which recall is told."""
CUT = 10
"""Rank at which nDCG is told."""


def best_rank(relevance_QN: Array) -> Array:
    """Return the rank of the first relevant one, from 1, float64 `[Q]`; infinity where there is none.

    Args:
        relevance_QN: In the order of the ranking, 0 where not relevant.
    """
    found_QN = relevance_QN > 0
    return np.where(found_QN.any(1), found_QN.argmax(1) + 1.0, np.inf)


def ndcg(relevance_QN: Array, ideal_QN: Array, cut: int = CUT) -> Array:
    """Return the normalized discounted cumulative gain at a rank, `[Q]`; 0 where nothing is relevant.

    Args:
        relevance_QN: In the order of the ranking.
        ideal_QN: The relevances of everything there is, the highest first.
        cut: Ranks that count.

    Source: Järvelin & Kekäläinen, 2002.
    """
    gain_Q, best_Q = _gain(relevance_QN[:, :cut]), _gain(ideal_QN[:, :cut])
    return np.divide(gain_Q, best_Q, out=np.zeros_like(gain_Q), where=best_Q > 0)


def recall(relevance_QN: Array, num_relevant_Q: Array, cut: int) -> Array:
    """Return the share of the relevant ones that stand within the first ranks, `[Q]`."""
    found_Q: Array = (relevance_QN[:, :cut] > 0).sum(1) / np.maximum(num_relevant_Q, 1)
    return found_Q


def _gain(relevance_QN: Array) -> Array:
    discount_N = 1.0 / np.log2(np.arange(2, relevance_QN.shape[1] + 2))
    gain_Q: Array = relevance_QN.astype(np.float64) @ discount_N
    return gain_Q
