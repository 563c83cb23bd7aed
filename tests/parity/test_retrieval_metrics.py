"""Scores of ranked lists are scikit-learn's and those of a plain formula, on 200 random cases each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fathom import catalog
from fathom.evaluation import ranked

CASES = 200


def search(vectors: np.ndarray[Any, Any], query: np.ndarray[Any, Any]) -> list[int]:
    """Numbers of the vectors by falling cosine with a query, in plain float64."""
    query = query.astype(np.float64)
    cosines = [float(v @ query / math.sqrt(float(v @ v) * float(query @ query))) for v in vectors.astype(np.float64)]
    return sorted(range(len(cosines)), key=lambda number: -cosines[number])


def plain(order: list[int], relevant: set[int]) -> dict[str, float]:
    hits = [rank for rank, number in enumerate(order, 1) if number in relevant]
    gain = sum(1 / math.log2(rank + 1) for rank in hits if rank <= 10)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(relevant), 10) + 1))
    found = {f"recall@{cut}": sum(rank <= cut for rank in hits) / len(relevant) for cut in (1, 5, 10)}
    return {"mrr": 1 / hits[0], "ndcg@10": gain / best, **found}


def mean(cases: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(case[key] for case in cases) / len(cases) for key in cases[0]}


def test_pairs() -> None:
    generator = np.random.default_rng(1)
    for _ in range(CASES):
        size, negatives = int(generator.integers(1, 25)), int(generator.integers(0, 3))
        accumulator = catalog.load("metric", "retrieval")().open(())
        queries: dict[str, Any] = {}
        documents: dict[str, Any] = {}
        relevant: dict[str, set[str]] = {}
        for _ in range(size):
            query = f"q{generator.integers(size)}"
            pair = f"d{generator.integers(size)}"
            others = [f"n{generator.integers(size)}" for _ in range(negatives)]
            queries.setdefault(query, generator.standard_normal(5).astype(np.float32))
            new = [text for text in dict.fromkeys((pair, *others)) if text not in documents]
            documents.update({text: generator.standard_normal(5).astype(np.float32) for text in new})
            relevant.setdefault(query, set()).add(pair)
            example = {"text": query, "text_pair": pair, "negatives": others}
            vectors = np.stack([queries[query], *(documents[text] for text in new)])
            accumulator.update(vectors, {"example": example, "sizes": (), "negatives": None})
        names = list(documents)
        matrix = np.stack(list(documents.values()))
        expected = mean(
            [plain(search(matrix, queries[q]), {names.index(text) for text in relevant[q]}) for q in queries]
        )
        assert accumulator.compute() == pytest.approx(expected, abs=1e-9)
        gains, ones = zip(*accumulator.final_counts(), strict=True)
        assert len(gains) == len(queries) and set(ones) == {1.0}
        assert sum(gains) / len(gains) == pytest.approx(expected[accumulator.sums_to], abs=1e-9)


def test_labelled_texts_and_shorter_vectors() -> None:
    generator = np.random.default_rng(2)
    for _ in range(CASES):
        size = int(generator.integers(4, 40))
        vectors = generator.standard_normal((size, 6)).astype(np.float32)
        labels = [str(label) for label in generator.integers(0, 3, size)]
        accumulator = catalog.load("metric", "retrieval")().open(())
        for vector, label in zip(vectors, labels, strict=True):
            accumulator.update(
                vector[None], {"example": {"text": "", "label": label}, "sizes": (3,), "negatives": None}
            )
        found = accumulator.compute()
        for suffix, width in (("", 6), ("/3", 3)):
            cases = []
            for number, label in enumerate(labels):
                relevant = {other for other in range(size) if other != number and labels[other] == label}
                if relevant:
                    order = [other for other in search(vectors[:, :width], vectors[number, :width]) if other != number]
                    cases.append(plain(order, relevant))
            for key, value in mean(cases).items():
                assert found[key + suffix] == pytest.approx(value, abs=1e-9)


def test_what_each_query_adds_sums_to_the_score() -> None:
    generator = np.random.default_rng(5)
    reranking = catalog.load("metric", "reranking")().open(())
    for number in range(20):
        size = int(generator.integers(1, 6))
        relevances = generator.integers(0, 2, size).astype(float)
        reranking.update(generator.standard_normal(size), (f"q{number % 15}", relevances))
    gains = [gain for gain, _ in reranking.final_counts()]
    assert 0 < len(gains) <= 15
    assert np.mean(gains) == pytest.approx(reranking.compute()[reranking.sums_to])
    recommendation = catalog.load("metric", "recommendation")().open(())
    ranks = [*generator.integers(1, 30, 40).astype(float), float("inf")]
    for rank in ranks:
        recommendation.update(rank, 3.0)
    gains = [recommendation.counts(rank, 3.0)[0] for rank in ranks]
    assert np.mean(gains) == pytest.approx(recommendation.compute()[recommendation.sums_to])
    assert catalog.load("metric", "retrieval")().open(()).final_counts() == []


def test_graded_lists_are_those_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(3)
    for _ in range(CASES):
        size, cut = int(generator.integers(2, 30)), int(generator.integers(1, 12))
        relevance = generator.integers(0, 4, (3, size)).astype(float)
        scores = generator.standard_normal((3, size))
        order = np.argsort(-scores, axis=1)
        ideal = -np.sort(-relevance, axis=1)
        found = ranked.ndcg(np.take_along_axis(relevance, order, axis=1), ideal, cut)
        assert found.mean() == pytest.approx(sklearn.ndcg_score(relevance, scores, k=cut), abs=1e-12)


def test_similarity_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    generator = np.random.default_rng(4)
    for _ in range(CASES):
        size = int(generator.integers(3, 50))
        vectors = generator.standard_normal((size, 2, 5)).astype(np.float32)
        scores = generator.integers(0, 6, size) + generator.random(size) * (generator.random() < 0.5)
        if len(set(scores)) == 1:
            continue
        accumulator = catalog.load("metric", "similarity")().open(())
        for pair, score in zip(vectors, scores, strict=True):
            accumulator.update(pair, {"example": {"score": float(score)}, "sizes": ()})
        first, second = vectors[:, 0].astype(np.float64), vectors[:, 1].astype(np.float64)
        cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
        found = accumulator.compute()
        assert found["spearman"] == pytest.approx(stats.spearmanr(cosines, scores).statistic, abs=1e-6)
        assert found["pearson"] == pytest.approx(stats.pearsonr(cosines, scores).statistic, abs=1e-6)
