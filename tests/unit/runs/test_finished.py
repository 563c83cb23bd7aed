"""A finished run is found finished, on another machine too; another recipe's is refused by what differs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom import files
from fathom.errors import ConfigError
from fathom.recipe import Recipe, dump_recipe, recipe_digest
from fathom.runs.finished import finished_metrics
from fathom.runs.result import METRICS


def recipe(**training: object) -> Recipe:
    return Recipe.model_validate(
        {"model": "minilm", "data": "a.csv", "task": "text-classification", "training": training, "name": "x"}
    )


def finish(folder: Path, done: Recipe) -> None:
    folder.mkdir()
    files.write_atomic(folder / "recipe.yaml", dump_recipe(done))
    files.write_json(folder / METRICS, {"recipe_digest": recipe_digest(done), "steps": 3})


def test_finished_or_not(tmp_path: Path) -> None:
    done = recipe(precision="bf16", learning_rate=1e-3)
    assert finished_metrics(tmp_path / "run", done, done) is None
    finish(tmp_path / "run", done)
    assert finished_metrics(tmp_path / "run", done, done) == {"recipe_digest": recipe_digest(done), "steps": 3}


def test_auto_meant_something_else_on_the_other_machine(tmp_path: Path) -> None:
    finish(tmp_path / "run", recipe(precision="bf16"))
    here = recipe(precision="fp32")
    assert finished_metrics(tmp_path / "run", here, recipe(precision="auto")) is not None
    with pytest.raises(ConfigError, match=r"training.precision: 'bf16' there, 'fp32' here"):
        finished_metrics(tmp_path / "run", here, here)


def test_every_difference_is_named(tmp_path: Path) -> None:
    finish(tmp_path / "run", recipe(precision="bf16", epochs=3.0))
    with pytest.raises(ConfigError, match="another recipe") as caught:
        finished_metrics(tmp_path / "run", recipe(precision="fp32", epochs=5.0, seed=9), recipe(epochs=5.0, seed=9))
    text = str(caught.value)
    assert "training.epochs: 3.0 there, 5.0 here" in text
    assert "training.seed: 7 there, 9 here" in text
    assert "precision" not in text


def test_a_run_of_an_older_version_that_lacks_a_key_is_finished_too(tmp_path: Path) -> None:
    done = recipe(precision="fp32")
    finish(tmp_path / "run", done)
    files.write_json(tmp_path / "run" / METRICS, {"recipe_digest": "of an older version", "steps": 3})
    assert finished_metrics(tmp_path / "run", done, done) is not None
