"""Scores of vectors: what a search by cosine finds, and how cosines go with scores people gave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fathom.evaluation import ranked
from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.regression import PearsonAccumulator, SpearmanAccumulator

BLOCK = 256
"""Queries that are compared with all documents at once."""

Array = np.ndarray[Any, Any]


class Retrieval(Metric):
    """MRR, nDCG@10 and recall of a search by cosine among all texts of the split.

    Of pairs, the first texts are queries and the second texts and negatives are what is searched; of labelled texts,
    each is a query among all others, and those with its label are relevant.
    """

    gives = (f"ndcg@{ranked.CUT}", "mrr", *(f"recall@{cut}" for cut in ranked.CUTS))

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start collecting."""
        return RetrievalAccumulator()


class Similarity(Metric):
    """Rank and linear correlation of cosines with the scores of pairs."""

    gives = ("spearman", "pearson")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start collecting."""
        return SimilarityAccumulator()


class RetrievalAccumulator(Accumulator):
    """Keeps every vector once: a search is among all of them.

    A prediction is float32 [texts, D], the first text's vector first; a reference is a mapping with `example`, `sizes`
    (numbers to which vectors are cut for further scores) and `negatives` (how many of the example's count).
    """

    sums_to = f"ndcg@{ranked.CUT}"

    def __init__(self) -> None:
        self.sizes: tuple[int, ...] = ()
        self.queries: dict[str, Array] = {}
        self.relevant: dict[str, list[str]] = {}
        self.documents: dict[str, Array] = {}
        self.labelled: list[tuple[str, Array]] = []

    def update(self, prediction: Any, reference: Any) -> None:
        """Take one example."""
        example: Mapping[str, Any] = reference["example"]
        self.sizes = reference["sizes"]
        if "score" in example:
            return
        if "text_pair" not in example:
            self.labelled.append((str(example["label"]), prediction[0]))
            return
        text, pair = example["text"], example["text_pair"]
        self.queries.setdefault(text, prediction[0])
        relevant = self.relevant.setdefault(text, [])
        if pair not in relevant:
            relevant.append(pair)
        texts = dict.fromkeys((pair, *example.get("negatives", ())[: reference["negatives"]]))
        new = [item for item in texts if item not in self.documents]
        self.documents.update(zip(new, prediction[1:], strict=True))

    def compute(self) -> dict[str, Any]:
        """`mrr`, `ndcg@10`, `recall@k`; of shorter vectors the same keys with `/<size>`. Empty without a query."""
        if not self._searched:
            return {}
        return {
            key if size is None else f"{key}/{size}": value
            for size in (None, *self.sizes)
            for key, value in self._scores(size).items()
        }

    def final_counts(self) -> list[tuple[float, ...]]:
        """Return the nDCG of each query, and one."""
        kept = self._judged(None) if self._searched else []
        return [(float(gain), 1.0) for _, gain_Q, _ in kept for gain in gain_Q]

    @property
    def _searched(self) -> bool:
        return bool(self.queries or self.labelled)

    def _judged(self, size: int | None) -> list[tuple[Array, Array, Array]]:
        lists = self._search_labelled(size) if self.labelled else self._search_pairs(size)
        return [_judge(relevance_QN, num_relevant_Q) for relevance_QN, num_relevant_Q in lists]

    def _scores(self, size: int | None) -> dict[str, float]:
        kept = self._judged(size)
        if not kept:
            return {}
        reciprocal, gain, recalls = (np.concatenate(column) for column in zip(*kept, strict=True))
        named = {f"recall@{cut}": float(recalls[:, place].mean()) for place, cut in enumerate(ranked.CUTS)}
        return {f"ndcg@{ranked.CUT}": float(gain.mean()), "mrr": float(reciprocal.mean()), **named}

    def _search_pairs(self, size: int | None) -> Iterator[tuple[Array, Array]]:
        """Yield relevances in the order of the ranking and how many documents are relevant, block by block."""
        place = {text: index for index, text in enumerate(self.documents)}
        document_ND = unit(np.stack(list(self.documents.values())), size)
        texts = list(self.queries)
        for first in range(0, len(texts), BLOCK):
            block = texts[first : first + BLOCK]
            query_QD = unit(np.stack([self.queries[text] for text in block]), size)
            truth_QN = np.zeros((len(block), len(place)), dtype=bool)
            for row, text in enumerate(block):
                truth_QN[row, [place[item] for item in self.relevant[text]]] = True
            yield in_order(query_QD @ document_ND.T, truth_QN)

    def _search_labelled(self, size: int | None) -> Iterator[tuple[Array, Array]]:
        vector_ND = unit(np.stack([vector for _, vector in self.labelled]), size)
        label_N = np.unique([label for label, _ in self.labelled], return_inverse=True)[1]
        for first in range(0, len(vector_ND), BLOCK):
            own_Q = np.arange(first, min(first + BLOCK, len(vector_ND)))
            cosine_QN = vector_ND[own_Q] @ vector_ND.T
            truth_QN = label_N[own_Q, None] == label_N
            truth_QN[np.arange(len(own_Q)), own_Q] = False
            cosine_QN[np.arange(len(own_Q)), own_Q] = -np.inf
            with_any = truth_QN.any(1)  # the only text of its label has nothing to be found
            if with_any.any():
                yield in_order(cosine_QN[with_any], truth_QN[with_any])


class SimilarityAccumulator(Accumulator):
    """Cosines of scored pairs, beside their scores; predictions and references as in `RetrievalAccumulator`."""

    def __init__(self) -> None:
        self.by_size: dict[int | None, tuple[SpearmanAccumulator, PearsonAccumulator]] = {}

    def update(self, prediction: Any, reference: Any) -> None:
        """Take one example."""
        score = reference["example"].get("score")
        if score is None:
            return
        for size in (None, *reference["sizes"]):
            if size not in self.by_size:
                self.by_size[size] = (SpearmanAccumulator(1_000_000, 1024), PearsonAccumulator())
            first_D, second_D = unit(np.asarray(prediction[:2]), size)
            for accumulator in self.by_size[size]:
                accumulator.update(float(first_D @ second_D), float(score))

    def compute(self) -> dict[str, Any]:
        """`spearman` and `pearson`; of shorter vectors with `/<size>`. Empty without a scored pair."""
        return {
            key if size is None else f"{key}/{size}": value
            for size, accumulators in self.by_size.items()
            for accumulator in accumulators
            for key, value in accumulator.compute().items()
        }


def unit(vector_ND: Array, size: int | None = None) -> Array:
    """Return the first numbers of vectors, of length one."""
    vector_ND = vector_ND[:, :size].astype(np.float32)
    length_N1 = np.linalg.norm(vector_ND, axis=1, keepdims=True)
    divided: Array = vector_ND / np.maximum(length_N1, 1e-12)
    return divided


def in_order(cosine_QN: Array, truth_QN: Array) -> tuple[Array, Array]:
    """Return the truth in the order of falling cosines (of equal ones the earlier document first), and its sums."""
    order_QN = np.argsort(-cosine_QN, axis=1, kind="stable")
    return np.take_along_axis(truth_QN, order_QN, axis=1), truth_QN.sum(1)


def _judge(relevance_QN: Array, num_relevant_Q: Array) -> tuple[Array, Array, Array]:
    """Return reciprocal rank [Q], nDCG [Q] and recall at each cut [Q, cuts]."""
    ideal_QN = np.arange(ranked.CUT) < num_relevant_Q[:, None]
    recalls = [ranked.recall(relevance_QN, num_relevant_Q, cut) for cut in ranked.CUTS]
    return 1.0 / ranked.best_rank(relevance_QN), ranked.ndcg(relevance_QN, ideal_QN), np.stack(recalls, axis=1)
