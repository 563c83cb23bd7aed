from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from fathom.errors import ConfigError, DataError
from fathom.tasks.text_classification import TextClassification
from tokenizers_for_tests import tokenizer_of


def _examples(*labels, **more):
    return [
        {"text": f"the {i}", "label": label, "where": f"file.csv:{i + 2}", **more} for i, label in enumerate(labels)
    ]


def _open(*labels, **options):
    return TextClassification(**options).open(_examples(*labels), tokenizer_of("bpe"), 32)


def test_the_problem_is_read_from_the_labels():
    assert _open("a", "b").problem == "single-label"
    assert _open(["a"], ["a", "b"], []).problem == "multi-label"
    assert _open(0.5, 1.0).problem == "regression"
    assert _open("1", "0", problem="regression").problem == "regression"
    with pytest.raises(DataError, match=r"file.csv:3: .*different kinds"):
        _open("a", ["b"])


def test_labels_are_sorted_and_numbers_by_value():
    assert _open("b", "a", "b").labels == ("a", "b")
    assert _open("10", "9", "2").labels == ("2", "9", "10")


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([None, None], {}, "no training example has a label"),
        (["a", "a"], {}, "only the class"),
        (["x", "1.5"], {"problem": "regression"}, r"file.csv:2: 'x' is not a number"),
        (["nan", "1.5"], {"problem": "regression"}, "not a number"),
        ([["a", "b"], "c"], {"problem": "single-label"}, "2 labels"),
        (["", "a", "b"], {}, "file.csv:2: '' is not a label"),
        ([["a", None]], {}, "None is not a label"),
        ([[], []], {}, "every label list is empty"),
    ],
)
def test_labels_that_cannot_be_learnt(labels, options, message):
    with pytest.raises(DataError, match=message):
        _open(*labels, **options)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0.5, 1.0], {"label_smoothing": 0.1}, "label smoothing"),
        ([0.5, 1.0], {"class_weights": "balanced"}, "no classes"),
        (["cat", "dog"], {"class_weights": {"catt": 2.0}}, "did you mean 'cat'"),
        (["cat", "dog"], {"class_weights": {"cat": 0.0}}, "above zero"),
    ],
)
def test_options_that_cannot_be_honoured(labels, options, message):
    with pytest.raises(ConfigError, match=message):
        _open(*labels, **options)


def test_an_unknown_label_names_the_row_and_the_nearest_label():
    task = _open("refund", "delivery")
    with pytest.raises(DataError, match=r"file.csv:2: the label 'refnd' .* did you mean 'refund'"):
        task.encode(_examples("refnd"))


def test_features():
    task = _open("a", "b")
    features = task.encode(_examples("b", "a"), first_index=5)
    assert [int(feature["example"]) for feature in features] == [5, 6]
    assert [int(feature["label"]) for feature in features] == [1, 0]
    assert features[0]["input_ids"].dtype == np.int32
    assert set(task.encode([{"text": "a", "where": "x"}])[0]) == {"input_ids", "example", "truncated"}
    multi = _open(["a"], ["a", "b"], []).encode(_examples([], ["b"]))
    assert [feature["label"].tolist() for feature in multi] == [[0.0, 0.0], [0.0, 1.0]]
    assert multi[0]["label"].dtype == np.float32


def test_pairs_are_all_or_none():
    single = _open("a", "b")
    with pytest.raises(DataError, match="second text"):
        single.encode(_examples("a", text_pair="more"))
    pair = TextClassification().open(_examples("a", "b", text_pair="more"), tokenizer_of("bpe"), 32)
    with pytest.raises(DataError, match="takes pairs"):
        pair.encode(_examples("a"))


def test_an_empty_text_has_tokens():
    for kind in ("bpe", "minilm"):
        task = TextClassification().open(_examples("a", "b"), tokenizer_of(kind), 32)
        assert len(task.encode([{"text": "", "where": "x"}])[0]["input_ids"]) > 0


@pytest.mark.parametrize(("labels", "raw"), [(["a", "b"], [0.2, 0.8]), ([["a"], ["b"]], [0.2, 0.8]), ([0.5, 1.0], 0.3)])
def test_a_prediction_says_that_the_text_was_cut(labels, raw):
    task = TextClassification().open(_examples(*labels), tokenizer_of("bpe"), 5)
    examples = [{"text": "the", "where": "a:1"}, {"text": "the " * 9, "where": "a:2"}]
    features = task.encode(examples)
    assert [int(feature["truncated"]) for feature in features] == [0, 1]
    told = [task.decode(e, [f], [np.array(raw)]) for e, f in zip(examples, features, strict=True)]
    assert "truncated" not in told[0]
    assert told[1]["truncated"] is True


def test_max_length_must_leave_room():
    with pytest.raises(ConfigError, match="leaves no room"):
        TextClassification().open(_examples("a", "b"), tokenizer_of("bpe"), 2).encode(_examples("a"))


def test_predictions():
    task = _open("a", "b", "c")
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    prediction = task.decode({}, [], task.raw_predictions(logits, {}))
    assert prediction["label"] == "b"
    assert prediction["score"] == prediction["probabilities"]["b"]
    assert sum(prediction["probabilities"].values()) == pytest.approx(1)
    json.dumps(prediction)
    probabilities, reference = task.score_pair(_examples("c")[0], prediction)
    assert reference == 2
    assert probabilities.argmax() == 1
    value = _open(0.5, 1.5)
    prediction = value.decode({}, [], value.raw_predictions(torch.tensor([[0.25]]), {}))
    assert prediction == {"value": 0.25}
    assert value.score_pair(_examples(2.5)[0], prediction) == (0.25, 2.5)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_multi_label_threshold(threshold):
    task = _open(["a"], ["a", "b"], ["c"], threshold=threshold)
    logits = torch.linspace(-4, 4, 30).reshape(10, 3)
    for raw in task.raw_predictions(logits, {}):
        prediction = task.decode({}, [], [raw])
        assert prediction["labels"] == [name for name, p in prediction["probabilities"].items() if p >= threshold]
        rescaled, _ = task.score_pair(_examples(["a"])[0], prediction)
        assert [name for name, p in zip(task.labels, rescaled, strict=True) if p >= 0.5] == prediction["labels"]
        assert (np.argsort(rescaled) == np.argsort(raw)).all()


@pytest.mark.parametrize("labels", [("a", "b"), (["a"], ["b", "a"]), (0.5, 1.5)])
def test_reopened_tasks_do_the_same(labels):
    task = _open(*labels, class_weights="none" if isinstance(labels[0], float) else "balanced")
    state = json.loads(json.dumps(task.state()))
    again = TextClassification().reopen(state, task.tokenizer)
    assert again.state() == task.state()
    assert again.config_overrides == task.config_overrides
    assert again.cache_key() == json.loads(json.dumps(again.cache_key()))


def test_main_metric_is_among_the_scores():
    from fathom import catalog

    for labels, value in ((("a", "b"), 0), ((["a"], ["b", "a"]), 0), ((0.5, 1.5), 0)):
        task = _open(*labels)
        keys = set()
        for name in task.metrics:
            accumulator = catalog.load("metric", name)().open(task.labels)
            for example in _examples(*labels):
                logits = torch.randn(1, max(len(task.labels), 1))
                prediction = task.decode(example, [], task.raw_predictions(logits, {}))
                accumulator.update(*task.score_pair(example, prediction))
            keys |= set(accumulator.compute())
        assert task.main_metric in keys, value
