"""Every optimizer trains a model with a recipe's defaults, and stopped and run again ends bit for bit the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import fathom
from fathom import catalog
from fathom.errors import ConfigError
from fathom.runs.keeper import RunKeeper
from fathom.training import loop
from runs_for_tests import make_model, make_recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("name", catalog.names("optimizer"))
def test_stopped_and_run_again_is_the_same_run(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "adam-8bit":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    edits = (f"training.optimizer={name}", "training.save_steps=2", "training.max_steps=4")
    recipe = make_recipe(model, tmp_path, "single", *edits)
    whole = tmp_path / "whole"
    fathom.train(recipe.model_copy(update={"output": str(whole)}))
    again = recipe.model_copy(update={"output": str(tmp_path / "again")})
    with monkeypatch.context() as patch:
        patch.setattr(loop, "compute_gradient", _stops_at(3))
        with pytest.raises(KeyboardInterrupt):
            fathom.train(again)
    fathom.train(again)
    wanted, found = (_tensors(folder / "checkpoints" / "step-4") for folder in (whole, tmp_path / "again"))
    assert wanted.keys() == found.keys()
    assert [key for key in wanted if not torch.equal(wanted[key], found[key])] == []
    start = _tensors(whole / "checkpoints" / "step-2")
    assert any(not torch.equal(start[key], wanted[key]) for key in wanted if key.startswith("model/"))


def test_a_run_under_which_other_parameters_learned_is_refused_in_words(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one begun by an older version under which a part of the model was frozen."""
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    recipe = make_recipe(model, tmp_path, "single", "training.save_steps=2", "training.max_steps=4", "tuning=lora")
    begun = recipe.model_copy(update={"output": str(tmp_path / "begun")})
    with monkeypatch.context() as patch:
        patch.setattr(loop, "compute_gradient", _stops_at(3))
        patch.setattr(RunKeeper, "_weights", _without_the_first)
        with pytest.raises(KeyboardInterrupt):
            fathom.train(begun)
    with pytest.raises(ConfigError, match="begun by a version of Fathom that trained others") as caught:
        fathom.train(begun)
    assert "another output" in str(caught.value.mend)


def _without_the_first(keeper: RunKeeper) -> dict[str, torch.Tensor]:
    slots = list(keeper.parameters.slots.items())[1:]
    return {f"model/{name}": slot.parameter.data for name, slot in slots}


def _stops_at(step: int) -> Any:
    real = loop.compute_gradient

    def compute(work: Any, rows: Any, at: int) -> Any:
        if at == step:
            raise KeyboardInterrupt
        return real(work, rows, at)

    return compute


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        found |= load_file(path)
    return found
