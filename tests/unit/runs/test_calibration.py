"""A machine is probed once; finished runs correct the forecast; a damaged cache costs nothing but accuracy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fathom.device import probe_machine
from fathom.model.steptime import StepWork
from fathom.runs import calibration
from fathom.runs.calibration import Kind, forecast_time, known_steps, machine_key, remember
from fathom.runs.step_fit import PRIOR

WORK = StepWork(1e9, 1e8, 512.0, 4.0)
KIND = Kind("m1", "fp32", True, "bert 16", "full")
BEFORE = float(PRIOR @ [1.0, 0.0, 0.1, 4.0, 0.0, 1.0])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(calibration, "_probe_products", lambda *_: 1e9)
    monkeypatch.setattr(calibration, "_probe_memory", lambda *_: 1e9)
    return tmp_path / "cache"


def test_without_history_the_prior_counts() -> None:
    found = forecast_time(WORK, 16, KIND, "cpu")
    assert found.runs == 0
    assert found.step_seconds == pytest.approx(BEFORE)
    assert "a probe of this machine" in found.to_text(100)


def test_finished_runs_correct_the_forecast() -> None:
    for seconds in (2.9, 3.1, 3.0):
        remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 100, 100 * seconds)
    found = forecast_time(WORK, 16, KIND, "cpu")
    assert found.runs == 3
    assert found.step_seconds == pytest.approx(3.0, rel=0.1)
    assert "3 earlier runs" in found.to_text()


def test_runs_of_other_kinds_count_those_of_other_machines_never() -> None:
    other = Kind("m1", "bf16", True, "gpt2 768", "lora")
    remember(forecast_time(WORK, 16, other, "cpu"), other, 100, 500.0)
    assert forecast_time(WORK, 16, KIND, "cpu").runs == 1
    assert known_steps(replace(KIND, machine="m2")) == []
    assert known_steps(replace(KIND, packed=False)) == []
    [(step, seconds)] = known_steps(KIND)
    assert (step.work, step.precision, step.tuning, seconds) == (WORK, "bf16", "lora", 5.0)


def test_a_short_run_tells_nothing() -> None:
    remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 5, 10.0)
    assert known_steps(KIND) == []


def test_the_history_is_bounded(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "RUNS_KEPT", 3)
    for number in range(5):
        remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 100, 100.0 + number)
    assert len((own_cache / calibration.HISTORY).read_text().splitlines()) == 3


@pytest.mark.parametrize("text", ["", "damaged\n", "[]\n", "{}\n", '{"machine": "m1", "packed": true, "flops": "x"}\n'])
def test_a_damaged_cache_is_no_reason_to_fail(own_cache: Path, text: str) -> None:
    own_cache.mkdir()
    (own_cache / calibration.HISTORY).write_text(text)
    (own_cache / calibration.RATES).write_text(text)
    assert forecast_time(WORK, 16, KIND, "cpu").runs == 0


@pytest.mark.parametrize("key", ["flops", "bytes_per_s", "step_seconds"])
@pytest.mark.parametrize("value", [None, "x", -1.0, float("nan"), float("inf"), []])
def test_a_damaged_line_is_passed_over(own_cache: Path, key: str, value: object) -> None:
    for _ in range(2):
        remember(forecast_time(WORK, 16, KIND, "cpu"), KIND, 100, 100.0)
    path = own_cache / calibration.HISTORY
    first, second = path.read_text().splitlines()
    path.write_text(f"{json.dumps(json.loads(first) | {key: value})}\n{second}\n")
    assert len(known_steps(KIND)) == 1


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
        assert told.step_seconds <= (4.001 if number < 3 else 50) * alone
    assert told.step_seconds > 25 * alone
