"""One step is the mathematics it claims: accumulation, flat AdamW, compact embeddings, retried and skipped steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification, PreTrainedTokenizerFast

from fathom import catalog
from fathom.data.store import TokenStore, from_features
from fathom.model.anatomy import find_anatomy
from fathom.model.checkpointing import checkpoint_blocks
from fathom.model.compute import Compute
from fathom.model.dropout import DropoutSource
from fathom.model.packing import pack_model
from fathom.model.parameters import FlatParameters, GroupKey, group_parameters
from fathom.tasks.base import OpenTask
from fathom.training.forward import Losses, Normalizers, Runner
from fathom.training.optimizers.adamw import AdamW
from fathom.training.settings import Training
from fathom.training.step import Workload, compute_gradient, compute_gradient_in_float32

CONFIG: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
}
TABLE = "bert.embeddings.word_embeddings"
WORDS = [f"w{i}" for i in range(50)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]")


def text_task(tokenizer: PreTrainedTokenizerFast, **options: Any) -> tuple[OpenTask, TokenStore]:
    random = np.random.default_rng(0)
    examples = []
    for i in range(12):
        words = random.choice(WORDS[:20], random.integers(1, 15))
        examples.append({"text": " ".join(words), "label": "abc"[i % 3] if i else "a", "where": f"x.csv:{i + 2}"})
    task = catalog.load("task", "text-classification")(**options).open(examples, tokenizer, 32)
    return task, from_features(task.encode(examples))


def tag_task(tokenizer: PreTrainedTokenizerFast, **options: Any) -> tuple[OpenTask, TokenStore]:
    random = np.random.default_rng(0)
    examples = []
    for i in range(12):
        words = list(random.choice(WORDS[:20], random.integers(1, 15)))
        spans, position = [], 0
        for word in words:
            spans.append((position, position + len(word)))
            position += len(word) + 1
        tags = [str(random.choice(["O", "B-x", "B-y"])) for _ in words]
        examples.append({"text": " ".join(words), "words": spans, "tags": tags, "where": f"x.conll:{i + 1}"})
    task = catalog.load("task", "token-classification")(**options).open(examples, tokenizer, 32)
    return task, from_features(task.encode(examples))


def workload(task: OpenTask, store: TokenStore, dropout: float = 0.0, dtype: torch.dtype = torch.float32) -> Workload:
    torch.manual_seed(5)
    config = BertConfig(
        **CONFIG, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, num_labels=len(task.labels)
    )
    cls = BertForSequenceClassification if "Sequence" in task.auto_class else BertForTokenClassification
    model: nn.Module = cls(config).train()
    anatomy = find_anatomy(model)
    packed = pack_model(model)
    source = DropoutSource()
    packed.dropout = source
    named, keys = group_parameters(model)
    rows = torch.from_numpy(store.used_ids().astype(np.int64))
    parameters = FlatParameters(
        named,
        keys,
        compact_rows={f"{TABLE}.weight": rows},
        shadow_dtype=None if dtype == torch.float32 else dtype,
    )
    blocks = [block.path for block in anatomy.stacks[0].blocks]
    compute = Compute(model, parameters, blocks, embedding_paths=[TABLE], dropout=source, dtype=dtype)
    return Workload(model, packed, parameters, compute, source, task, store, seed=3)


def gradients(work: Workload) -> dict[str, torch.Tensor]:
    return {name: work.parameters.gradient(slot).clone() for name, slot in work.parameters.slots.items()}


def places_of(parameters: FlatParameters) -> dict[str, tuple[int | None, str]]:
    return {name: (None, "embeddings" if "embeddings" in name else "other") for name in parameters.slots}


ROWS = np.arange(12)


@pytest.mark.parametrize("kind", ["text", "tags", "weighted", "smoothed"])
def test_micro_batches_equal_one_batch(kind: str, tokenizer: PreTrainedTokenizerFast) -> None:
    options: dict[str, Any] = {"weighted": {"class_weights": "balanced"}, "smoothed": {"label_smoothing": 0.1}}.get(
        kind, {}
    )
    task, store = (tag_task if kind == "tags" else text_task)(tokenizer, **options)
    work = workload(task, store)
    whole = compute_gradient(work, ROWS, 0)
    expected = gradients(work)
    for most in (40, 15, 1):
        work.most_tokens = most
        part = compute_gradient(work, ROWS, 0)
        assert part.loss == pytest.approx(whole.loss, rel=1e-6)
        for name, gradient in gradients(work).items():
            assert (gradient - expected[name]).abs().max().item() <= 1e-6 * whole.grad_norm, (name, most)


@pytest.mark.parametrize("make", [text_task, tag_task])
def test_gradients_equal_plain_transformers(make: Any, tokenizer: PreTrainedTokenizerFast) -> None:
    task, store = make(tokenizer)
    work = workload(task, store)
    result = compute_gradient(work, ROWS, 0)
    reference = workload(task, store)
    reference.compute.remove()
    reference.packed.remove()
    reference.parameters.release()
    from fathom.data.batch import collate_rows, model_inputs

    batch = collate_rows(store, ROWS, 0)
    labels = batch["labels"] if "labels" in batch else batch["label"]
    model: Any = reference.model
    loss = model(**model_inputs(batch), labels=labels).loss
    loss.backward()
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    named = dict(model.named_parameters())
    for name, slot in work.parameters.slots.items():
        wanted = named[name].grad
        if wanted is None:
            wanted = torch.zeros_like(named[name])
        if slot.rows is not None:
            left = torch.ones(len(wanted), dtype=torch.bool)
            left[slot.rows] = False
            assert wanted[left].abs().sum().item() == 0
            wanted = wanted[slot.rows]
        assert (work.parameters.gradient(slot) - wanted).abs().max().item() <= 1e-5, name
    squares = sum(float(p.grad.double().square().sum()) for p in named.values() if p.grad is not None)
    assert result.grad_norm == pytest.approx(squares**0.5, rel=1e-4)


def test_flat_adamw_equals_torch_with_clipping_and_decay(tokenizer: PreTrainedTokenizerFast) -> None:
    task, store = text_task(tokenizer)
    work = workload(task, store)
    settings = Training(weight_decay=0.1)
    live = AdamW().open(work.parameters, settings, places_of(work.parameters))
    start = {name: slot.parameter.data.clone() for name, slot in work.parameters.slots.items()}
    named = {name: nn.Parameter(value.double()) for name, value in start.items()}
    decayed = [p for name, p in named.items() if p.dim() > 1]
    rest = [p for name, p in named.items() if p.dim() <= 1]
    reference = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}])
    for step, rate in enumerate((1e-2, 5e-3, 1e-3)):
        result = compute_gradient(work, ROWS[step * 4 : step * 4 + 4], step)
        for name, slot in work.parameters.slots.items():
            gradient = work.parameters.gradient(slot).double()
            full = torch.zeros_like(named[name])
            full[slot.rows if slot.rows is not None else slice(None)] = gradient
            named[name].grad = full
        torch.nn.utils.clip_grad_norm_(named.values(), 0.1)
        scale = min(1.0, 0.1 / (result.grad_norm + 1e-6))
        assert scale < 1
        for group in reference.param_groups:
            group["lr"] = rate
        reference.step()
        live.step(rate, scale)
    work.parameters.release()
    for name, parameter in work.model.named_parameters():
        difference = (parameter.data - named[name]).abs().max().item()
        assert difference <= 1e-5, (name, difference)
    assert not torch.equal(work.model.get_submodule(TABLE).weight.data, start[f"{TABLE}.weight"])


def test_dropout_masks_belong_to_seed_and_step(tokenizer: PreTrainedTokenizerFast) -> None:
    task, store = tag_task(tokenizer)
    work = workload(task, store, dropout=0.3)
    first = compute_gradient(work, ROWS, 4).loss
    assert compute_gradient(work, ROWS, 4).loss == first
    assert compute_gradient(work, ROWS, 5).loss != first


def test_activation_checkpointing_changes_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    task, store = tag_task(tokenizer)
    work = workload(task, store, dropout=0.3)
    plain = compute_gradient(work, ROWS, 1)
    expected = gradients(work)
    assert work.dropout is not None
    blocks = [block.path for block in find_anatomy(work.model).blocks]
    checkpoint_blocks(work.model, blocks, work.dropout.recompute_contexts)
    again = compute_gradient(work, ROWS, 1)
    assert again.loss == plain.loss
    for name, gradient in gradients(work).items():
        assert torch.equal(gradient, expected[name]), name


def test_bf16_stays_near_fp32_and_a_retry_is_fp32(tokenizer: PreTrainedTokenizerFast) -> None:
    task, store = text_task(tokenizer)
    exact = compute_gradient(workload(task, store), ROWS, 0)
    work = workload(task, store, dtype=torch.bfloat16)
    rough = compute_gradient(work, ROWS, 0)
    assert rough.loss != exact.loss
    assert rough.loss == pytest.approx(exact.loss, rel=1e-2)
    again = compute_gradient_in_float32(work, ROWS, 0)
    assert again.loss == pytest.approx(exact.loss, rel=1e-6)
    assert compute_gradient(work, ROWS, 0).loss == rough.loss


def test_out_of_memory_halves_the_pass_and_keeps_the_mathematics(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, store = text_task(tokenizer)
    work = workload(task, store)
    expected = compute_gradient(work, ROWS, 0)
    real = Runner.loss

    def tight(runner: Runner, batch: dict[str, torch.Tensor], normalizers: Normalizers) -> Losses:
        if int(batch["attention_mask"].sum()) > 30:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return real(runner, batch, normalizers)

    monkeypatch.setattr(Runner, "loss", tight)
    result = compute_gradient(work, ROWS, 0)
    assert work.most_tokens is not None and work.most_tokens <= 30
    assert result.loss == pytest.approx(expected.loss, rel=1e-6)
    assert result.grad_norm == pytest.approx(expected.grad_norm, rel=1e-5)


def test_group_scales_have_their_own_rate(tokenizer: PreTrainedTokenizerFast) -> None:
    leaf = nn.Parameter(torch.ones(4, 4))
    slow = nn.Parameter(torch.ones(4, 4))
    keys = {"fast": GroupKey(True, 10.0), "slow": GroupKey(True)}
    flat = FlatParameters({"fast": leaf, "slow": slow}, keys)
    live = AdamW().open(flat, Training(weight_decay=0.0), places_of(flat))
    for gradient in flat.gradients:
        gradient.fill_(1.0)
    live.step(0.01, 1.0)
    moved: Sequence[float] = [1 - leaf.data[0, 0].item(), 1 - slow.data[0, 0].item()]
    assert moved[0] == pytest.approx(10 * moved[1], rel=1e-4)
