"""A machine is probed once; finished runs correct the forecast; a damaged cache costs nothing but accuracy."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.device import probe_machine
from fathom.model.steptime import StepWork
from fathom.runs import calibration
from fathom.runs.calibration import DEFAULT_EFFICIENCY, Kind, efficiencies, forecast_time, machine_key, remember

WORK = StepWork(1e9, 1e8, 512.0)
KIND = Kind("m1", "fp32", True, "bert 16 full")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "_probe_products", lambda *_: 1e9)
    monkeypatch.setattr(calibration, "_probe_memory", lambda *_: 1e9)
    return tmp_path / "cache"


def test_without_history_the_default_counts() -> None:
    found = forecast_time(WORK, 16, KIND, "cpu")
    assert (found.runs, found.efficiency) == (0, DEFAULT_EFFICIENCY)
    assert found.step_seconds == pytest.approx(1.1 / DEFAULT_EFFICIENCY)
    assert "a probe of this machine" in found.to_text(100)


def test_finished_runs_correct_the_forecast() -> None:
    for seconds in (2.0, 4.0, 3.0):
        remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 100, 100 * seconds)
    found = forecast_time(WORK, 16, KIND, "cpu")
    assert found.runs == 3
    assert found.step_seconds == pytest.approx(3.0)
    assert "3 earlier runs" in found.to_text()


def test_runs_of_the_same_family_come_first_others_second_other_machines_never() -> None:
    other = Kind("m1", "fp32", True, "gpt2 768 lora")
    remember(forecast_time(WORK, 16, other, "cpu"), other, 100, 500.0)
    assert forecast_time(WORK, 16, KIND, "cpu").step_seconds == pytest.approx(5.0)
    remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 100, 200.0)
    assert forecast_time(WORK, 16, KIND, "cpu").step_seconds == pytest.approx(2.0)
    assert efficiencies(Kind("m2", "fp32", True, "bert 16 full")) == []
    assert efficiencies(Kind("m1", "bf16", True, "bert 16 full")) == []
    assert efficiencies(Kind("m1", "fp32", False, "bert 16 full")) == []


def test_a_short_run_tells_nothing() -> None:
    remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 5, 10.0)
    assert efficiencies(KIND) == []


def test_the_history_is_bounded(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "RUNS_KEPT", 3)
    for number in range(5):
        remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 100, 100.0 + number)
    assert len((own_cache / calibration.HISTORY).read_text().splitlines()) == 3


@pytest.mark.parametrize("text", ["", "damaged\n", "[]\n", '{"efficiency": "x"}\n', '{"efficiency": 0.0}\n'])
def test_a_damaged_cache_is_no_reason_to_fail(own_cache: Path, text: str) -> None:
    own_cache.mkdir()
    (own_cache / calibration.HISTORY).write_text(text)
    (own_cache / calibration.RATES).write_text(text)
    assert forecast_time(WORK, 16, KIND, "cpu").runs == 0


def test_the_machine_is_probed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = forecast_time(WORK, 300, KIND, "cpu")
    monkeypatch.setattr(calibration, "_probe_products", lambda *_: pytest.fail("probed again"))
    assert forecast_time(WORK, 400, KIND, "cpu").rates == first.rates  # both are probed at width 512


def test_a_real_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert calibration._probe_products(64, "fp32", "cpu") > 1e6
    assert calibration._probe_memory("cpu") > 1e6
    assert machine_key(probe_machine()) == machine_key(probe_machine())


def test_one_run_on_a_busy_machine_is_not_believed() -> None:
    alone = forecast_time(WORK, 16, KIND, "cpu").step_seconds
    for number in range(1, 4):
        remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 100, 100 * 50 * alone)
        told = forecast_time(WORK, 16, KIND, "cpu")
        assert told.runs == number
        assert told.step_seconds == pytest.approx((4 if number < 3 else 50) * alone)
