"""Calibration and top-k accuracy beside scikit-learn, on random cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import top_k_accuracy_score

from fathom.evaluation.calibration import Calibration, TopK


def _case(seed):
    chance = np.random.default_rng(seed)
    classes, examples = int(chance.integers(2, 12)), int(chance.integers(1, 120))
    logits = chance.standard_normal((examples, classes)) * chance.uniform(0.2, 6)
    values = np.exp(logits - logits.max(1, keepdims=True))
    return values / values.sum(1, keepdims=True), chance.integers(0, classes, examples)


@pytest.mark.parametrize("seed", range(200))
def test_scores_of_random_cases(seed):
    values, target = _case(seed)
    bins = 1 + seed % 20
    error, top = Calibration(bins=bins).open([]), TopK(k=1 + seed % 5).open([])
    for row, label in zip(values, target, strict=True):
        error.update(row.astype(np.float32), int(label))
        top.update(row, int(label))
    values32 = values.astype(np.float32).astype(np.float64)
    right, confidence = values32.argmax(1) == target, values32.max(1)
    shares, means = calibration_curve(right, confidence, n_bins=bins, strategy="uniform")
    edges = np.linspace(0, 1, bins + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence), minlength=bins)
    counts = counts[counts > 0]
    scores = error.compute()
    assert scores["ece"] == pytest.approx((counts * np.abs(shares - means)).sum() / len(target), abs=1e-12)
    assert scores["mce"] == pytest.approx(np.abs(shares - means).max(), abs=1e-12)
    hot = np.eye(values.shape[1])[target]
    assert scores["brier"] == pytest.approx(((values32 - hot) ** 2).sum(1).mean(), abs=1e-9)
    if values.shape[1] > 2 and top.k < values.shape[1]:
        wanted = top_k_accuracy_score(target, values, k=top.k, labels=range(values.shape[1]))
        assert top.compute() == {f"top_{top.k}_accuracy": pytest.approx(wanted)}


def test_a_sure_and_right_model_is_calibrated():
    open_ = Calibration().open([])
    for label in range(4):
        open_.update(np.eye(4)[label], label)
    assert open_.compute() == {"ece": 0.0, "mce": 0.0, "brier": 0.0}
