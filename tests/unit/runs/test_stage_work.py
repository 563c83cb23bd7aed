"""Time is forecast by what learns in each step, where parts of the model learn in turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.device import probe_machine
from fathom.model.steptime import StepWork
from fathom.recipe import resolve
from fathom.runs.forecast import Forecast, forecast
from fathom.runs.prepare import PreparedModel, prepare_data, prepare_model
from fathom.runs.stage_work import stage_shares
from runs_for_tests import make_model, make_recipe

STEPS = "training.max_steps=12"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def forecast_of(model: Path, folder: Path, tuning: str, *edits: str) -> tuple[Forecast, PreparedModel]:
    recipe = resolve(make_recipe(model, folder, "tags", f"tuning={tuning}", STEPS, *edits), probe_machine())
    data = prepare_data(recipe)
    made = prepare_model(recipe, data, probe_machine())
    return forecast(recipe, data, made), made


def work_of(model: Path, folder: Path, tuning: str, *edits: str) -> StepWork:
    return forecast_of(model, folder, tuning, *edits)[0].time.work


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_stage_counts_by_its_steps(optimizer: str, model: Path, tmp_path: Path) -> None:
    edit = f"training.optimizer={optimizer}"
    found, made = forecast_of(model, tmp_path, "{kind: gradual-unfreezing, until: 0.75}", edit)
    # head, block 1, block 0, embeddings: the last joins at step 9 of 12
    assert stage_shares(made.work, 12) == {3: 3 / 12, 2: 3 / 12, 1: 3 / 12, 0: 3 / 12}
    stages = [
        work_of(model, tmp_path, tuning, edit)
        for tuning in (
            "head",
            "{kind: top-layers, layers: 1}",
            "{kind: top-layers, layers: 2}",
            "full",
        )
    ]
    for name in ("flops", "moved_bytes", "block_passes", "added_operations", "tokens"):
        mean = sum(getattr(work, name) for work in stages) / 4
        assert getattr(found.time.work, name) == pytest.approx(mean), name
    assert found.time.work.flops < stages[-1].flops


def test_the_model_and_the_memory_are_as_before(model: Path, tmp_path: Path) -> None:
    found, made = forecast_of(model, tmp_path, "gradual-unfreezing")
    full, _ = forecast_of(model, tmp_path, "full")
    assert all(slot.parameter.requires_grad for slot in made.work.parameters.slots.values())
    assert found.ledger.trainable == full.ledger.trainable
    assert found.ledger.memory.optimizer == full.ledger.memory.optimizer


def test_what_gradients_decide_counts_as_all_of_it(model: Path, tmp_path: Path) -> None:
    found, made = forecast_of(model, tmp_path, "auto-freezing")
    assert stage_shares(made.work, 12) == {0: 1.0}
    assert found.time.work == work_of(model, tmp_path, "full")


def test_optimizers_that_come_with_the_first_step_are_counted(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fathom.runs import forecast as forecasts

    monkeypatch.setattr(forecasts, "current_memory_bytes", lambda: 10**9)
    monkeypatch.setattr(forecasts, "host_peak", lambda: 10**9)
    recipe = resolve(make_recipe(model, tmp_path, "tags", "tuning=auto-freezing", STEPS), probe_machine())
    data = prepare_data(recipe)
    made = prepare_model(recipe, data, probe_machine())
    there, to_come, half = (forecast(recipe, data, made, optimizer_held=held).ledger.memory for held in (None, 0, 1000))
    assert to_come.optimizer > 1000
    assert to_come.process - there.process == to_come.optimizer
    assert half.process == to_come.process - 1000
