"""What never learns is found under every strategy, and runs without dropout."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from tests.parity.test_packing import CASES, build
from tests.strategies_for_tests import FAMILIES, REFUSED, make_model, make_tuning
from torch import nn

from fathom.model.anatomy import find_anatomy
from fathom.model.frozen import find_frozen

DEPTH = 3
BELOW: dict[str, int] = {"head": DEPTH, "top-layers": DEPTH - 1}
"""Frozen blocks by strategy, with the options of the tests; 0 for all others."""


def tuned(family: str, kind: str, **options: Any) -> nn.Module:
    model = make_model(family)
    return make_tuning(kind, **options).apply(model, find_anatomy(model))


@pytest.mark.parametrize("kind", ["head", "top-layers", "full", "lora", "bitfit", "norms", "ia3", "adapter", "prompt"])
@pytest.mark.parametrize("family", FAMILIES)
def test_first_block(family: str, kind: str) -> None:
    if family in REFUSED.get(kind, ()):
        pytest.skip("the family cannot take it")
    model = tuned(family, kind)
    frozen = find_frozen(model, find_anatomy(model))
    assert frozen.first_block == BELOW.get(kind, 0)
    below = {id(parameter) for module in frozen.modules for parameter in module.parameters()}
    assert not any(parameter.requires_grad for module in frozen.modules for parameter in module.parameters())
    if frozen.first_block:
        anatomy = find_anatomy(model)
        words = {id(parameter) for path in anatomy.embeddings for parameter in model.get_submodule(path).parameters()}
        assert words <= below


def test_the_lowest_chosen_block_counts() -> None:
    model = tuned("bert", "layers", layers=[1])
    assert find_frozen(model, find_anatomy(model)).first_block == 1
    model = tuned("bert", "layers", layers=[1], embeddings="trained")
    assert find_frozen(model, find_anatomy(model)).first_block == 0


@pytest.mark.parametrize("name", ["AlbertConfig", "T5Config"])
def test_shared_blocks_and_two_stacks_have_none(name: str) -> None:
    model = build(next(case for case in CASES if case.config == name))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert find_frozen(model, find_anatomy(model)).first_block == 0


def test_a_norm_registered_before_the_blocks_stands_after_them() -> None:
    model = build(next(case for case in CASES if case.config == "OPTConfig"))
    assert find_anatomy(model).final == ("model.decoder.final_layer_norm",)


def test_dropout_is_off_below_and_on_above() -> None:
    config = transformers.GPT2Config(
        n_embd=16, n_layer=3, n_head=2, vocab_size=50, n_positions=64, pad_token_id=0, num_labels=2, resid_pdrop=0.5,
        embd_pdrop=0.5, attn_pdrop=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.GPT2ForSequenceClassification(config)
    model = make_tuning("top-layers", layers=1).apply(model, find_anatomy(model))
    frozen = find_frozen(model, find_anatomy(model))
    model.train()
    frozen.hold_still()
    seen: list[torch.Tensor] = []
    model.transformer.h[1].register_forward_hook(lambda *parts: seen.append(_hidden(parts[2])))
    ids = torch.arange(1, 11)[None]
    outputs = [model(input_ids=ids).logits for _ in range(2)]
    assert torch.equal(*seen)
    assert not torch.equal(*outputs)


def _hidden(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output
