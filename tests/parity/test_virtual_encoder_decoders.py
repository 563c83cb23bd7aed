"""Virtual tokens of encoder-decoders: losses, gradients, what is written and what is saved equal PEFT's own."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from torch import Tensor

import writers_for_tests
from fathom import catalog
from fathom.data.store import TokenStore, from_features
from fathom.model.anatomy import find_anatomy
from fathom.model.flow import trace
from fathom.model.folder import load_folder
from fathom.model.save import save_model
from fathom.model.two_stacks import PackedTwoStacks
from fathom.serving.generate.endings import end_tokens
from fathom.serving.generate.generator import Generator
from fathom.serving.generate.prompts import encode_prompt
from fathom.training.step import Workload, compute_gradient
from languages_for_tests import MODELS, SIZE, make_model, make_tokenizer, make_workload
from strategies_for_tests import make_tuning
from writers_for_tests import PROMPTS, make_generator

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
COUNT = 4
FAMILIES = ("t5", "bart")
BEFORE = ("prompt", "p-tuning")
KINDS = (*BEFORE, "prefix")
PAIRS = [(12, 3), (2, 6), (5, 1), (9, 5)]
"""Words of a source, and of its target."""
ROWS = np.arange(len(PAIRS))


def tuned(kind: str, family: str | Any = "t5", **options: Any) -> Any:
    model = make_model(family) if isinstance(family, str) else family
    torch.manual_seed(1)
    return make_tuning(kind, num_virtual_tokens=COUNT, **options).apply(model, find_anatomy(model))


def of_peft(model: Any) -> Any:
    """The same model with PEFT's own forward pass."""
    plain = deepcopy(model)
    for name in ("forward", "get_prompt"):
        vars(plain).pop(name, None)
    plain.get_base_model().get_encoder().get_input_embeddings()._forward_hooks.clear()
    return plain


def task_and_store() -> tuple[Any, TokenStore]:
    task = catalog.load("task", "translation")(architecture="encoder-decoder").open([], make_tokenizer(), 32)
    random = np.random.default_rng(0)
    examples = [
        {
            "text": " ".join(f"w{word}" for word in random.integers(0, 40, source)),
            "references": [" ".join(f"w{word}" for word in random.integers(0, 40, target))],
        }
        for source, target in PAIRS
    ]
    return task, from_features(task.encode(examples))


def loss_of_peft(plain: Any, work: Workload, row: int) -> tuple[Tensor, int]:
    """Summed loss of one pair without padding, and its labels."""
    batch = work.make_batch(np.array([row]), 0)
    labels = batch["labels"].long()
    decoder_ids = plain.get_base_model().prepare_decoder_input_ids_from_labels(labels=labels)
    given = {"input_ids": batch["input_ids"].long(), "attention_mask": batch["attention_mask"]}
    logits = plain(**given, decoder_input_ids=decoder_ids).logits
    assert logits.shape[:2] == labels.shape
    return torch.nn.functional.cross_entropy(logits[0], labels[0], ignore_index=-100, reduction="sum"), labels.numel()


@pytest.mark.parametrize("packing", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_gradients(kind: str, family: str, packing: bool) -> None:
    model = tuned(kind, family)
    plain = of_peft(model).train()
    work = make_workload(model, *task_and_store(), packing=packing)
    assert work.packed.packed == (packing and kind != "prefix"), work.packed.reason
    found = compute_gradient(work, ROWS, step=0)
    losses = [loss_of_peft(plain, work, row) for row in ROWS]
    total = sum(loss for loss, _ in losses)
    assert isinstance(total, Tensor)
    total.backward()
    count = sum(labels for _, labels in losses)
    assert found.loss == pytest.approx(float(total.detach()) / count, rel=1e-5)
    learning = {name: value for name, value in plain.named_parameters() if value.requires_grad}
    assert learning.keys() == work.parameters.slots.keys()
    for name, value in learning.items():
        assert value.grad is not None and value.grad.any()
        ours, largest = work.parameters.gradient(work.parameters.slots[name]), value.grad.abs().max()
        torch.testing.assert_close(ours * count / largest, value.grad / largest, atol=5e-4, rtol=0)


def test_a_batch_that_is_run_twice_is_laid_out_anew() -> None:
    work = make_workload(tuned("prompt"), *task_and_store())
    batch = work.runner.place(work.make_batch(ROWS, 0))
    first, again = (work.runner.judge(batch).losses_S for _ in range(2))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert isinstance(work.packed, PackedTwoStacks)
    assert work.packed.layout is not None and work.packed.target is not None
    tokens = int(batch["attention_mask"].sum())
    assert work.packed.layout.filled == tokens + COUNT * len(ROWS), "the source is longer"
    assert work.packed.target.filled == int((batch["labels"] != -100).sum()), "the target is not"


def plain_config(kind: str) -> peft.PeftConfig:
    """What someone who uses PEFT alone would write."""
    common: dict[str, Any] = {"task_type": "SEQ_2_SEQ_LM", "num_virtual_tokens": COUNT}
    if kind == "prefix":
        # an odd number of blocks: PEFT then gives each its own keys
        return peft.PrefixTuningConfig(**common, num_layers=3, encoder_hidden_size=128)
    common["num_transformer_submodules"] = 1  # with 2, PEFT's default, half of what learns would be read by nobody
    if kind == "prompt":
        return peft.PromptTuningConfig(**common, prompt_tuning_init="SAMPLE_VOCAB")
    return peft.PromptEncoderConfig(**common, encoder_hidden_size=8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_learns_is_what_peft_makes(kind: str, family: str) -> None:
    ours = tuned(kind, family, **({"initialization": "random"} if kind == "prefix" else {}))
    model = make_model(family)
    torch.manual_seed(1)
    theirs = peft.get_peft_model(model, plain_config(kind))
    mine, others = (
        {name: value for name, value in one.named_parameters() if value.requires_grad} for one in (ours, theirs)
    )
    assert mine.keys() == others.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, others[name], atol=0, rtol=0)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}], ids=["greedy", "beams"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written(kind: str, family: str, options: dict[str, Any]) -> None:
    bare = make_generator(family)
    model = tuned(kind, writers_for_tests.make_model(family)).eval()
    plain, tokenizer = of_peft(model), bare.tokenizer
    generator = Generator(model, tokenizer)
    ends = end_tokens(plain.generation_config, tokenizer, generator.facts)
    found = generator.generate(PROMPTS, generator.options(max_new_tokens=6, **options))
    assert found != bare.generate(PROMPTS, bare.options(max_new_tokens=6, **options))
    for number, (mine, prompt) in enumerate(zip(found, PROMPTS, strict=True), 1):
        ids = torch.tensor([encode_prompt(prompt, number, tokenizer, generator.facts).ids])
        with torch.no_grad():
            wanted = plain.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False,
                eos_token_id=sorted(ends), pad_token_id=0, **options,
            )[0, 1:].tolist()  # fmt: skip
        assert list(mine.tokens) == wanted


@pytest.mark.parametrize(("kind", "family"), [*product(KINDS, FAMILIES), ("prefix", "marian"), ("lora", "marian")])
def test_plain_peft_loads_what_was_saved(kind: str, family: str, tmp_path: Path) -> None:
    base = tmp_path / "base"
    make_base(family).save_pretrained(base)
    loaded = transformers.AutoModelForSeq2SeqLM.from_pretrained(base)
    torch.manual_seed(2)
    options = {"initialization": "gaussian"} if kind == "lora" else {"num_virtual_tokens": COUNT}
    model = make_tuning(kind, **options).apply(loaded, find_anatomy(loaded)).eval()
    for name, tensor in model.named_parameters():
        if ".lora_B." in name:
            tensor.data.normal_()
    info = {"task": {"kind": "translation"}, "base_model": str(base), "max_length": 32}
    save_model(model, make_tokenizer(), tmp_path / "model", info)
    ids = torch.tensor([[7, 9, 20, 31, 12]])
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "decoder_input_ids": ids[:, :3]}
    again = peft.AutoPeftModelForSeq2SeqLM.from_pretrained(tmp_path / "model").eval()
    assert type(again) is peft.PeftModelForSeq2SeqLM
    mine, _, _ = load_folder(tmp_path / "model", "AutoModelForSeq2SeqLM")
    with torch.no_grad():
        wanted = model(**given).logits
        torch.testing.assert_close(again(**given).logits, wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(mine(**given).logits, wanted, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(transformers.AutoModelForSeq2SeqLM.from_pretrained(base)(**given).logits, wanted)


def make_base(family: str) -> Any:
    """A model of this family; Marian's class has a name unlike the others'."""
    if family != "marian":
        return make_model(family)
    options = {**MODELS["bart"][2], "scale_embedding": True}
    torch.manual_seed(3)
    return transformers.MarianMTModel(transformers.MarianConfig(**options, vocab_size=SIZE, pad_token_id=0))


@pytest.mark.parametrize("num_blocks", [1, 2, 3, 4])
def test_every_block_of_the_decoder_has_keys_of_its_own(num_blocks: int) -> None:
    """With as many blocks as PEFT would take by itself, those of the upper half would be those of the lower."""
    config = transformers.T5Config(
        vocab_size=50, d_model=32, d_kv=6, d_ff=48, num_heads=4, num_layers=2, num_decoder_layers=num_blocks,
        decoder_start_token_id=0, dropout_rate=0.0,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    adapted: Any = make_tuning("prefix", num_virtual_tokens=COUNT).apply(model, find_anatomy(model))
    layers = adapted.get_prompt(1).self_attention_cache.layers[:num_blocks]
    tensors = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
    assert len(tensors) == 2 * num_blocks
    assert {tuple(tensor.shape) for tensor in tensors} == {(1, 4, COUNT, 6)}
    for place, tensor in enumerate(tensors):
        assert not any(torch.equal(tensor, other) for other in tensors[:place])
    ids = torch.tensor([[7, 9, 20, 31, 12]])
    adapted(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids).loss.backward()
    gradient = adapted.prompt_encoder["default"].embedding.weight.grad.view(COUNT, -1, 24)
    learning = gradient.abs().sum((0, 2)) > 0
    assert int(learning.sum()) == 2 * num_blocks
    assert learning.numel() - int(learning.sum()) == (0 if num_blocks % 2 else 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefix_begins_as_what_the_decoder_keeps_of_words(family: str) -> None:
    model = make_model(family)
    torch.manual_seed(1)
    words = torch.randint(0, len(model.get_input_embeddings().weight), (1, COUNT))
    with torch.no_grad():
        kept = model.eval()(input_ids=words, decoder_input_ids=words, use_cache=True).past_key_values
    adapted = tuned("prefix", family)
    assert adapted.get_base_model().training, "left as it was"
    found = adapted.get_prompt(1).self_attention_cache.layers
    for layer, wanted in zip(found, kept.self_attention_cache.layers, strict=False):
        torch.testing.assert_close(layer.keys, wanted.keys, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(layer.values, wanted.values, atol=1e-6, rtol=1e-5)


def test_the_backward_pass_goes_where_the_virtual_tokens_stand() -> None:
    for kind in ("prompt", "prefix"):
        model = tuned(kind)
        encoder, decoder = trace(model, find_anatomy(model), 16).stacks
        assert {block.gradient for block in encoder.blocks} == {kind == "prompt"}
        own, cross = decoder.blocks[0].attentions
        assert (own.gradient, cross.gradient) == (kind == "prefix", True)
