"""Parts that learn in turn: what plain PyTorch does that freezes and joins by hand, and no backward pass below."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fathom
from fathom.model.anatomy import find_anatomy
from fathom.model.compute import Compute
from fathom.model.packing import pack_model
from fathom.model.parameters import FlatParameters, group_parameters
from fathom.training.loop import Loop
from fathom.training.optimizers.base import LiveOptimizer
from fathom.training.optimizers.staged import StagedOptimizer, open_optimizer
from fathom.training.settings import Training
from fathom.tuning.auto_freezing import Freezing, first_unsettled
from fathom.tuning.stages import Stages
from optimizers_for_tests import make_optimizer
from runs_for_tests import make_model as make_base
from runs_for_tests import make_recipe
from strategies_for_tests import make_batch, make_model, make_tuning, mean_square

STEPS = 8
RATE = 1e-2


class Bed:
    """A tiny BERT as the loop trains it: packed, flat, in stages."""

    def __init__(self, kind: str, optimizer: str = "adamw", family: str = "bert", **options: Any) -> None:
        self.tuning = make_tuning(kind, **options)
        self.model = self.tuning.apply(make_model(family), find_anatomy(make_model(family))).train()
        anatomy = find_anatomy(self.model)
        stages = self.tuning.stages(self.model, anatomy)
        assert stages is not None
        self.stages: Stages = stages
        named, keys = group_parameters(
            self.model, self.tuning.learning_rate_scales(self.model, anatomy), self.stages.by_name
        )
        self.packed = pack_model(self.model)
        self.flat = FlatParameters(named, keys)
        self.compute = Compute(self.model, self.flat, [block.path for block in anatomy.blocks])
        self.blocks = [self.model.get_submodule(block.path) for block in anatomy.blocks]
        settings = Training(optimizer=make_optimizer({"kind": optimizer}), precision="fp32", weight_decay=0.1)
        places = {name: anatomy.component_of(name) for name in self.flat.slots}
        self.live: LiveOptimizer = open_optimizer(settings.optimizer, self.flat, settings, places)
        self.batch = make_batch(family)

    def gradient(self, lowest: int) -> None:
        self.flat.let_learn(lowest)
        self.flat.begin_step(self.compute.direct)
        self.packed.prepare(self.batch["attention_mask"])
        mean_square(self.model(**self.batch).logits, self.batch).backward()
        self.flat.end_step()

    def step(self, step: int) -> int:
        lowest = self.stages.lowest(step, STEPS)
        self.gradient(lowest)
        self.live.step(RATE, 1.0)
        self.stages.after_step(self.flat.stage_norms(), step + 1, STEPS)
        return lowest


def test_blocks_join_as_they_do_in_plain_torch() -> None:
    bed, model = Bed("gradual-unfreezing", until=0.75), make_model("bert").train()
    by_name, named = bed.stages.by_name, dict(model.named_parameters())
    optimizer, joined, lows = None, math.inf, []
    for step in range(STEPS):
        lowest = bed.step(step)
        lows.append(lowest)
        new = [named[name] for name in named if lowest <= by_name[name] < joined]
        for name, tensor in named.items():
            tensor.requires_grad_(by_name[name] >= lowest)
        groups = [
            {"params": [tensor for tensor in new if (tensor.dim() > 1) == matrix], "weight_decay": 0.1 * matrix}
            for matrix in (True, False)
        ]
        if optimizer is None:
            optimizer = torch.optim.AdamW(groups, lr=RATE)
        elif new:
            for group in groups:
                optimizer.add_param_group(group)
        joined = lowest
        mean_square(model(**bed.batch).logits, bed.batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert lows == [4, 4, 3, 2, 2, 1, 0, 0]
    for name, tensor in bed.model.named_parameters():
        if "key.bias" not in name:  # attention is blind to it: its gradient is rounding, which Adam makes large
            torch.testing.assert_close(tensor, named[name], atol=2e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "lion", "muon", "sgd", "rmsprop"])
def test_what_does_not_learn_has_no_update_no_moments_and_no_decay(optimizer: str) -> None:
    bed = Bed("gradual-unfreezing", optimizer, until=1.0)
    before = {name: slot.parameter.detach().clone() for name, slot in bed.flat.slots.items()}
    for step in range(4):
        lowest = bed.step(step)
        low = {name for name in bed.flat.slots if bed.stages.by_name[name] < lowest}
        assert low
        for name in low:
            slot = bed.flat.slots[name]
            assert torch.equal(slot.parameter, before[name]), name
            assert not bool(bed.flat.gradient(slot).any()), name
            assert not slot.parameter.requires_grad
        kept = {name.partition("/")[2].rpartition("/")[0] for name in bed.live.state_tensors()}
        assert not low & kept
    bed.flat.release()
    assert all(slot.parameter.requires_grad for slot in bed.flat.slots.values())


@pytest.mark.parametrize("family", ["bert", "gpt2", "qwen3", "modernbert"])
def test_nothing_below_the_lowest_part_has_a_backward_pass(family: str) -> None:
    bed = Bed("gradual-unfreezing", family=family)
    seen: list[bool] = []
    for block in bed.blocks:
        block.register_forward_hook(lambda _, __, output: seen.append((output if isinstance(output, Tensor) else output[0]).requires_grad))  # fmt: skip  # noqa: E501
    for lowest, expected in ((4, [False] * 3), (3, [False, False, True]), (1, [True] * 3)):
        seen.clear()
        bed.gradient(lowest)
        assert seen == expected


def test_a_stage_has_the_gradient_it_has_when_all_learn() -> None:
    whole, part = Bed("gradual-unfreezing"), Bed("gradual-unfreezing")
    whole.gradient(0)
    part.gradient(0)
    part.gradient(2)
    for name, slot in part.flat.slots.items():
        expected = whole.flat.gradient(whole.flat.slots[name]) if part.stages.by_name[name] >= 2 else 0.0
        torch.testing.assert_close(part.flat.gradient(slot), torch.zeros_like(slot.parameter) + expected)
    norms = part.flat.stage_norms()
    assert set(norms) == {2, 3, 4}
    assert math.hypot(*norms.values()) == pytest.approx(float(part.flat.norm()), rel=1e-6)


def test_a_tied_head_joins_with_the_embeddings() -> None:
    import transformers

    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=50))
    tuning = make_tuning("gradual-unfreezing")
    stages = tuning.stages(tuning.apply(model, find_anatomy(model)), find_anatomy(model))
    assert stages is not None
    assert stages.by_name["transformer.wte.weight"] == 0
    assert stages.by_name["transformer.ln_f.weight"] == 3


def test_encoder_and_decoder_join_from_the_output_down() -> None:
    import transformers

    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 50}
    model: nn.Module = transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes))
    stages = make_tuning("gradual-unfreezing").stages(model, find_anatomy(model))
    assert stages is not None
    assert stages.by_name["encoder.block.0.layer.0.SelfAttention.q.weight"] == 1
    assert stages.by_name["decoder.block.1.layer.0.SelfAttention.q.weight"] == 4
    assert list(stages.labels) == ["embeddings", "block 0", "block 1", "block 2", "block 3", "head"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({0: 0.1, 1: 0.2, 2: 0.9, 3: 0.8, 4: 0.5}, 2),  # the median is 0.5
        ({0: 0.6, 1: 0.1, 2: 0.1, 3: 0.8, 4: 0.5}, 0),  # what is lowest still changes
        ({0: math.nan, 1: math.nan}, 0),
        ({0: 0.1, 1: 0.1, 2: 0.1, 3: 0.1, 4: 0.1}, 3),  # the top block and the head never stop
        ({1: 0.1, 2: 0.7, 3: 0.8, 4: 0.5}, 2),  # frozen embeddings have no gradient
    ],
)
def test_the_rule_of_autofreeze(changes: dict[int, float], expected: int) -> None:
    assert first_unsettled(changes, 50.0, min(changes), 2) == expected


def test_norms_of_an_interval_decide() -> None:
    bed = Bed("auto-freezing", intervals=4)
    freezing = bed.stages
    assert isinstance(freezing, Freezing)
    steady, growing = 1.0, iter([1.0, 1.0, 2.0, 2.0])
    for step in range(4):
        freezing.after_step({0: steady, 1: steady, 2: next(growing), 3: 5.0 + step, 4: 5.0 + step}, step + 1, 8)
        assert freezing.lowest(step + 1, 8) == (2 if step == 3 else 0), "decided at the end of the second interval"


def test_it_says_which_part_stopped_and_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    base = make_base(tmp_path / "base")
    edits = ["tuning={kind: auto-freezing, intervals: 4, percentile: 100}", "training.max_steps=12"]
    lows: list[int] = []
    original = Loop._step

    def stepped(self: Loop, state: Any) -> Any:
        result = original(self, state)
        assert isinstance(self.optimizer, StagedOptimizer)
        lows.append(self.work.parameters.lowest_stage)
        return result

    monkeypatch.setattr(Loop, "_step", stepped)
    folder = fathom.train(make_recipe(base, tmp_path, "single", *edits)).folder
    assert lows == [0] * 6 + [2] * 6
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    events = [(line["step"], line["event"]) for line in lines if "event" in line]
    assert events == [(1, "learning: embeddings to head"), (7, "embeddings, block 0: learning stopped")]
