"""Bottleneck adapters above others: what they compute, what learns, what is saved, and others put below."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fathom.errors import ConfigError, ModelError
from fathom.model.anatomy import find_anatomy
from fathom.model.bottleneck import Bottleneck
from fathom.model.folder import open_folder
from fathom.model.load import load_model
from fathom.model.save import save_model
from fathom.runs.merge import merge
from fathom.runs.predict import predict
from fathom.runs.train import train
from fathom.training.checkpoint import check_resumable
from fathom.tuning.adapter import Adapter
from folders_for_tests import Saved, make_base, make_saved
from runs_for_tests import make_model, make_recipe
from tokenizers_for_tests import tokenizer_of

LOWER = {"kind": "token-classification", "placement": "houlsby", "size": 3, "activation": "tanh", "scale": 2.0}
"""A language's, in these tests: of another task, size and placement than those above."""


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return {
        name.replace(".base_layer.adapter_", ".adapter_"): tensor
        for name, tensor in load_file(str(folder / "adapter_model.safetensors")).items()
        if ".adapter_" in name
    }


def both_of(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of the upper and of the lower adapters in a folder that holds both."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["format"] == 2
    saved = load_file(str(folder / "adapter_model.safetensors"))
    upper = {place["at"] for place in config["adapters"]}
    found: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    for name, tensor in saved.items():
        at, mark, rest = name.partition(".adapter_")
        if mark:
            found[at not in upper][f"{at.removesuffix('.base_layer')}.adapter_{rest}"] = tensor
    return found


def logits(folder: Path, saved: Saved) -> Tensor:
    model: Any = open_folder(folder).load_model(saved.auto_class)
    with torch.no_grad():
        found: Tensor = model(**saved.inputs).logits
    return found


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_upper_adapters_read_what_the_lower_make_and_learn_alone(family: str, tmp_path: Path) -> None:
    lower = make_saved(tmp_path / "lower", "adapter", family=family, **LOWER)
    upper = make_saved(tmp_path / "upper", "adapter", family=family, size=4, above=str(lower.folder))
    ours, theirs = both_of(upper.folder)
    assert same(theirs, tensors_of(lower.folder)) and len(ours) == 8
    assert all(tensor.abs().max() > 0 for tensor in ours.values())
    model: Any = open_folder(upper.folder).load_model(upper.auto_class)
    torch.testing.assert_close(logits(upper.folder, upper), upper.logits)
    stacked = [module for module in model.modules() if isinstance(module, Bottleneck)]
    two = [module for module in stacked if isinstance(module.base_layer, Bottleneck)]
    assert (len(stacked), len(two)) == (6, 2)  # of two blocks, behind attention and feed-forward, and above the latter
    outer, inner = two[0], two[0].base_layer
    read = torch.randn(5, 64 if family == "gpt2" else 32)

    def adapter(one: Any, hidden: Tensor, activation: Any) -> Tensor:
        narrow = activation(hidden @ one.adapter_down.weight.T + one.adapter_down.bias)
        return narrow @ one.adapter_up.weight.T + one.adapter_up.bias

    with torch.no_grad():
        below = inner.base_layer(read)
        below = below + 2.0 * adapter(inner, below, torch.tanh)
        torch.testing.assert_close(outer(read), below + adapter(outer, below, torch.relu))


def test_adapters_that_learnt_a_language_lose_their_head_below_a_task(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    model = load_model(str(base), "AutoModelForMaskedLM", {}, seed=1)
    tuned = Adapter(size=3).apply(model, find_anatomy(model))
    for name, tensor in tuned.named_parameters():
        if ".adapter_" in name:
            tensor.data.normal_(std=0.1)
    info = {
        "task": {"kind": "masked-lm"},
        "base_model": str(base),
        "auto_class": "AutoModelForMaskedLM",
        "max_length": 24,
    }
    save_model(tuned, tokenizer_of("bpe"), tmp_path / "language", info)
    upper = make_saved(tmp_path / "upper", "adapter", size=4, above=str(tmp_path / "language"))
    assert same(both_of(upper.folder)[1], tensors_of(tmp_path / "language"))
    assert not any("predictions" in name for name in load_file(str(upper.folder / "adapter_model.safetensors")))
    torch.testing.assert_close(logits(upper.folder, upper), upper.logits)


def test_others_are_put_below_and_the_first_again(tmp_path: Path) -> None:
    lower = make_saved(tmp_path / "lower", "adapter", **LOWER)
    other = make_saved(tmp_path / "other", "adapter", **{**LOWER, "size": 5, "placement": "pfeiffer"})
    upper = make_saved(tmp_path / "upper", "adapter", size=4, above=str(lower.folder))
    new, again = tmp_path / "new", tmp_path / "again"
    merge(upper.folder, new, above=other.folder)
    assert same(both_of(new)[0], both_of(upper.folder)[0])
    assert same(both_of(new)[1], tensors_of(other.folder))
    assert not torch.allclose(logits(new, upper), upper.logits, atol=1e-4)
    merge(new, again, above=lower.folder)
    torch.testing.assert_close(logits(again, upper), upper.logits)
    info = open_folder(again).info
    assert [step["step"] for step in info["lineage"]] == ["train", "stack", "stack"]
    assert "metrics" not in info or not info["metrics"]
    alone = make_saved(tmp_path / "alone", "adapter", size=4)
    merge(alone.folder, tmp_path / "above", above=lower.folder)
    assert same(both_of(tmp_path / "above")[0], tensors_of(alone.folder))


def test_what_cannot_stand_below_is_refused(tmp_path: Path) -> None:
    lower = make_saved(tmp_path / "lower", "adapter", **LOWER)
    upper = make_saved(tmp_path / "upper", "adapter", size=4, above=str(lower.folder))
    lora = make_saved(tmp_path / "lora", "lora")
    with pytest.raises(ModelError, match="holds no bottleneck adapters"):
        make_saved(tmp_path / "a", "adapter", above=str(lora.folder))
    with pytest.raises(ModelError, match="stand above others already"):
        make_saved(tmp_path / "b", "adapter", above=str(upper.folder))
    with pytest.raises(ModelError, match="do not fit a GPT2"):
        make_saved(tmp_path / "c", "adapter", family="gpt2", above=str(lower.folder))
    with pytest.raises(ModelError, match="holds no bottleneck adapters"):
        merge(lora.folder, tmp_path / "new", above=lower.folder)
    with pytest.raises(ConfigError, match="one adapter stands above another"):
        merge([upper.folder, upper.folder], tmp_path / "new", above=lower.folder)
    assert not (tmp_path / "new").exists()


def test_a_run_above_the_adapters_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    base = make_model(tmp_path / "base")
    for name in ("tags", "task"):
        (tmp_path / name).mkdir()
    adapter = "tuning={kind: adapter, size: 4}"
    below = train(make_recipe(base, tmp_path / "tags", "tags", adapter)).folder
    edits = (adapter, f"tuning.above={below}", "training.verify_reload=true")
    run = train(make_recipe(base, tmp_path / "task", "single", *edits))
    assert same(both_of(run.folder / "model")[1], tensors_of(below / "model"))
    assert predict(run.folder, ["the thing1 is red"])[0]["label"] in ("warm", "cold")
    plain = train(make_recipe(base, tmp_path / "task", "single", adapter, f"output={tmp_path / 'plain'}"))
    assert run.metrics["parameters"]["trainable"] == plain.metrics["parameters"]["trainable"]
    changed = make_model(tmp_path / "changed")
    body = load_file(str(changed / "model.safetensors"))
    save_file(
        {name: tensor + 1e-3 for name, tensor in body.items()}, str(changed / "model.safetensors"), {"format": "pt"}
    )
    facts = {"above": {"adapter_model.safetensors": "1"}}
    with pytest.raises(ConfigError, match="the adapters below are not those the run began with"):
        check_resumable(facts, {"above": {"adapter_model.safetensors": "2"}})
    with pytest.raises(ModelError, match="over another base model"):
        train(make_recipe(changed, tmp_path / "task", "single", *edits, f"output={tmp_path / 'refused'}"))
