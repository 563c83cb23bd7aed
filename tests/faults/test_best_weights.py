"""The best weights of a run are damaged on disk before its end: told, the last ones are saved, and it says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

import fathom
from fathom.runs.keeper import RunKeeper
from fathom.training.loop import LoopState
from runs_for_tests import make_model, make_recipe


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["flipped", "cut", "missing"])
def test_the_run_says_which_weights_it_saved(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    keep = RunKeeper.keep_best

    def keep_the_first_only(keeper: RunKeeper, state: LoopState) -> None:
        keep(keeper, state)
        weights = keeper.folder / "checkpoints" / f"best-{state.best_step}" / "model.safetensors"
        if how == "missing":
            weights.unlink()
        elif how == "cut":
            weights.write_bytes(weights.read_bytes()[:-1])
        else:
            damage(weights)

    model = make_model(tmp_path / "tiny")
    # a rate that ruins the model, so that the first evaluation is the best
    recipe = make_recipe(model, tmp_path, "single", "training.learning_rate=10", "training.eval_steps=1")
    whole = fathom.train(recipe).metrics
    assert whole["model_step"] == whole["best_step"] != whole["steps"] == 8
    assert "damaged" not in (tmp_path / "run" / "report.md").read_text()
    monkeypatch.setattr(RunKeeper, "keep_best", keep_the_first_only)
    capsys.readouterr()
    result = fathom.train(recipe.model_copy(update={"output": str(tmp_path / "damaged")}))
    assert result.metrics["best_step"] == whole["best_step"]
    assert result.metrics["model_step"] == 8
    said = capsys.readouterr().err
    assert "the best weights cannot be used; the last ones are kept" in said
    report = (result.folder / "report.md").read_text()
    assert f"The best weights (step {whole['best_step']}) were damaged on disk; those of step 8 are saved." in report
    assert json.loads((result.folder / "metrics.json").read_text())["model_step"] == 8
    last = load_file(result.folder / "checkpoints" / "step-8" / "model.safetensors")
    saved = load_file(result.folder / "model" / "model.safetensors")
    name = "classifier.weight"
    assert saved[name].equal(last[f"model/{name}"])
