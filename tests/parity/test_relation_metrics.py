"""Micro F1 is scikit-learn's, macro F1 the rule of SemEval-2010 task 8's scorer, on 200 random cases each."""

from __future__ import annotations

import random
import warnings

import pytest

from fathom.evaluation.relations import RelationF1

CASES = 200
RELATIONS = ["Cause-Effect", "Component-Whole", "Entity-Origin", "Message-Topic"]
LABELS = [f"{name}({order})" for name in RELATIONS for order in ("e1,e2", "e2,e1")] + ["Other"]


def _cases():
    chance = random.Random(5)
    for _ in range(CASES):
        known = chance.sample(LABELS, chance.randint(2, len(LABELS)))
        size = chance.randint(1, 60)
        truth = chance.choices(known, k=size)
        predicted = [label if chance.random() < 0.5 else chance.choice(LABELS) for label in truth]
        yield predicted, truth


def _scores(predicted, truth):
    accumulator = RelationF1().open(LABELS)
    for pair in zip(predicted, truth, strict=True):
        accumulator.update(*(None if label == "Other" else label for label in pair))
    return accumulator.compute()


def _official(predicted, truth):
    """The scorer's `(9+1)-way evaluation taking directionality into account`, in its own steps and percent."""
    matrix, proposed, answers = {}, {}, {}
    for guess, label in zip(predicted, truth, strict=True):
        guess_name, name = guess.split("(")[0], label.split("(")[0]
        row = guess_name if guess == label or guess_name != name else "WRONG_DIR"
        matrix[row, name] = matrix.get((row, name), 0) + 1
        proposed[row] = proposed.get(row, 0) + 1
        answers[name] = answers.get(name, 0) + 1
    total = 0.0
    for name in answers:
        if name == "Other":
            continue
        right = matrix.get((name, name), 0)
        wrong_direction = matrix.get(("WRONG_DIR", name), 0)
        precision = 100.0 * right / (proposed[name] + wrong_direction) if proposed.get(name) else 0.0
        recall = 100.0 * right / answers[name]
        total += 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    kinds = len(answers) - ("Other" in answers)
    return total / kinds if kinds else 0.0


def test_macro_f1_is_the_official_score():
    for predicted, truth in _cases():
        assert 100 * _scores(predicted, truth)["f1_macro"] == pytest.approx(_official(predicted, truth), abs=1e-9)


def test_micro_scores_leave_the_negative_label_out():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    for predicted, truth in _cases():
        scores = _scores(predicted, truth)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = sklearn.precision_recall_fscore_support(
                truth, predicted, labels=LABELS[:-1], average="micro", zero_division=0
            )
        found = [scores[f"{name}_micro"] for name in ("precision", "recall", "f1")]
        assert found == pytest.approx(list(expected[:3]), abs=1e-12)
        assert scores["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, predicted))


def test_a_wrong_direction_is_a_wrong_decision_for_its_relation():
    truth = ["Cause-Effect(e1,e2)", "Cause-Effect(e2,e1)", "Other"]
    scores = _scores(["Cause-Effect(e2,e1)", "Cause-Effect(e2,e1)", "Other"], truth)
    assert scores["per_relation"]["Cause-Effect"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2}
    assert scores["f1_micro"] == 0.5


def test_counts_sum_to_micro_f1():
    for predicted, truth in _cases():
        accumulator = RelationF1().open(LABELS)
        sums = [0.0, 0.0, 0.0]
        for pair in zip(predicted, truth, strict=True):
            names = [None if label == "Other" else label for label in pair]
            accumulator.update(*names)
            sums = [total + part for total, part in zip(sums, accumulator.counts(*names), strict=True)]
        right, given, there = sums
        expected = 2 * right / (given + there) if given + there else 0.0
        assert accumulator.compute()["f1_micro"] == pytest.approx(expected)
