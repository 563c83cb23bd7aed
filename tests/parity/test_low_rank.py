"""A projection together with its low-rank update is what `peft` computes step by step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge

from fathom.model.anatomy import find_anatomy
from fathom.model.compute import Compute
from fathom.model.dropout import DropoutSource
from fathom.model.low_rank import fuse_updates
from fathom.model.parameters import FlatParameters, group_parameters
from fathom.tuning.dora import Dora
from fathom.tuning.lora import Lora
from fathom.tuning.low_rank import LowRank

LENGTHS = (7, 12, 3)
SOURCE = Path(__file__).parents[2] / "src"


def build(tuning: type[LowRank] = Lora, **options: Any) -> nn.Module:
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(1)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, vocab_size=50, num_labels=3,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model: nn.Module = BertForTokenClassification(config).train()
    return stir(tuning(rank=4, **options).apply(model, find_anatomy(model)))


def stir(tuned: nn.Module) -> nn.Module:
    """An update of zero would hide what it is multiplied with, a bias of zero what it is added to."""
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name or name.endswith("base_layer.bias"):
            nn.init.normal_(parameter, std=0.2)
        elif "lora_magnitude_vector" in name:
            parameter.data.mul_(torch.linspace(0.5, 1.5, len(parameter)))
    return tuned


def run(model: nn.Module, *, fused: bool, source: DropoutSource | None = None) -> tuple[Tensor, dict[str, Tensor]]:
    blocks = [block.path for block in find_anatomy(model).blocks]
    named, keys = group_parameters(model)
    flat = FlatParameters(named, keys)
    compute = None
    if fused or source is not None:  # masks are its own
        compute = Compute(model, flat, blocks, dropout=source)
    if fused and compute is not None:
        fuse_updates(model, blocks, compute, source)
    flat.begin_step(set() if compute is None else compute.direct)
    if source is not None:
        source.start(1, 2, 3)
    ids = torch.arange(36).view(3, 12) % 47 + 3
    mask = (torch.arange(12) < torch.tensor(LENGTHS)[:, None]).long()
    logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
    logits.square().mean().backward()
    flat.end_step()
    found = {name: flat.gradient(slot).clone() for name, slot in flat.slots.items()}
    if compute is not None:
        compute.remove()
    return logits.detach(), found


@pytest.mark.parametrize("tuning", [Lora, Dora])
@pytest.mark.parametrize("options", [{}, {"bias": "all"}, {"bias": "lora_only"}, {"dropout": 0.3}, {"rslora": True}])
def test_outputs_and_gradients_are_those_of_peft(tuning: type[LowRank], options: dict[str, Any]) -> None:
    source = DropoutSource() if "dropout" in options else None
    logits, gradients = run(build(tuning, **options), fused=False, source=source)
    ours, found = run(build(tuning, **options), fused=True, source=source)
    torch.testing.assert_close(ours, logits, atol=1e-5, rtol=1e-5)
    assert found.keys() == gradients.keys() and len(found) > 24
    for name, expected in gradients.items():
        torch.testing.assert_close(found[name], expected, atol=1e-6, rtol=1e-4, msg=name)


def test_dropout_is_for_training_only() -> None:
    model = build(dropout=0.5).eval()
    first, _ = run(model, fused=True, source=DropoutSource())
    second, _ = run(model, fused=False)
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tuning", [Lora, Dora])
def test_what_the_layer_is_asked_besides_it_does_itself(tuning: type[LowRank]) -> None:
    model: Any = build(tuning)
    blocks = [block.path for block in find_anatomy(model).blocks]
    compute = Compute(model, FlatParameters(*group_parameters(model)), blocks)
    inputs = {"input_ids": torch.arange(12)[None] + 3}
    with torch.no_grad():
        own = model(**inputs).logits
        fuse_updates(model, blocks, compute, None)
        torch.testing.assert_close(model(**inputs).logits, own, atol=1e-5, rtol=1e-5)
        with model.disable_adapter():
            without = model(**inputs).logits
        if tuning is Dora:  # merging makes a new tensor of the frozen weight, which `compute` does not read
            compute.remove()
        model.merge_adapter()
        torch.testing.assert_close(model(**inputs).logits, own, atol=1e-5, rtol=1e-5)
        model.unmerge_adapter()
    assert not torch.allclose(without, own, atol=1e-3)


def test_a_model_without_updates_needs_no_peft() -> None:
    code = (
        "import sys\n"
        "from torch import nn\n"
        "from fathom.model.low_rank import fuse_updates\n"
        "fuse_updates(nn.Sequential(nn.Linear(2, 2)), ['0'], None, None)\n"
        "sys.exit('peft' in sys.modules)"
    )
    path = os.pathsep.join([str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, "PYTHONPATH": path})
    assert ended.returncode == 0


@pytest.mark.parametrize("tuning", [Lora, Dora])
def test_everything_that_learns_is_told_when_its_gradient_is_whole(tuning: type[LowRank]) -> None:
    """A step that updates on the way back waits for all of a part."""
    model = build(tuning, bias="all")
    blocks = [block.path for block in find_anatomy(model).blocks]
    flat = FlatParameters(*group_parameters(model))
    compute = Compute(model, flat, blocks)
    fuse_updates(model, blocks, compute, None)
    flat.begin_step(compute.direct)
    loss = model(input_ids=torch.arange(12)[None] + 3).logits.square().mean()
    whole: set[str] = set()
    for slot in flat.slots.values():
        get_gradient_edge(slot.parameter).node.register_hook(lambda *_, name=slot.name: whole.add(name))
    loss.backward()
    assert whole == set(flat.slots)
