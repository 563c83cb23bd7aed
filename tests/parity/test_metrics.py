"""Our streaming counts are scikit-learn's, seqeval's and scipy's scores, on 200 random cases each."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from fathom import catalog

CASES = 200


def _scores(name, labels, pairs, **options):
    accumulator = catalog.load("metric", name)(**options).open(labels)
    for prediction, reference in pairs:
        accumulator.update(prediction, reference)
    return accumulator.compute()


def _single(generator):
    classes = int(generator.integers(2, 7))
    rows = int(generator.integers(1, 60))
    score = generator.dirichlet(np.ones(classes) * 0.5, rows).astype(np.float32)
    if generator.random() < 0.3:
        score = score.round(1)
    return classes, score, generator.integers(0, int(generator.integers(1, classes + 1)), rows)


def _multi(generator):
    classes, rows = int(generator.integers(2, 7)), int(generator.integers(1, 60))
    return classes, generator.random((rows, classes)).round(2), (generator.random((rows, classes)) < 0.4).astype(int)


def test_single_label():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(0)
    for _ in range(CASES):
        classes, score, truth = _single(generator)
        labels = [f"c{i}" for i in range(classes)]
        pairs = list(zip(score, truth, strict=True))
        guess = score.argmax(1)
        assert _scores("accuracy", labels, pairs)["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, guess))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matthews = sklearn.matthews_corrcoef(truth, guess)
        assert _scores("matthews", labels, pairs)["matthews"] == pytest.approx(matthews, abs=1e-12)
        _compare_averages(sklearn, _scores("f1", labels, pairs), truth, guess)
        table = _scores("per-class", labels, pairs)["per_class"]
        columns = sklearn.precision_recall_fscore_support(truth, guess, labels=range(classes), zero_division=0)
        for index, label in enumerate(labels):
            assert list(table[label].values()) == pytest.approx([column[index] for column in columns])


def test_multi_label():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(1)
    for _ in range(CASES):
        classes, score, truth = _multi(generator)
        labels = [f"c{i}" for i in range(classes)]
        pairs = list(zip(score, truth, strict=True))
        guess = (score >= 0.5).astype(int)
        assert _scores("accuracy", labels, pairs)["accuracy"] == pytest.approx(sklearn.accuracy_score(truth, guess))
        seen = [i for i in range(classes) if truth[:, i].any() or guess[:, i].any()]
        if seen:
            _compare_averages(sklearn, _scores("f1", labels, pairs), truth, guess, labels=seen)


def _compare_averages(sklearn, ours, truth, guess, **options):
    for average in ("macro", "micro", "weighted"):
        precision, recall, f1, _ = sklearn.precision_recall_fscore_support(
            truth, guess, average=average, zero_division=0, **options
        )
        found = [ours[f"{name}_{average}"] for name in ("precision", "recall", "f1")]
        assert found == pytest.approx([precision, recall, f1], abs=1e-12)


@pytest.mark.parametrize("form", ["single", "multi"])
def test_area(form):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(2)
    for _ in range(CASES):
        classes, score, truth = _single(generator) if form == "single" else _multi(generator)
        score = score.astype(np.float32)
        ours = _scores("auc", ["c"] * classes, list(zip(score, truth, strict=True)))
        matrix = np.eye(classes, dtype=int)[truth] if form == "single" else truth
        columns = [1] if form == "single" and classes == 2 else range(classes)
        known = [c for c in columns if 0 < matrix[:, c].sum() < len(matrix)]
        if not known:
            assert ours == {}
            continue
        expected = np.mean([sklearn.roc_auc_score(matrix[:, c], score[:, c]) for c in known])
        assert ours == {"auc": pytest.approx(expected, abs=1e-9)}


def test_binned_area_keeps_its_error_bound():
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    generator = np.random.default_rng(3)
    truth = generator.integers(0, 3, 9000)
    logits = generator.normal(size=(9000, 3)) + np.eye(3)[truth]
    score = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    score[::7] = score[::7].round(2)
    score = score.astype(np.float32)
    expected = np.mean([sklearn.roc_auc_score(truth == c, score[:, c]) for c in range(3)])
    for bins in (16, 64, 1024):
        pairs = list(zip(score, truth, strict=True))
        ours = _scores("auc", ["a", "b", "c"], pairs, exact_scores=6000, bins=bins)
        assert abs(ours["auc"] - expected) <= ours["auc_error_bound"] + 1e-9
    assert ours["auc_error_bound"] < 1e-3


def test_regression():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    generator = np.random.default_rng(4)
    for _ in range(CASES):
        rows = int(generator.integers(3, 80))
        truth = generator.normal(1e4, 1.0, rows).round(int(generator.integers(0, 4)))
        guess = (truth + generator.normal(0, 1.0, rows)).round(2)
        if len(set(truth)) < 2:
            continue
        pairs = list(zip(guess, truth, strict=True))
        pearson = stats.pearsonr(guess, truth).statistic
        assert _scores("pearson", [], pairs)["pearson"] == pytest.approx(pearson, abs=1e-7)
        spearman = stats.spearmanr(guess, truth).statistic
        assert _scores("spearman", [], pairs)["spearman"] == pytest.approx(spearman, abs=1e-9)
        error = _scores("mse", [], pairs)
        assert error["mse"] == pytest.approx(((guess - truth) ** 2).mean())
        assert error["rmse"] == pytest.approx(error["mse"] ** 0.5)
        assert error["mae"] == pytest.approx(np.abs(guess - truth).mean())


def test_binned_spearman_is_close():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    generator = np.random.default_rng(5)
    truth = generator.normal(size=20_000)
    guess = truth + generator.normal(size=20_000)
    ours = _scores("spearman", [], list(zip(guess, truth, strict=True)), exact_pairs=5000, bins=512)["spearman"]
    assert ours == pytest.approx(stats.spearmanr(guess, truth).statistic, abs=1e-4)


def test_entities():
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed")
    scheme = pytest.importorskip("seqeval.scheme", reason="seqeval is not installed")
    from fathom.tasks.tags import entity_runs, repair

    generator = np.random.default_rng(6)
    tags = ["O", "O", "O", "B-x", "I-x", "B-y", "I-y", "B-z", "I-z"]
    for _ in range(CASES):
        lengths = generator.integers(1, 12, int(generator.integers(1, 8)))
        truth, guess = (
            [repair([tags[i] for i in generator.integers(0, len(tags), length)]) for length in lengths]
            for _ in range(2)
        )
        pairs = [(set(entity_runs(one)), set(entity_runs(other))) for one, other in zip(guess, truth, strict=True)]
        ours = _scores("entity-f1", tags, pairs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = seqeval.classification_report(
                truth, guess, output_dict=True, zero_division=0, mode="strict", scheme=scheme.IOB2
            )
        for ending, average in (("", "micro avg"), ("_macro", "macro avg")):
            found = [ours[f"{name}{ending}"] for name in ("precision", "recall", "f1")]
            expected = [report[average][name] for name in ("precision", "recall", "f1-score")]
            assert found == pytest.approx(expected, abs=1e-12)
        for kind in "xyz":
            row = report.get(kind)
            if row is not None:
                expected = [row["precision"], row["recall"], row["f1-score"], row["support"]]
                assert list(ours["per_type"][kind].values()) == pytest.approx(expected)
