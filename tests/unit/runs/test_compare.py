"""Comparisons: what varies, trials that fail or are finished, means over seeds, luck, the Pareto front."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.errors import ConfigError
from fathom.recipe import load_recipe
from fathom.runs.compare import compare
from fathom.runs.comparison import Outcome, summarize
from fathom.runs.comparison_report import findings, html_report, markdown_report
from fathom.runs.trials import Trial, plan_trials, read_edits
from runs_for_tests import make_model, make_recipe

SMALL = ("training.max_steps=2", "training.verify_reload=false", "training.evaluate_before=false")


def test_lists_vary_and_the_rest_holds_for_all() -> None:
    fixed, axes = read_edits(["training.epochs=2", "tuning=[full, {kind: lora, rank: 4}]", "training.seed=[1,2]"])
    assert fixed == ["training.epochs=2"]
    assert [(axis.key, axis.values) for axis in axes] == [
        ("tuning", ("full", "{kind: lora, rank: 4}")),
        ("training.seed", ("1", "2")),
    ]
    assert read_edits(["task.names=[[a, b], [c]]"])[1][0].values == ("[a, b]", "[c]")


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (["training.epochs=2"], "nothing varies"),
        (["tuning=[full]"], "nothing varies"),
        (["tuning=[full,lora]", "training.seed=[]"], "names no value"),
        (["tuning=[full,lora]", "tuning=[head,bitfit]"], "varies twice"),
    ],
)
def test_edits_that_compare_nothing_are_refused(edits: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_edits(edits)


def test_trials_are_every_combination_with_folders_that_differ(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    make_recipe(base, tmp_path)
    edits = ["training.seed=[1,2]", "tuning.rank=[4,8]", "tuning=[lora,dora]"]
    trials = plan_trials(str(tmp_path / "job.yaml"), edits, tmp_path / "out")
    assert len(trials) == len({trial.recipe.output for trial in trials}) == 8
    assert [trial.recipe.training.seed for trial in trials[:2]] == [1, 2]
    assert {trial.recipe.tuning.model_dump()["rank"] for trial in trials} == {4, 8}
    assert len({trial.group for trial in trials}) == 4


def test_a_wrong_value_is_told_before_anything_is_trained(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    make_recipe(base, tmp_path)
    with pytest.raises(ConfigError, match=r"tuning=lroa.*did you mean 'lora'"):
        plan_trials(str(tmp_path / "job.yaml"), ["tuning=[full,lroa]"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_compare_trains_reports_failures_and_does_not_repeat(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    make_recipe(base, tmp_path)
    command = ["compare", str(tmp_path / "job.yaml"), "tuning=[head, {kind: layers, layers: [99]}]", *SMALL]
    command += ["--output", str(tmp_path / "out")]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    assert "head" in found.output
    assert "failed" in found.output
    assert "99" in found.output
    result = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert len(result["groups"]) == 1
    assert len(result["failures"]) == 1
    metrics = tmp_path / "out" / "trials" / "tuning-head" / "metrics.json"
    before = metrics.stat().st_mtime_ns
    again = compare(str(tmp_path / "job.yaml"), command[2:-2], tmp_path / "out")
    assert metrics.stat().st_mtime_ns == before
    assert again.groups[0].score == result["groups"][0]["score"]
    assert "<svg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "## Failed" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def made(folder: Path, name: str, settings: dict[str, str], right: np.ndarray[Any, Any], cost: float) -> Outcome:
    """A finished trial of an accuracy, written as a run writes it."""
    (folder / name).mkdir()
    metrics = {"main_metric": "accuracy", "test": {"accuracy": float(right.mean())}}
    (folder / name / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    save_file({"test": np.stack([right, np.ones_like(right)], 1)}, str(folder / name / "examples.safetensors"))
    names = ("trainable", "total", "train_seconds", "peak_memory_bytes", "artifact_bytes", "real_tokens_per_s")
    figures = {**dict.fromkeys(names, cost), "memory_error": 0.0}
    return Outcome(name, settings, score=float(right.mean()), figures=figures)


def test_seeds_are_averaged_luck_is_told_and_the_front_is_what_nothing_beats(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    base = make_model(tmp_path / "base")
    make_recipe(base, tmp_path)
    recipe = load_recipe(tmp_path / "job.yaml")
    shares = {"good": (0.9, 3.0), "near": (0.89, 2.0), "poor": (0.5, 1.0), "wasteful": (0.49, 9.0)}
    trials, outcomes = [], []
    for name, (share, cost) in shares.items():
        for seed in ("1", "2"):
            settings = {"tuning": name, "training.seed": seed}
            trials.append(Trial(f"{name}-{seed}", settings, recipe))
            right = (generator.random(300) < share).astype(np.float64)
            outcomes.append(made(tmp_path, f"{name}-{seed}", settings, right, cost))
    found = summarize(trials, outcomes, [tmp_path / trial.name for trial in trials])
    by_name = {group.settings["tuning"]: group for group in found.groups}
    assert found.metric == "accuracy"
    assert found.split == "test"
    assert len(by_name["good"].scores) == 2
    assert by_name["good"].deviation is not None
    best = found.groups[0]
    assert best.p_value is None
    assert by_name["poor"].p_value is not None and by_name["poor"].p_value < 0.01
    nearest = by_name["near"] if best is by_name["good"] else by_name["good"]
    assert nearest.p_value is not None and nearest.p_value > 0.05
    assert by_name["wasteful"].front == ()
    assert "trainable" in by_name["poor"].front
    assert "trainable" in best.front
    said = " ".join(findings(found))
    assert f"{best.settings['tuning']} is best" in said
    assert "Not told apart" in said
    assert "| poor |" in markdown_report(found, "job.yaml")
    assert html_report(found, "job <1>").count("<svg") == 4
    assert "job &lt;1&gt;" in html_report(found, "job <1>")
