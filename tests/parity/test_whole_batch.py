"""A loss that compares the sequences of a batch has one gradient, however memory cuts the batch (GradCache)."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from fathom import catalog
from fathom.data.store import from_features
from fathom.model.anatomy import find_anatomy
from fathom.model.compute import Compute
from fathom.model.dropout import DropoutSource
from fathom.model.packing import PackedModel, pack_model
from fathom.model.parameters import FlatParameters, group_parameters
from fathom.training.step import Workload, compute_gradient, passes
from fathom.training.whole_batch import MaskDraws

TABLE = "embeddings.word_embeddings"
WORDS = [f"w{number}" for number in range(50)]
ROWS = np.arange(12)
KINDS = ["pairs", "negatives", "labelled", "texts", "cosine", "cosent", "symmetric", "matryoshka"]
OPTIONS: dict[str, dict[str, Any]] = {
    "cosine": {"objective": "cosine"},
    "symmetric": {"symmetric": True},
    "matryoshka": {"matryoshka": (8, 16)},
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]")


def examples(kind: str) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)

    def text() -> str:
        return " ".join(random.choice(WORDS[:20], random.integers(1, 9)))

    found = []
    for number in range(12):
        example: dict[str, Any] = {"text": text(), "where": f"x.csv:{number + 2}"}
        if kind == "labelled":
            example["label"] = "abc"[number % 3]
        elif kind != "texts":
            example["text_pair"] = text()
        if kind in ("cosine", "cosent"):
            example["score"] = float(random.integers(0, 6))
        if kind == "negatives":
            example["negatives"] = [text() for _ in range(number % 3)]
        found.append(example)
    return found


def workload(kind: str, tokenizer: PreTrainedTokenizerFast, *, dropout: float = 0.0, packing: bool = True) -> Workload:
    task = catalog.load("task", "sentence-embedding")(**OPTIONS.get(kind, {})).open(examples(kind), tokenizer, 32)
    store = from_features(task.encode(examples(kind)))
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=32, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
    )  # fmt: skip
    model = BertModel(config).train()
    packed = pack_model(model) if packing else PackedModel(model, reason="packing is off")
    source = DropoutSource() if packing else None
    packed.dropout = source
    named, keys = group_parameters(model)
    rows = torch.from_numpy(store.used_ids().astype(np.int64))
    parameters = FlatParameters(named, keys, compact_rows={f"{TABLE}.weight": rows})
    blocks = [block.path for block in find_anatomy(model).stacks[0].blocks]
    compute = Compute(model, parameters, blocks, embedding_paths=[TABLE], dropout=source)
    return Workload(model, packed, parameters, compute, source, task, store, seed=3)


def gradients(work: Workload) -> dict[str, torch.Tensor]:
    return {name: work.parameters.gradient(slot).clone() for name, slot in work.parameters.slots.items()}


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_equal_the_whole(kind: str, packing: bool, tokenizer: PreTrainedTokenizerFast) -> None:
    work = workload(kind, tokenizer, packing=packing)
    whole = compute_gradient(work, ROWS, 0)
    assert whole.loss > 0
    expected = gradients(work)
    for most in (80, 45, 1):
        work.most_tokens = most
        assert len(passes(work, ROWS)) > 1
        part = compute_gradient(work, ROWS, 0)
        assert part.loss == pytest.approx(whole.loss, rel=1e-5)
        for name, gradient in gradients(work).items():
            assert (gradient - expected[name]).abs().max().item() <= 2e-6 * max(1.0, whole.grad_norm), (name, most)


def test_what_draws_from_torch_draws_the_same_again(tokenizer: PreTrainedTokenizerFast) -> None:
    """Gates and PEFT's dropout do not ask the source; both passes of a part must see one draw."""
    work = workload("pairs", tokenizer)
    assert work.dropout is not None
    work.most_tokens = 45
    drawn: dict[int, list[float]] = {}
    kept = work.runner.run

    def run(batch: Any) -> Any:
        drawn.setdefault(int(batch["input_ids"].sum()), []).append(torch.rand(()).item())
        return kept(batch)

    object.__setattr__(work.runner, "run", run)
    compute_gradient(work, ROWS, 0)
    twice = [values for values in drawn.values() if len(values) > 1]
    assert twice
    assert all(len(set(values)) == 1 for values in twice)
    assert len({values[0] for values in drawn.values()}) == len(drawn), "each part has draws of its own"


def test_the_graph_of_one_part_is_gone_before_the_next_is_made(tokenizer: PreTrainedTokenizerFast) -> None:
    work = workload("pairs", tokenizer)
    work.most_tokens = 45
    made: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    kept = work.task.logits

    def logits(output: Any, batch: Any) -> torch.Tensor:
        vectors = kept(output, batch)
        made.append(weakref.ref(vectors))
        return vectors

    def run(batch: Any) -> Any:
        alive.append(sum(ref() is not None for ref in made))
        return inner(batch)

    inner = work.runner.run
    object.__setattr__(work.runner, "run", run)
    work.task.logits = logits  # type: ignore[method-assign]
    compute_gradient(work, ROWS, 0)
    parts = len(passes(work, ROWS))
    assert alive[:parts] == [0] * parts, "the activations of two parts were held at once"


@pytest.mark.parametrize("packing", [True, False])
def test_masks_of_the_second_pass_are_those_of_the_first(packing: bool, tokenizer: PreTrainedTokenizerFast) -> None:
    """Under dropout the gradient is that of one graph over all parts, each with its own masks."""
    work = workload("pairs", tokenizer, dropout=0.3, packing=packing)
    work.most_tokens = 45
    torch.manual_seed(11)
    found = compute_gradient(work, ROWS, 4)
    after = torch.get_rng_state()
    gradient = gradients(work)
    torch.manual_seed(11)
    draws = MaskDraws(work.dropout, work.seed, 4)
    batches = [work.make_batch(part, 4) for part in passes(work, ROWS)]
    assert len(batches) > 2
    work.parameters.begin_step(work.compute.direct)
    vectors = []
    for index, batch in enumerate(batches):
        draws.start(index)
        placed = work.runner.place(batch)
        vectors.append(work.task.logits(work.runner.run(placed), placed))
    joined = work.task.join(batches)
    loss = work.task.loss(torch.cat(vectors), joined).total / work.task.normalizer(joined)
    loss.backward()  # type: ignore[no-untyped-call]
    work.parameters.end_step()
    assert found.loss == pytest.approx(loss.item(), rel=1e-5)
    for name, expected in gradients(work).items():
        torch.testing.assert_close(gradient[name], expected, atol=1e-5, rtol=1e-4)
    if not packing:
        assert torch.equal(after, torch.get_rng_state()), "the next step would not draw on"
