"""Our summed losses, divided by our normalizers, are the losses of transformers' heads and Trainer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification
from transformers.trainer_pt_utils import LabelSmoother

from fathom.tasks.text_classification import TextClassification
from fathom.tasks.token_classification import TokenClassification
from tokenizers_for_tests import tokenizer_of

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 50,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
ROWS = 12


def _text_task(problem, **options):
    values = {
        "single-label": ["a", "b", "b", "c"],
        "multi-label": [["a"], ["a", "b"], ["c"]],
        "regression": [0.5, -2.25],
    }
    examples = [
        {"text": "some words", "label": values[problem][i % len(values[problem])], "where": "made up"}
        for i in range(ROWS)
    ]
    task = TextClassification(problem=problem, **options).open(examples, tokenizer_of("bpe"), 16)
    features = task.encode(examples)
    return task, torch.from_numpy(np.stack([feature["label"] for feature in features]))


def _token_task(**options):
    tags = ["O", "B-x", "I-x", "O", "B-y", "I-y", "B-x", "O"]
    words = [(2 * i, 2 * i + 1) for i in range(len(tags))]
    examples = [{"text": "a a a a a a a a", "words": words, "tags": tags, "where": "made up"}]
    return TokenClassification(**options).open(examples, tokenizer_of("bpe"), 64)


def _ours(task, logits, batch):
    return task.loss(logits, batch).total / task.normalizer(batch)


@pytest.mark.parametrize("problem", ["single-label", "multi-label", "regression"])
def test_text_classification(problem):
    task, label = _text_task(problem)
    overrides = task.config_overrides
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**SIZES, **overrides)).eval()
    with torch.no_grad():
        output = model(torch.randint(0, 50, (ROWS, 7)), labels=label)
    torch.testing.assert_close(_ours(task, output.logits, {"label": label}), output.loss, rtol=1e-6, atol=1e-7)


def test_token_classification():
    task = _token_task()
    torch.manual_seed(0)
    model = BertForTokenClassification(BertConfig(**SIZES, **task.config_overrides)).eval()
    labels = torch.randint(0, len(task.labels), (4, 9)).masked_fill(torch.rand(4, 9) < 0.4, -100)
    with torch.no_grad():
        output = model(torch.randint(0, 50, (4, 9)), labels=labels)
    torch.testing.assert_close(_ours(task, output.logits, {"labels": labels}), output.loss, rtol=1e-6, atol=1e-7)


def test_label_smoothing_is_trainers():
    torch.manual_seed(0)
    smoother = LabelSmoother(epsilon=0.1)
    task, label = _text_task("single-label", label_smoothing=0.1)
    logits = torch.randn(ROWS, 3)
    torch.testing.assert_close(_ours(task, logits, {"label": label}), smoother({"logits": logits}, label))
    tokens = _token_task(label_smoothing=0.1)
    labels = torch.randint(0, len(tokens.labels), (4, 9)).masked_fill(torch.rand(4, 9) < 0.4, -100)
    logits = torch.randn(4, 9, len(tokens.labels))
    theirs = smoother({"logits": logits}, labels.clone())
    torch.testing.assert_close(_ours(tokens, logits, {"labels": labels}), theirs)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", ["balanced", {"b": 3.0}])
def test_class_weights_are_torchs_weighted_mean(weights, smoothing):
    torch.manual_seed(0)
    task, label = _text_task("single-label", class_weights=weights, label_smoothing=smoothing)
    logits = torch.randn(ROWS, 3)
    weight = torch.tensor(task.weights)
    expected = torch.nn.functional.cross_entropy(logits, label, weight=weight, label_smoothing=smoothing)
    torch.testing.assert_close(_ours(task, logits, {"label": label}), expected)
    tokens = _token_task(class_weights={"x": 2.0, "B-y": 0.5}, label_smoothing=smoothing)
    assert tokens.weights == [1.0, 2.0, 2.0, 0.5, 1.0]
    labels = torch.randint(0, 5, (4, 9)).masked_fill(torch.rand(4, 9) < 0.4, -100)
    logits = torch.randn(4, 9, 5)
    expected = torch.nn.functional.cross_entropy(
        logits.view(-1, 5), labels.view(-1), weight=torch.tensor(tokens.weights), label_smoothing=smoothing
    )
    torch.testing.assert_close(_ours(tokens, logits, {"labels": labels}), expected)


def test_balanced_weights_are_sklearns():
    sklearn = pytest.importorskip("sklearn.utils.class_weight", reason="scikit-learn is not installed")
    task, label = _text_task("single-label", class_weights="balanced")
    expected = sklearn.compute_class_weight("balanced", classes=np.arange(3), y=label.numpy())
    np.testing.assert_allclose(task.weights, expected)


@pytest.mark.parametrize("problem", ["single-label", "multi-label", "regression", "tokens"])
def test_micro_batches_sum_to_the_batch(problem):
    """12 = 4 x 3 = 1 x 12: total loss and gradient, in double precision of the comparison, within 1e-6."""
    torch.manual_seed(0)
    if problem == "tokens":
        task = _token_task(class_weights="balanced")
        labels = torch.randint(0, 5, (ROWS, 9)).masked_fill(torch.rand(ROWS, 9) < 0.5, -100)
        batch, logits = {"labels": labels}, torch.randn(ROWS, 9, 5)
    else:
        task, label = _text_task(problem)
        batch, logits = {"label": label}, torch.randn(ROWS, max(len(task.labels), 1))
    whole = logits.clone().requires_grad_()
    _ours(task, whole, batch).backward()
    for pieces in (3, 12):
        cut = logits.clone().requires_grad_()
        normalizer = task.normalizer(batch)
        for rows in torch.arange(ROWS).chunk(pieces):
            part = {name: value[rows] for name, value in batch.items()}
            (task.loss(cut[rows], part).total / normalizer).backward()
        torch.testing.assert_close(cut.grad, whole.grad, rtol=1e-6, atol=1e-7)
