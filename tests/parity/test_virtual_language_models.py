"""Virtual tokens before a decoder: losses, gradients and what is written equal PEFT's own, one text at a time."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from fathom.model.anatomy import find_anatomy
from fathom.serving.generate.generator import Generator
from fathom.serving.generate.options import GenerationOptions
from fathom.serving.generate.prompts import encode_prompt
from fathom.training.step import compute_gradient
from languages_for_tests import make_model, make_store, make_tokenizer, make_workload, open_task
from strategies_for_tests import make_tuning

LENGTHS = (12, 7, 3, 5, 9)
ROWS = np.arange(len(LENGTHS))
COUNT = 4
FAMILIES = ("gpt2", "llama", "qwen3")
KINDS = ("prompt", "p-tuning", "prefix")


def tuned(kind: str, family: str) -> Any:
    model = make_model(family)
    torch.manual_seed(1)
    return make_tuning(kind, num_virtual_tokens=COUNT).apply(model, find_anatomy(model))


def of_peft(model: Any) -> Any:
    """The same model with PEFT's own forward pass."""
    plain = deepcopy(model)
    vars(plain).pop("forward", None)
    plain.get_base_model().get_input_embeddings()._forward_hooks.clear()
    return plain.train()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients(kind: str, family: str) -> None:
    model = tuned(kind, family)
    task: Any = open_task("causal-lm")
    store = make_store(task, LENGTHS)
    plain = of_peft(model)
    batch = None
    work = make_workload(model, task, store)
    assert (work.packed.reason is None) == (kind != "prefix")
    found = compute_gradient(work, ROWS, step=0)
    total, count = 0.0, 0
    for row in ROWS:
        batch = work.make_batch(np.array([row]), 0)
        length = int(batch["attention_mask"].sum())
        ids, labels = batch["input_ids"][:, :length], batch["labels"][:, :length]
        logits = plain(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -length:]
        loss = torch.nn.functional.cross_entropy(logits[0], labels[0].long(), ignore_index=-100, reduction="sum")
        loss.backward()
        total, count = total + loss.item(), count + int((labels != -100).sum())
    assert found.loss == pytest.approx(total / count, rel=1e-5)
    learning = {name: value for name, value in plain.named_parameters() if value.requires_grad}
    assert learning.keys() == work.parameters.slots.keys()
    for name, value in learning.items():
        assert value.grad is not None and value.grad.any()
        ours = work.parameters.gradient(work.parameters.slots[name])
        torch.testing.assert_close(ours, value.grad / count, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_documents_of_one_window_see_their_own_virtual_tokens(kind: str, family: str) -> None:
    task: Any = open_task("causal-lm")
    store = make_store(task, (6, 5))
    work = make_workload(tuned(kind, family), task, store)
    apart = work.make_batch(np.array([0, 1]), 0)
    joined: dict[str, torch.Tensor] = {}
    for name, value in apart.items():
        if value.dim() == 2:
            rows = [value[row][apart["attention_mask"][row].bool()] for row in (0, 1)]
            joined[name] = torch.cat(rows)[None]
            sizes = [len(row) for row in rows]
    joined["segment"] = torch.repeat_interleave(torch.tensor([0, 1]), torch.tensor(sizes))[None]
    losses = [float(work.runner.judge(work.runner.place(batch)).losses_S.sum()) for batch in (apart, joined)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written(kind: str, family: str) -> None:
    model = tuned(kind, family).eval()
    plain = of_peft(model).eval()
    tokenizer = make_tokenizer()
    prompts = ["w1 w2 w3", "w7"]
    generator = Generator(model, tokenizer)
    assert generator.engine.mode == "recomputed"
    options = generator.options(max_new_tokens=5)
    assert isinstance(options, GenerationOptions)
    for number, (found, prompt) in enumerate(zip(generator.generate(prompts, options), prompts, strict=True), 1):
        ids = torch.tensor([encode_prompt(prompt, number, tokenizer, generator.facts).ids])
        wanted = []
        with torch.inference_mode():
            for _ in range(5):
                logits = plain(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
                wanted.append(int(logits.argmax()))
                ids = torch.cat([ids, torch.tensor([[wanted[-1]]])], dim=1)
                if wanted[-1] == tokenizer.eos_token_id:
                    break
        assert list(found.tokens)[: len(wanted)] == wanted[: len(found.tokens)]
