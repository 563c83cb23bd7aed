"""The range test: it finds the divergence and a rate that trains, and leaves no weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.errors import ConfigError
from fathom.recipe import load_recipe
from fathom.runs.find_rate import Rising, find_rate
from fathom.runs.find_rate_report import findings, html_report
from fathom.runs.rate_curve import judge_curve, smoothed
from fathom.runs.train import train
from runs_for_tests import make_model, make_recipe


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("rates")
    make_recipe(make_model(folder / "base"), folder)
    return str(folder / "job.yaml")


def trained_loss(job: str, rate: float, folder: Path) -> float:
    """Loss on validation after forty steps at a constant rate."""
    edits = [f"training.learning_rate={rate}", "training.lr_scheduler=constant", "training.warmup_steps=0"]
    edits += ["training.max_steps=40", "training.eval_steps=40", "training.max_grad_norm=0"]
    edits += ["training.optimizer={kind: sgd, momentum: 0}", "training.load_best_model_at_end=false"]
    metrics = train(load_recipe(job, [*edits, f"output={folder}"])).metrics
    loss = metrics["validation"]["loss"]
    return math.inf if loss is None else float(loss)


def test_the_rates_rise_by_the_same_factor() -> None:
    schedule = Rising(first_share=1e-8)
    rates = [schedule.multiplier(step, 0, 200) for step in range(200)]
    assert rates[0] == pytest.approx(1e-8)
    assert rates[-1] == 1.0
    assert np.allclose(np.diff(np.log(rates)), np.log(rates[1] / rates[0]))


def test_it_finds_the_divergence_and_a_rate_that_trains(job: str, tmp_path: Path) -> None:
    found = find_rate(job, ["training.dropout=0"], tmp_path / "out", num_steps=150)
    assert found.diverged_at is not None and found.suggested is not None and found.lowest is not None
    assert len(found.rates) < 150  # it stopped there
    assert found.suggested < found.lowest < found.diverged_at
    assert found.losses[-1] > 1.5 * found.losses[0]
    loss = {}
    for name, rate in (("low", found.suggested / 30), ("good", found.suggested), ("high", found.diverged_at)):
        edits = [f"training.learning_rate={rate}", "training.max_steps=100", "training.load_best_model_at_end=false"]
        made = train(load_recipe(job, [*edits, "training.dropout=0", f"output={tmp_path / name}"]))
        loss[name] = made.metrics["validation"]["loss"]
    assert loss["good"] < 0.9 * min(loss["low"], loss["high"])
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix == ".safetensors"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["rate.json", "report.html", "report.md"]


def test_plain_gradient_descent_diverges_where_it_is_said_to(job: str, tmp_path: Path) -> None:
    edits = ["training.optimizer={kind: sgd, momentum: 0}", "training.max_grad_norm=0", "training.dropout=0"]
    found = find_rate(job, edits, tmp_path / "out", highest=1e4, num_steps=150)
    assert found.diverged_at is not None
    above = trained_loss(job, 10 * found.diverged_at, tmp_path / "above")
    below = trained_loss(job, found.diverged_at / 20, tmp_path / "below")
    assert below < 1.1 * found.losses[0] < above


def test_a_loss_that_becomes_infinite_is_a_divergence(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fathom.training import loop

    true = loop.compute_gradient

    def infinite(work: object, rows: object, step: int) -> object:
        result = true(work, rows, step)  # type: ignore[arg-type]
        return result if step < 30 else type(result)(**{**vars(result), "loss": math.inf})

    monkeypatch.setattr(loop, "compute_gradient", infinite)
    found = find_rate(job, (), tmp_path / "out", num_steps=60)
    assert len(found.rates) == 30
    assert found.diverged_at == pytest.approx(1e-7 * 1e8 ** (30 / 59))


def test_a_gradient_that_is_not_finite_is_a_divergence_at_its_own_rate(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Updates in the backward pass find it in the middle of the step."""
    from fathom.training import in_backward

    true, calls = in_backward.BackwardUpdates.run, []

    def infinite(updates: in_backward.BackwardUpdates, loss: Tensor, learning_rate: float) -> float:
        calls.append(learning_rate)
        if len(calls) == 31:
            raise in_backward.NotFinite("a.weight")
        return true(updates, loss, learning_rate)

    monkeypatch.setattr(in_backward.BackwardUpdates, "run", infinite)
    edits = ["training.optimizer_in_backward=true", "training.max_grad_norm=0"]
    found = find_rate(job, edits, tmp_path / "out", num_steps=60)
    assert len(found.rates) == 30
    assert found.diverged_at == pytest.approx(calls[-1])
    assert calls[-1] == pytest.approx(1e-7 * 1e8 ** (30 / 59))


def test_the_curve_is_read_where_it_falls_fastest() -> None:
    rates = np.logspace(-6, 0, 200)
    losses = 2.0 - 1.5 / (1 + np.exp(-(np.log10(rates) + 3) * 4)) + np.where(rates > 0.05, 40 * (rates - 0.05), 0)
    noise = np.random.default_rng(0).normal(0, 0.02, 200)
    found = judge_curve(list(rates), list(losses + noise), float(rates[-1]), 5e-5)
    assert found.suggested is not None and found.lowest is not None
    assert 5e-4 < found.suggested < 2e-3  # it falls fastest at 1e-3
    assert 5e-3 < found.lowest < 0.1
    assert "times that" in " ".join(findings(found))
    assert html_report(found, "a <job>").count("<polyline") == 2
    near = judge_curve(list(rates), list(losses + noise), 2e-3, None)
    assert near.suggested == pytest.approx(2e-4)  # never within a factor of ten of divergence


def test_nothing_is_suggested_where_nothing_falls() -> None:
    rates = list(np.logspace(-6, 0, 50))
    found = judge_curve(rates, [0.7] * 50, None, 1e-3)
    assert found.suggested is None
    assert "No rate is suggested" in findings(found)[0]
    assert "did not leave" in findings(found)[1]
    assert judge_curve([], [], None, None).suggested is None


def test_the_mean_lags_behind_nothing() -> None:
    assert np.allclose(smoothed([3.0] * 40), 3.0)
    line = np.arange(100.0)
    assert np.allclose(smoothed(line)[20:80], line[20:80])


def test_the_command(job: str, tmp_path: Path) -> None:
    command = ["find-rate", job, "--steps", "25", "--output", str(tmp_path / "out")]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    assert "The recipe's own rate is 0.003" in said.output
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert found == json.loads((tmp_path / "out" / "rate.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"num_steps": 5}, "show nothing"), ({"lowest": 1.0, "highest": 0.1}, "no rates"), ({"lowest": 0.0}, "no rates")],
)
def test_a_test_that_is_none_is_refused(job: str, tmp_path: Path, options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_rate(job, (), tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
