from __future__ import annotations

import json
import sys
from subprocess import run

import numpy as np
import pytest

from fathom import catalog
from fathom.config import Part
from fathom.errors import DataError
from fathom.evaluation import ranking, significance

LABELS = ["a", "b", "c"]
PAIRS = {
    "single": (np.array([0.1, 0.7, 0.2], np.float32), 1),
    "multi": (np.array([0.1, 0.7, 0.2]), np.array([0, 1, 1])),
    "numbers": (0.5, 1.0),
    "tokens": ((9.5, 4, 2), 17),
    "relations": ("a", None),
    "answers": (("one", "one", 0.5), ["one", "another"]),
    "embeddings": (
        (np.ones(4, np.float32), np.ones(4, np.float32)),
        {"example": {"text": "a", "label": "x"}, "sizes": (), "negatives": 0},
    ),
    "candidates": ([0.1, 0.9], ("query", [0, 1])),
    "ranks": (3.0, 2.0),
    "written": ("a short text", {"source": "a text", "references": ["a short text", "text"]}),
    "heard": ("a short tax", "a short text"),
    "preferences": (
        {
            "sums": {"own": [(-3.0, 0.5, 0.25, 4), (-6.0, -0.5, 0.25, 4)], "others": [(-2.0, 0.1, 0.01, 3)]},
            **{"margin": 0.1, "chosen_reward": 0.05, "rejected_reward": -0.05},
        },
        None,
    ),
    "entities": ({(0, 3, "x")}, {(0, 3, "x"), (4, 6, "y")}),
}
FORM = {
    "pearson": "numbers",
    "spearman": "numbers",
    "mse": "numbers",
    "entity-f1": "entities",
    "perplexity": "tokens",
    "calibration": "single",
    "top-k": "single",
    "relation-f1": "relations",
    **dict.fromkeys(("squad", "squad-v2", "cmrc", "cmrc-v2"), "answers"),
    **dict.fromkeys(("retrieval", "similarity"), "embeddings"),
    "reranking": "candidates",
    "preference": "preferences",
    **dict.fromkeys(("wer", "cer"), "heard"),
    "recommendation": "ranks",
    **dict.fromkeys(
        ("bleu", "chrf", "ter", "rouge", "length-ratio", "copy-rate", "distinct", "exact-answer", "calls"), "written"
    ),
}


@pytest.mark.parametrize("name", catalog.names("metric"))
def test_every_metric_gives_json_with_and_without_examples(name):
    part = catalog.load("metric", name)()
    assert isinstance(part, Part)
    for form in [FORM[name]] if name in FORM else ["single", "multi"]:
        for count in (0, 1, 5):
            accumulator = part.open(LABELS)
            for _ in range(count):
                accumulator.update(*PAIRS[form])
            scores = accumulator.compute()
            json.dumps(scores, allow_nan=False)
            assert accumulator.compute() == scores
            numbers = {key for key, value in scores.items() if isinstance(value, float)}
            assert {key for key in numbers if not key.endswith("threshold")} <= set(part.score_names)


def test_every_metric_says_which_scores_it_gives():
    names = {name: catalog.load("metric", name)().score_names for name in catalog.names("metric")}
    assert [name for name, scores in names.items() if scores is None] == []
    assert [name for name, scores in names.items() if not scores] == ["per-class"]
    assert catalog.load("metric", "top-k")(k=3).score_names == ("top_3_accuracy",)


def test_entity_scores():
    accumulator = catalog.load("metric", "entity-f1")().open(["O", "B-x", "I-x", "B-z", "I-z"])
    accumulator.update({(0, 3, "x"), (5, 6, "x")}, {(0, 3, "x"), (4, 6, "y")})
    scores = accumulator.compute()
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.5, 0.5, 0.5)
    assert set(scores["per_type"]) == {"x", "y", "z"}
    assert scores["per_type"]["x"] == {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1}
    assert scores["f1_macro"] == pytest.approx(1 / 3)


def test_area_keeps_memory_bounded():
    accumulator = catalog.load("metric", "auc")(exact_scores=3000, bins=64).open(LABELS)
    generator = np.random.default_rng(0)
    for score, truth in zip(generator.random((10_000, 3)), generator.integers(0, 3, 10_000), strict=True):
        accumulator.update(score, truth)
        assert sum(len(block[0]) for block in accumulator.blocks) + len(accumulator.pending) <= 2 * ranking.FLUSH
    assert len(accumulator.positive[0]) <= 2 * 64
    assert accumulator.compute()["auc"] == pytest.approx(0.5, abs=0.02)


def test_constant_predictions_are_no_correlation():
    for name in ("pearson", "spearman"):
        accumulator = catalog.load("metric", name)().open([])
        for value in (1.0, 2.0, 3.0):
            accumulator.update(0.5, value)
        assert accumulator.compute() == {name: 0.0}


def test_heavy_metric_libraries_stay_out():
    """A run's start must not pay seconds for metrics."""
    code = (
        "import sys, fathom.evaluation.classification, fathom.evaluation.regression, fathom.evaluation.entities\n"
        "heavy = {'torch', 'torchmetrics', 'sklearn', 'scipy', 'seqeval', 'transformers'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    assert run([sys.executable, "-c", code], check=False, env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


def test_a_clear_difference_is_significant_and_none_is_not():
    generator = np.random.default_rng(0)
    truth = generator.random(400)
    better, worse = (truth < 0.9).astype(float), (truth < 0.7).astype(float)
    found = significance.compare(better, worse, rounds=300)
    assert found.difference == pytest.approx(better.mean() - worse.mean())
    assert found.low <= found.difference <= found.high
    assert found.low > 0
    assert found.p_value < 0.01
    same = significance.compare(better, better, rounds=100)
    assert (same.difference, same.p_value) == (0.0, 1.0)
    other = significance.compare(generator.random(400) < 0.8, generator.random(400) < 0.8, rounds=300)
    assert other.p_value > 0.01


def test_f1_is_compared_over_counts():
    counts = np.array([[1, 2, 2], [0, 1, 1], [2, 2, 3]] * 20)
    found = significance.compare(counts, counts * [0, 1, 1], significance.f1_score, rounds=200)
    assert found.score_a == pytest.approx(2 * 3 / 11)
    assert found.score_b == 0
    assert found.p_value < 0.05
    with pytest.raises(DataError, match="cannot be paired"):
        significance.compare(counts, counts[1:])


def test_mcnemar_is_the_exact_binomial_test():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    generator = np.random.default_rng(1)
    for rows in (1, 10, 3000):
        a, b = generator.random(rows) < 0.8, generator.random(rows) < 0.7
        only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
        expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
        assert significance.mcnemar(a, b) == pytest.approx(expected, abs=1e-9)
