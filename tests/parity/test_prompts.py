"""Prompts: scores, losses and gradients are those of transformers and the formula in float64, packed and padded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fathom.data.draw import PREDICTION, Draw
from fathom.data.store import from_features
from fathom.model.vocabulary import VocabularyHead
from fathom.serving.predictor import Predictor
from fathom.training.step import compute_gradient
from languages_for_tests import make_model, make_tokenizer, make_workload
from prompts_for_tests import EXAMPLES, TEXTS, VERBALIZER, in_float64, label_scores, open_prompt

MASKED = ("bert", "roberta", "modernbert")
CAUSAL = ("gpt2", "llama-tied", "qwen3", "gemma2")
ROWS = np.arange(len(EXAMPLES))
SHORT = {"a": "w3", "b": "w4", "c": "w6"}


def objective_of(name: str) -> str:
    return "masked" if name in MASKED else "causal"


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("length", ["sum", "mean"])
@pytest.mark.parametrize("name", [*MASKED, *CAUSAL])
def test_answers_are_those_of_one_sequence_for_each_word(name: str, length: str, packing: bool) -> None:
    task = open_prompt(objective_of(name), word_length=length)
    model = make_model(name).eval()
    reference = in_float64(model)
    with torch.no_grad():
        expected = [
            torch.stack(
                list(label_scores(reference, text, VERBALIZER, masked=task.masked, mean=length == "mean").values())
            )
            for text in TEXTS
        ]
    predictor = Predictor(model, task, packing=packing)
    features = task.encode([{"text": text, "where": "t"} for text in TEXTS])
    batch = task.make_batch(features, Draw(0, PREDICTION, ROWS))
    found = task.label_scores(predictor.logits(batch))
    torch.testing.assert_close(found, torch.stack(expected).float(), atol=1e-4, rtol=1e-5)
    answers = list(predictor.predict(list(TEXTS), batch_size=3))
    for answer, scores in zip(answers, expected, strict=True):
        assert answer["probabilities"] == pytest.approx(
            dict(zip(VERBALIZER, scores.softmax(-1).tolist(), strict=True)), abs=1e-5
        )


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_the_logits_at_the_mask_are_those_of_the_padded_example(name: str) -> None:
    """Words of one token: differences of scores are differences of the logits at the mask."""
    task = open_prompt("masked", verbalizer=SHORT)
    model = make_model(name).eval()
    tokenizer = make_tokenizer()
    longest = tokenizer([f"{text} w1 {tokenizer.mask_token} w2" for text in TEXTS], padding=True, return_tensors="pt")
    with torch.no_grad():
        whole_BLV = model(input_ids=longest["input_ids"], attention_mask=longest["attention_mask"]).logits
    at_BV = whole_BLV[longest["input_ids"] == tokenizer.mask_token_id]
    expected = at_BV[:, tokenizer.convert_tokens_to_ids(list(SHORT.values()))]
    features = task.encode([{"text": text, "where": "t"} for text in TEXTS])
    found = task.label_scores(Predictor(model, task).logits(task.make_batch(features, Draw(0, PREDICTION, ROWS))))
    torch.testing.assert_close(found.diff(dim=1), expected.diff(dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("name", ["bert", "modernbert", "gpt2", "llama-tied", "gemma2"])
def test_loss_and_gradients_are_those_of_the_formula(name: str, packing: bool) -> None:
    task = open_prompt(objective_of(name), label_smoothing=0.1, class_weights={"a": 2.0})
    model = make_model(name)
    reference = in_float64(model)
    store = from_features(task.encode(EXAMPLES))
    work = make_workload(model, task, store, packing=packing)
    result = compute_gradient(work, ROWS, step=0)
    scores_BC = torch.stack(
        [torch.stack(list(label_scores(reference, text, VERBALIZER, masked=task.masked).values())) for text in TEXTS]
    )
    target = torch.tensor([list(VERBALIZER).index(example["label"]) for example in EXAMPLES])
    log_p_BC = scores_BC.log_softmax(-1)
    weight_C = torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64)
    right = -(weight_C[target] * log_p_BC[torch.arange(len(target)), target]).sum()
    even = -(weight_C * log_p_BC).sum() / len(weight_C)
    loss = (0.9 * right + 0.1 * even) / weight_C[target].sum()
    loss.backward()
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    compare(work, reference)


def compare(work: Any, reference: Any) -> None:
    expected = {name: value.grad for name, value in reference.named_parameters() if value.grad is not None}
    found = {name: work.parameters.gradient(slot) for name, slot in work.parameters.slots.items()}
    assert set(expected) <= set(found)
    for key, value in expected.items():
        scale = max(1.0, value.abs().max().item())
        assert (found[key].double() - value).abs().max().item() <= 2e-5 * scale, key


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_a_batch_cut_into_passes_has_the_same_gradient(name: str) -> None:
    task = open_prompt(objective_of(name))
    store = from_features(task.encode(EXAMPLES))
    whole, parts = (make_workload(make_model(name), task, store) for _ in range(2))
    parts.most_tokens = 30
    assert compute_gradient(whole, ROWS, 2).loss == pytest.approx(compute_gradient(parts, ROWS, 2).loss, rel=1e-6)
    for key, slot in whole.parameters.slots.items():
        ours = parts.parameters.gradient(parts.parameters.slots[key])
        torch.testing.assert_close(ours, whole.parameters.gradient(slot), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["bert", "gemma2"])
def test_scores_made_in_chunks_are_those_of_whole_logits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many positions, several tokens at one, a token twice: values and gradients by autograd on whole logits."""
    model = make_model(name)
    head = VocabularyHead(model)
    width, size = head.module.in_features, head.module.out_features
    monkeypatch.setattr("fathom.model.token_scores.SOFTMAX_BYTES", 4 * size * 5)  # five positions at a time
    generator = torch.Generator().manual_seed(0)
    row_K = torch.cat([torch.randint(0, 23, (60,), generator=generator), torch.tensor([4, 4])])
    token_K = torch.cat([torch.randint(0, size, (60,), generator=generator), torch.tensor([9, 9])])
    weight_K = torch.randn(len(row_K), generator=generator)
    states = torch.randn(1, 23, width, generator=generator)
    ours = states.clone().requires_grad_()
    scores = head.score_tokens(ours, row_K, token_K)
    (scores * weight_K).sum().backward()
    theirs = states.double().requires_grad_()
    logits = theirs[0] @ head.module.weight.double().t()
    if head.module.bias is not None:
        logits = logits + head.module.bias.double()
    if head.cap is not None:
        logits = head.cap * torch.tanh(logits / head.cap)
    expected = logits.log_softmax(-1)[row_K, token_K]
    (expected * weight_K).sum().backward()
    torch.testing.assert_close(scores.double(), expected, atol=1e-5, rtol=1e-5)
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad.double(), theirs.grad, atol=1e-5, rtol=1e-4)


def test_only_asked_positions_reach_the_vocabulary_head() -> None:
    task = open_prompt("masked")
    model = make_model("bert")
    store = from_features(task.encode(EXAMPLES))
    work = make_workload(model, task, store)
    seen: list[int] = []
    assert work.vocabulary is not None
    work.vocabulary.module.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(0, -2).shape[0]))
    compute_gradient(work, ROWS, step=0)
    assert seen == [len(EXAMPLES) * (1 + 2 + 3)], "one, two and three masks of each example"
