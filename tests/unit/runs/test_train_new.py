"""A model that did not exist before its run: trained, saved, loaded by transformers alone, evaluated, tuned again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from fathom.errors import ConfigError
from fathom.recipe import load_recipe
from fathom.runs.evaluate import evaluate
from fathom.runs.train import train
from runs_for_tests import make_model, make_recipe


def new_model(folder: Path, architecture: str, more: str = "") -> str:
    sizes = f"depth: 2, width: 16, heads: 2{more}"
    return f"model={{kind: new, architecture: {architecture}, {sizes}, tokenizer: '{folder}'}}"


@pytest.mark.parametrize("architecture", ["bert", "llama"])
def test_a_new_model_trains_saves_reloads_and_evaluates(architecture: str, tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    recipe = make_recipe(base, tmp_path, "single", new_model(base, architecture), "training.verify_reload=true")
    result = train(recipe)
    folder = result.folder / "model"
    info = json.loads((folder / "fathom.json").read_text(encoding="utf-8"))
    assert info["base_model"] == f"new:{architecture} depth 2"
    assert result.metrics["reload_difference"] < 1e-4
    assert AutoModelForSequenceClassification.from_pretrained(folder).config.model_type == architecture
    scores = evaluate(str(folder), str(tmp_path / "validation.csv"))
    assert scores["accuracy"] == pytest.approx(result.metrics["validation"]["accuracy"])
    assert train(recipe).metrics == result.metrics  # finished, and told so


def test_the_model_of_a_run_is_the_start_of_the_next(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    first = train(make_recipe(base, tmp_path, "single", new_model(base, "bert", ", positions: 32")))
    (tmp_path / "again").mkdir()
    second = train(make_recipe(first.folder / "model", tmp_path / "again", "tags"))
    before = AutoModelForSequenceClassification.from_pretrained(first.folder / "model")
    assert json.loads((second.folder / "model" / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"] == 2
    assert torch.isfinite(torch.tensor(second.metrics["validation"]["loss"]))
    assert before.config.max_position_embeddings == 32
    assert AutoTokenizer.from_pretrained(first.folder / "model").model_max_length == 32


def test_a_window_longer_than_the_positions_is_refused(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    recipe = make_recipe(base, tmp_path, "single", new_model(base, "gpt2", ", positions: 16"), "data.max_length=17")
    with pytest.raises(ConfigError, match="the model takes at most 16 tokens"):
        train(recipe)


def test_the_positions_of_a_new_model_may_be_more_than_the_tokenizer_was_made_for(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    edits = (new_model(base, "bert", ", positions: 100"), "data.max_length=90", "training.max_steps=1")
    assert train(make_recipe(base, tmp_path, "single", *edits)).metrics["steps"] == 1


def test_without_its_tokenizer_nothing_begins(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    make_recipe(base, tmp_path)
    with pytest.raises(ConfigError, match="fathom tokenizer train"):
        load_recipe(tmp_path / "job.yaml", ["model={kind: new, architecture: bert}"])
