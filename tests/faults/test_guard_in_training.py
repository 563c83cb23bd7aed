"""A gradient that turns NaN in the middle of a real run: that step touches nothing, is told, and the run goes on."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.kill_resume import make_inputs

from fathom.errors import TrainingError
from fathom.recipe import load_recipe
from fathom.training import checkpoint, loop

BAD = 4


@pytest.fixture
def changed_steps(monkeypatch: pytest.MonkeyPatch) -> dict[int, bool]:
    """Record for every step (counted from 0) whether it changed a weight or a moment."""
    changed: dict[int, bool] = {}
    step_of_loop = loop.Loop._step

    def snapshot(running: loop.Loop) -> list[torch.Tensor]:
        moments = running.optimizer.state_tensors()
        return [value.clone() for value in [*running.work.parameters.values, *moments.values()]]

    def watched(running: loop.Loop, state: loop.LoopState) -> Any:
        number, before = state.step, snapshot(running)
        result = step_of_loop(running, state)
        changed[number] = not all(map(torch.equal, before, snapshot(running)))
        return result

    monkeypatch.setattr(loop.Loop, "_step", watched)
    return changed


def make_gradients_bad(monkeypatch: pytest.MonkeyPatch, name: str, first: int, last: int) -> None:
    real = vars(loop)[name]

    def broken(work: Any, rows: Any, step: int) -> Any:
        result = real(work, rows, step)
        if first <= step <= last:
            work.parameters.gradients[0][3] = math.nan
            result = replace(result, grad_norm=work.parameters.norm().item())
        return result

    monkeypatch.setattr(loop, name, broken)


def train(folder: Path, *edits: str) -> Path:
    from fathom.runs.train import train as run

    recipe = load_recipe(make_inputs(folder), ["training.max_steps=9", f"output={folder / 'run'}", *edits])
    return run(recipe).folder


@pytest.mark.filterwarnings("ignore")
def test_a_bad_step_is_skipped_and_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed_steps: dict[int, bool],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    make_gradients_bad(monkeypatch, "compute_gradient", BAD, BAD)
    folder = train(tmp_path, "training.non_finite=skip")
    assert changed_steps == {step: step != BAD for step in range(9)}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    told = [line["event"] for line in lines if "event" in line]
    assert json.loads((folder / "metrics.json").read_text())["skipped_steps"] == 1
    assert "1 step was left out for a bad loss or gradient" in (folder / "report.md").read_text()
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: step 5")]
    assert len(warned) == 1
    assert "train.csv:" in warned[0]
    assert "left out" in warned[0]
    assert len(told) == 1
    assert "step 5: the gradient norm is NaN" in told[0]
    assert "train.csv:" in told[0]
    for step in checkpoint.checkpoint_steps(folder):
        checkpoint.load_checkpoint(folder / "checkpoints" / f"step-{step}")
    logged = {line["step"]: line for line in lines if line["split"] == "train" and "event" not in line}
    assert logged.keys() == {*range(1, 10)}
    assert [step for step, line in logged.items() if "loss" not in line] == [BAD + 1]  # and no 0 in its place
    assert all(line["loss"] > 0 for step, line in logged.items() if step != BAD + 1)


@pytest.mark.filterwarnings("ignore")
def test_a_step_that_is_sound_in_float32_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed_steps: dict[int, bool]
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    make_gradients_bad(monkeypatch, "compute_gradient", BAD, BAD)
    folder = train(tmp_path, "training.non_finite=retry")
    assert changed_steps == dict.fromkeys(range(9), True)
    assert json.loads((folder / "metrics.json").read_text())["skipped_steps"] == 0
    assert "left out" not in (folder / "report.md").read_text()


@pytest.mark.filterwarnings("ignore")
def test_too_many_in_a_row_stop_with_the_checkpoint_before_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed_steps: dict[int, bool]
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    make_gradients_bad(monkeypatch, "compute_gradient", BAD, 99)
    with pytest.raises(TrainingError, match="3 steps in a row"):
        train(tmp_path, "training.non_finite=skip", "training.max_skipped_steps=2")
    loaded = checkpoint.load_latest(tmp_path / "run")
    assert loaded is not None
    assert all(bool(value.isfinite().all()) for value in loaded.tensors.values() if value.is_floating_point())
