"""A vocabulary head takes over only what it computes as the model does, and casts a frozen table once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fathom import catalog
from fathom.errors import ModelError
from fathom.model import chunked_loss
from fathom.model.anatomy import find_anatomy
from fathom.model.chunked_loss import softmax_gradient
from fathom.model.packing import pack_model
from fathom.model.vocabulary import VocabularyHead
from fathom.training.step import compute_gradient
from languages_for_tests import MODELS, SIZE, SPECIAL, make_model, make_store, make_workload, open_task

IDS = torch.randint(len(SPECIAL), SIZE, (2, 9), generator=torch.Generator().manual_seed(0))


def cap_of_its_own(model: Any, cap: float) -> None:
    """Cap the logits as a family would whose config says it in words unknown here."""
    plain = model.forward

    def forward(**inputs: Any) -> Any:
        output = plain(**inputs)
        output["logits"] = cap * torch.tanh(output.logits / cap)
        return output

    model.forward = forward


@pytest.mark.parametrize("name", ["llama", "t5"])
@pytest.mark.parametrize("cap", [3.0, 300.0])
def test_a_cap_nobody_told_of_is_found_by_trying(name: str, cap: float) -> None:
    """Also one that is far above the logits of a new model."""
    model = make_model(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.3)
    cap_of_its_own(model, cap)
    with pytest.raises(ModelError, match="more to its logits than a linear map"):
        VocabularyHead(model)
    assert "forward" not in vars(model.get_output_embeddings())
    assert model.training


def test_a_cap_under_an_adapter_is_found() -> None:
    model = make_model("llama")
    cap_of_its_own(model, 3.0)
    adapted = catalog.load("tuning", "lora")(rank=2).apply(model, find_anatomy(model))
    with pytest.raises(ModelError, match="linear map"):
        VocabularyHead(adapted)


@pytest.mark.parametrize("name", MODELS)
def test_the_trial_leaves_a_model_as_it_was(name: str) -> None:
    model = make_model(name)
    config, generator = model.config.to_dict(), torch.get_rng_state()
    VocabularyHead(model).remove()
    assert model.config.to_dict() == config
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.training


def test_capped_logits_are_judged_as_the_model_says_them() -> None:
    model = make_model("gemma2").eval()
    with torch.no_grad():
        expected = model(input_ids=IDS).logits.flatten(0, 1)
        head = VocabularyHead(model)
        with head.select(IDS) as labels:
            losses, hits = head.judge(model(input_ids=IDS).logits, labels)
    assert model.config.final_logit_softcapping == 3.0
    torch.testing.assert_close(losses, nn.functional.cross_entropy(expected, labels, reduction="none"))
    assert torch.equal(hits, expected.argmax(-1) == labels)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_of_capped_logits_is_autograds(smoothing: float) -> None:
    logits = (5 * torch.randn(7, 19, generator=torch.Generator().manual_seed(1))).double().requires_grad_()
    labels = torch.arange(7)
    capped = 2.0 * torch.tanh(logits / 2.0)
    expected = nn.functional.cross_entropy(capped, labels, reduction="sum", label_smoothing=smoothing)
    expected.backward()
    found, bias = logits.detach().float(), torch.zeros(19)
    total = softmax_gradient(found, labels, smoothing, bias, 2.0)
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(found, logits.grad.float(), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(bias, logits.grad.sum(0).float(), atol=1e-6, rtol=1e-5)


def test_a_frozen_table_is_cast_once_and_given_back() -> None:
    model = make_model("llama")
    adapted = catalog.load("tuning", "lora")(rank=2).apply(model, find_anatomy(model))
    task: Any = open_task("causal-lm")
    head = make_workload(adapted, task, make_store(task, (5, 7)), dtype=torch.bfloat16).vocabulary
    assert head is not None
    assert head.slot is None
    first = head.weight()
    assert first.dtype == torch.bfloat16
    assert head.weight() is first
    head.dtype = torch.float32  # a step computed again
    assert head.weight().data_ptr() == head.module.weight.data_ptr()
    head.release()
    assert head._cast is None
    assert head.weight().dtype == torch.float32


def test_a_trained_table_is_read_anew() -> None:
    task: Any = open_task("causal-lm")
    work = make_workload(make_model("llama"), task, make_store(task, (5, 7)), dtype=torch.bfloat16)
    head = work.vocabulary
    assert head is not None
    before = head.weight().clone()
    for values in work.parameters.values:
        values.mul_(2)
    work.parameters.refresh_shadows()
    assert torch.equal(head.weight(), 2 * before)


@pytest.mark.parametrize("length", [5, 8, 9])
def test_a_packed_model_runs_rows_nobody_laid_out(length: int) -> None:
    """Whatever slack a layout of that many tokens has."""
    model = make_model("llama").eval()
    with torch.no_grad():
        expected = model(input_ids=IDS[:, :length]).logits
        packed = pack_model(model)
        assert packed.packed
        torch.testing.assert_close(model(input_ids=IDS[:, :length]).logits, expected, atol=1e-5, rtol=1e-4)


def test_judging_in_chunks_is_judging_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("llama").eval()
    head = VocabularyHead(model)
    with torch.no_grad(), head.select(IDS) as labels:
        hidden = model(input_ids=IDS).logits
        whole = head.judge(hidden, labels)
        monkeypatch.setattr(chunked_loss, "CHUNK_BYTES", 1)
        monkeypatch.setattr(chunked_loss, "ROW_STEP", 2)
        monkeypatch.setattr(chunked_loss, "SOFTMAX_BYTES", 1)
        parts = head.judge(hidden, labels)
    torch.testing.assert_close(parts, whole)


def test_memory_made_while_scoring_serves_training() -> None:
    model = make_model("llama")
    task: Any = open_task("causal-lm")
    work = make_workload(model, task, make_store(task, (5, 7)))
    head = work.vocabulary
    assert head is not None
    with torch.inference_mode(), head.select(IDS) as labels:
        head.judge(model(input_ids=IDS).logits, labels)
    assert compute_gradient(work, np.arange(2), 0).loss > 0
