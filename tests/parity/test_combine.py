"""LoRA adapters added up with weights: the updates are summed, the heads averaged, nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fathom.errors import ModelError
from fathom.model.combine import combine
from folders_for_tests import Saved, make_saved

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")


def saved_pair(folder: Path, family: str, **second: Any) -> list[Saved]:
    """Save two adapters, of different ranks and so of different weights, beside one base model."""
    return [
        make_saved(folder / "first", "lora", family=family, rank=2, alpha=8),
        make_saved(folder / "second", **{"tuning": "lora", "family": family, "rank": 3, "alpha": 3, **second}),
    ]


def tensors_of(folder: Path) -> dict[str, Tensor]:
    prefix = "base_model.model."
    found = load_file(str(folder / "adapter_model.safetensors"))
    return {name.removeprefix(prefix): tensor for name, tensor in found.items()}


def updates_of(folder: Path) -> dict[str, Tensor]:
    """Return what an adapter adds to each weight, by LoRA's formula."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    tensors, scale = tensors_of(folder), config["lora_alpha"] / config["r"]
    found = {}
    for name, down in tensors.items():
        if name.endswith(".lora_A.weight"):
            change = scale * tensors[name.replace("lora_A", "lora_B")] @ down
            found[name.replace("lora_A.", "")] = change.T if config["fan_in_fan_out"] else change
    return found


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (1.0, 1.0), (2.0, -0.5)])
def test_updates_are_summed_and_heads_averaged(weights: tuple[float, float], family: str, tmp_path: Path) -> None:
    pair = saved_pair(tmp_path, family)
    folders = [item.folder for item in pair]
    assert combine(folders, weights, tmp_path / "both", pair[0].auto_class) < 1e-4
    whole = load_file(str(tmp_path / "both" / "model.safetensors"))
    base = load_file(str(pair[0].base / "model.safetensors"))
    updates = [updates_of(folder) for folder in folders]
    heads = [
        {name: tensor for name, tensor in tensors_of(folder).items() if ".lora_" not in name} for folder in folders
    ]
    assert updates[0]
    assert heads[0]
    for name, tensor in whole.items():
        if name in heads[0]:
            shares = [weight / sum(weights) for weight in weights]
            expected = shares[0] * heads[0][name] + shares[1] * heads[1][name]
        else:
            expected = base[name.partition(".")[2]].clone()
            if name in updates[0]:
                expected += weights[0] * updates[0][name] + weights[1] * updates[1][name]
        torch.testing.assert_close(tensor, expected, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"tuning": "dora"}, "only LoRA adapters that leave their base"),
        ({"initialization": "pissa"}, "only LoRA adapters that leave their base"),
        ({"kind": "token-classification"}, "another task or other labels"),
    ],
)
def test_what_does_not_belong_together_is_refused(second: dict[str, Any], message: str, tmp_path: Path) -> None:
    pair = saved_pair(tmp_path, "bert", **second)
    with pytest.raises(ModelError, match=message):
        combine([item.folder for item in pair], [0.5, 0.5], tmp_path / "both", pair[0].auto_class)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    pair = saved_pair(tmp_path, "bert")
    folders = [item.folder for item in pair]
    for weights, message in (([1.0], "2 adapters and 1 weights"), ([1.0, -1.0], "the weights sum to 0")):
        with pytest.raises(ModelError, match=message):
            combine(folders, weights, tmp_path / "both", pair[0].auto_class)
