"""Losses and gradients of every objective equal those of transformers' own models, padded and with whole logits."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from fathom import catalog
from fathom.data.draw import Draw
from fathom.data.store import TokenStore, from_features
from fathom.model.anatomy import find_anatomy
from fathom.model.chunked_loss import chunks
from fathom.model.vocabulary import VocabularyHead
from fathom.tasks.base import Batch
from fathom.training.step import Workload, compute_gradient
from languages_for_tests import MODELS, SIZE, SPECIAL, make_model, make_store, make_workload, open_task

OBJECTIVE = {
    **dict.fromkeys(("bert", "roberta", "distilbert", "modernbert"), "masked-lm"),
    **dict.fromkeys(("gpt2", "llama", "llama-tied", "qwen3", "gemma2"), "causal-lm"),
    "t5": "span-denoising",
    "bart": "text-infilling",
}
LENGTHS = (20, 7, 3, 13, 31, 5, 5, 9, 26, 2)
ROWS = np.arange(len(LENGTHS))


def reference(model: Any, task: Any, batch: Batch) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients as transformers computes them from `labels`."""
    labels = batch["labels"]
    inputs = {name: value for name, value in batch.items() if name in ("input_ids", "attention_mask")}
    if task.causal:  # transformers shifts by itself
        labels = torch.cat([torch.full_like(labels[:, :1], -100), labels[:, :-1]], dim=1)
    loss = model(**inputs, labels=labels).loss
    loss.backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return loss.item(), gradients


def gradients(work: Workload) -> dict[str, torch.Tensor]:
    return {name: work.parameters.gradient(slot).clone() for name, slot in work.parameters.slots.items()}


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("name", OBJECTIVE)
def test_loss_and_gradients_are_those_of_transformers(name: str, packing: bool) -> None:
    task: Any = open_task(OBJECTIVE[name])
    store = make_store(task, LENGTHS)
    model = make_model(name)
    work = make_workload(deepcopy(model), task, store, packing=packing)
    result = compute_gradient(work, ROWS, step=4)
    batch = work.make_batch(ROWS, 4)
    loss, expected = reference(model, task, batch)
    assert result.loss == pytest.approx(loss, rel=1e-6)
    found = gradients(work)
    assert set(expected) <= set(found)
    room = 1e-4 if name == "t5" else 1e-5  # see below
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, atol=room, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama-tied", "t5"])
def test_a_batch_cut_into_passes_has_the_same_gradient(name: str) -> None:
    task = open_task(OBJECTIVE[name])
    store = make_store(task, LENGTHS)
    whole = make_workload(make_model(name), task, store)
    parts = make_workload(make_model(name), task, store)
    parts.most_tokens = 40
    assert compute_gradient(whole, ROWS, 2).loss == pytest.approx(compute_gradient(parts, ROWS, 2).loss, rel=1e-6)
    ours = gradients(parts)
    for key, value in gradients(whole).items():
        # T5's attention is not scaled: its gradients reach 3.7 and both sides are 3e-5 from the float64 gradient
        torch.testing.assert_close(ours[key], value, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("name", ["bert", "roberta", "modernbert", "gpt2", "llama"])
def test_documents_of_one_window_do_not_see_each_other(name: str, packing: bool) -> None:
    """A window of three documents has the loss and the gradient of three rows."""
    task = open_task(OBJECTIVE[name])
    apart = make_store(task, (9, 4, 15, 6))
    pieces = [apart[row]["input_ids"] for row in range(4)]
    segment = np.concatenate([np.full(len(piece), number) for number, piece in enumerate(pieces[:3])]).astype(np.int32)
    together = from_features(
        [
            {"input_ids": np.concatenate(pieces[:3]), "segment": segment, "example": np.asarray(0)},
            {"input_ids": pieces[3], "segment": np.zeros(len(pieces[3]), np.int32), "example": np.asarray(1)},
        ]
    )
    first, second = (FixedMask(name, store, packing) for store in (apart, together))
    assert first.loss == pytest.approx(second.loss, rel=1e-6)
    for key, value in first.gradients.items():
        torch.testing.assert_close(second.gradients[key], value, atol=1e-5, rtol=1e-4)


class FixedMask:
    """Loss and gradient where every third token of a document is guessed, wherever it lies in a batch."""

    def __init__(self, name: str, store: TokenStore, packing: bool) -> None:
        task: Any = open_task(OBJECTIVE[name])
        if not task.causal:
            task.corrupt = self.corrupt
        work = make_workload(make_model(name), task, store, packing=packing)
        self.loss = compute_gradient(work, np.arange(len(store)), 0).loss
        self.gradients = gradients(work)

    @staticmethod
    def corrupt(batch: Batch, draw: Draw) -> Batch:
        chosen = batch["attention_mask"].bool() & (batch["input_ids"] % 3 == 1) & (batch["input_ids"] >= len(SPECIAL))
        return {**batch, "labels": torch.where(chosen, batch["input_ids"], -100)}


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama-tied", "t5", "bart"])
def test_an_adapter_leaves_the_vocabulary_as_it_is(name: str) -> None:
    """Its map came with the weights and is as large as the embeddings; loss and gradients are those of PEFT's model."""
    task: Any = open_task(OBJECTIVE[name])
    store = make_store(task, LENGTHS)
    models = [make_model(name) for _ in range(2)]
    ours, theirs = (catalog.load("tuning", "lora")(rank=2).apply(model, find_anatomy(model)) for model in models)
    for key, value in theirs.named_parameters():
        if "lora_B" in key:  # zero at first, and so would be the gradient of the other matrix
            torch.nn.init.normal_(value, std=0.1, generator=torch.Generator().manual_seed(len(key)))
    ours.load_state_dict(theirs.state_dict())
    learning = {key for key, value in theirs.named_parameters() if value.requires_grad}
    assert all("lora_" in key or ".transform." in key for key in learning)
    work = make_workload(ours, task, store)
    result = compute_gradient(work, ROWS, step=4)
    loss, expected = reference(theirs, task, work.make_batch(ROWS, 4))
    assert result.loss == pytest.approx(loss, rel=1e-6)
    found = gradients(work)
    assert set(found) == set(expected) == learning
    for key, value in expected.items():
        scale = max(1.0, value.abs().max().item())  # T5's are large: in float32 its own are 3e-4 off those of float64
        difference = (found[key] - value).abs().max().item()
        assert difference <= 1e-4 * scale, key


def test_bf16_products_stay_close() -> None:
    task = open_task("causal-lm")
    store = make_store(task, LENGTHS)
    exact = make_workload(make_model("llama"), task, store)
    fast = make_workload(make_model("llama"), task, store, dtype=torch.bfloat16)
    assert compute_gradient(fast, ROWS, 0).loss == pytest.approx(compute_gradient(exact, ROWS, 0).loss, rel=2e-2)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    task = open_task("causal-lm")
    store = make_store(task, (40, 40, 40, 40))
    whole = make_workload(make_model("gpt2"), task, store)
    loss = compute_gradient(whole, np.arange(4), 0).loss
    monkeypatch.setattr("fathom.model.chunked_loss.CHUNK_BYTES", 1)
    assert len(list(chunks(160, 0))) == 3
    cut = make_workload(make_model("gpt2"), task, store)
    assert compute_gradient(cut, np.arange(4), 0).loss == pytest.approx(loss, rel=1e-6)
    ours = gradients(cut)
    for key, value in gradients(whole).items():
        torch.testing.assert_close(ours[key], value, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_chunked_loss_is_the_formula_in_float64(smoothing: float) -> None:
    model = make_model("bert")
    head = VocabularyHead(model)
    hidden = torch.randn(1, 50, 32, requires_grad=True)
    labels = torch.randint(0, SIZE, (50,))
    loss = head.loss(hidden, labels, 1 / 50, smoothing)
    loss.backward()
    exact = hidden.detach().double().requires_grad_()
    weight, bias = head.module.weight.double(), head.module.bias.double()
    expected = torch.nn.functional.cross_entropy(exact[0] @ weight.t() + bias, labels, label_smoothing=smoothing)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(hidden.grad, exact.grad.float(), atol=1e-7, rtol=1e-5)


def test_a_multiple_of_the_loss_is_refused() -> None:
    head = VocabularyHead(make_model("bert"))
    loss = head.loss(torch.randn(1, 4, 32, requires_grad=True), torch.tensor([1, 2, 3, 4]), 1.0)
    with pytest.raises(RuntimeError, match="scale"):
        (2 * loss).backward()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_itself_outside_of_select(name: str) -> None:
    model = make_model(name).eval()
    ids = torch.randint(len(SPECIAL), SIZE, (2, 9))
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})
    before = model(**inputs)[0]
    head = VocabularyHead(model)
    assert torch.equal(model(**inputs)[0], before)
    with head.select(torch.where(ids % 2 == 0, ids, -100)) as labels:
        hidden = model(**inputs)[0]
    assert hidden.shape == (1, len(labels), 32)
    chosen = head.logits(hidden[0])
    torch.testing.assert_close(chosen, before[ids % 2 == 0], atol=1e-5, rtol=1e-5)
    head.remove()
    assert torch.equal(model(**inputs)[0], before)


def test_the_sentence_objective_adds_its_own_mean() -> None:
    task: Any = open_task("masked-lm", sentence_objective="next-sentence")
    store = make_store(task, LENGTHS)
    fields = {**store.fields, "label": np.arange(len(LENGTHS), dtype=np.int64) % 2}
    model = make_model("bert-pretraining")
    work = make_workload(deepcopy(model), task, TokenStore(fields, store.offsets))
    work.most_tokens = 60
    result = compute_gradient(work, ROWS, 1)
    batch = work.make_batch(ROWS, 1)
    output = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"],
        next_sentence_label=batch["label"],
    )  # fmt: skip
    assert result.loss == pytest.approx(output.loss.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5", "bart"])
def test_no_keys_are_kept_for_tokens_to_come(name: str) -> None:
    task = open_task(OBJECTIVE[name])
    work = make_workload(make_model(name), task, make_store(task, LENGTHS))
    batch = work.runner.place(work.make_batch(ROWS, 0))
    with work.vocabulary.select(batch["labels"]):
        assert work.runner.run(batch).get("past_key_values") is None
