"""Runs of the matrix that have ended: the model in memory beside the saved one, and their answers compared."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import fathom
from architecture import source
from fathom import catalog
from fathom.model.folder import open_folder
from fathom.model.reload import answer_of
from fathom.recipe import Recipe
from fathom.runs import finish
from fathom.runs.prepare import PreparedModel
from fathom.runs.prepared import PreparedData
from fathom.serving.generate.generator import Generator
from fathom.serving.predictor import Predictor
from matrix_for_tests import FIXTURES

TOLERANCE = 1e-5


class Trained(NamedTuple):
    """A run that has ended, with its model still in memory."""

    recipe: Recipe
    folder: Path
    data: PreparedData
    prepared: PreparedModel


def matrix_page() -> Any:
    """Return the module that writes the page of the matrix."""
    spec = importlib.util.spec_from_file_location("generate_matrix", source.ROOT / "docs" / "generate_matrix.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train_kept(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Train, and keep what is in memory at the end."""
    kept: list[tuple[PreparedData, PreparedModel]] = []
    save = vars(finish)["_save"]

    def keeping(recipe: Recipe, data: PreparedData, prepared: PreparedModel, place: Any) -> None:
        kept.append((data, prepared))
        save(recipe, data, prepared, place)

    monkeypatch.setattr(finish, "_save", keeping)
    folder = fathom.train(recipe).folder
    return Trained(recipe, folder / "model", *kept[0])


def logits(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Return what a model finds of inputs, of real tokens only."""
    with torch.inference_mode():
        found = answer_of(model.eval()(**inputs))
    mask = inputs.get("attention_mask")
    return found[mask.bool()] if mask is not None and found.dim() == 3 and mask.shape == found.shape[:2] else found


def in_memory(task: str, run: Trained) -> Any:
    """Return the trained model, ready to answer."""
    info = open_folder(run.folder).info
    if FIXTURES[task].writes:
        return Generator(run.prepared.model, run.data.tokenizer, info)
    return Predictor(run.prepared.model, run.data.task, info)


def reopened(folder: Path, model: Any) -> Predictor:
    """Return a predictor of a folder whose model has been loaded already."""
    opened = open_folder(folder)
    part = catalog.load("task", opened.info["task"]["kind"])()
    return Predictor(model, part.reopen(opened.info["task"], part.load_tokenizer(str(opened.path))), opened.info)


def require_alike(found: Any, wanted: Any, path: str = "", tolerance: float = TOLERANCE) -> None:
    """Require equal answers, numbers within a tolerance."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), path
        for key, value in wanted.items():
            require_alike(found[key], value, f"{path}.{key}", tolerance)
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted), path
        for place, value in enumerate(wanted):
            require_alike(found[place], value, f"{path}[{place}]", tolerance)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=tolerance, abs=tolerance), path
    else:
        assert found == wanted, path


def compared_inputs(run: Trained) -> dict[str, Tensor]:
    """Return the inputs on which a run compares its saved model with the one in memory."""
    found: dict[str, Tensor] = vars(finish)["_compared_inputs"](run.data, run.prepared)
    return found
