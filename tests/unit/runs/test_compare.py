"""Comparisons: what varies, trials that fail or are finished, means over seeds, luck, the Pareto front."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from fathom import catalog
from fathom.cli.main import app
from fathom.errors import ConfigError
from fathom.log import format_bytes
from fathom.recipe import Recipe, load_recipe
from fathom.runs import compare as verb
from fathom.runs.compare import compare
from fathom.runs.comparison import Comparison, Outcome, read_outcome, summarize
from fathom.runs.comparison_report import findings, html_report, markdown_report
from fathom.runs.comparison_tables import scores_table
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
    trials = plan_trials(str(tmp_path / "job.yaml"), edits, tmp_path / "out").trials
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


def test_every_strategy_is_a_trial_and_the_one_without_defaults_has_options(tmp_path: Path) -> None:
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    plan = plan_trials(str(tmp_path / "job.yaml"), ["tuning=all", "tuning.rank=[2,4]"], tmp_path / "out")
    assert not plan.refused
    kinds = [trial.recipe.tuning.kind for trial in plan.trials]
    assert set(kinds) == set(catalog.names("tuning"))
    [layers] = [trial.recipe.tuning for trial in plan.trials if trial.recipe.tuning.kind == "layers"]
    assert layers.model_dump()["layers"] == (0, -1)
    assert (kinds.count("full"), kinds.count("lora")) == (1, 2)


def test_a_strategy_among_all_that_cannot_be_is_reported_and_the_others_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make_model(tmp_path / "base")
    make_recipe(base, tmp_path)
    trained: list[str] = []

    def train_groups(trials: list[Trial], folder: Path) -> dict[str, str]:
        trained.extend(trial.settings["tuning"] for trial in trials)
        return dict.fromkeys((trial.name for trial in trials), "not today")

    monkeypatch.setattr(verb, "train_groups", train_groups)
    new = f"model={{kind: new, architecture: bert, depth: 2, tokenizer: '{base}'}}"
    found = compare(str(tmp_path / "job.yaml"), [new, "tuning=all"], tmp_path / "out")
    assert "full" in trained and "lora" not in trained
    told = {item.settings["tuning"]: item.error for item in found.failures}
    assert told["full"] == "not today"
    assert "tuning=lora: " in str(told["lora"]) and "those of model.kind 'new' are random" in str(told["lora"])
    assert set(trained).isdisjoint(one.settings["tuning"] for one in found.failures if one.error != "not today")
    assert "lora" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="'new' are random"):  # asked for by name
        plan_trials(str(tmp_path / "job.yaml"), [new, "tuning=[full,lora]"], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"training\.max_steps"):
        plan_trials(str(tmp_path / "job.yaml"), ["tuning=all", "training.max_steps=[2,-1]"], tmp_path / "out")


def test_a_key_that_a_section_does_not_have_is_left_out(tmp_path: Path) -> None:
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    job = str(tmp_path / "job.yaml")

    def settings(*edits: str) -> list[dict[str, str]]:
        return [trial.settings for trial in plan_trials(job, edits, tmp_path / "out").trials]

    full, small, large = (
        {"tuning": "full"},
        {"tuning": "lora", "tuning.rank": "4"},
        {"tuning": "lora", "tuning.rank": "8"},
    )
    assert settings("tuning=[full,lora]", "tuning.rank=[4,8]") == [full, small, large]
    assert settings("tuning.rank=[4,8]", "tuning=[full,lora]") == [full, small, large]
    assert settings("tuning=[full,lora]", "tuning.rank=4") == [full, small]
    [_, lora] = plan_trials(job, ["tuning.rank=4", "tuning=[full,lora]"], tmp_path / "out").trials
    assert lora.recipe.tuning.model_dump()["rank"] == 4
    layers = settings("tuning=[full,layers]", "tuning.embeddings=[frozen,trained]", "tuning.layers=[[0]]")
    assert [len(one) for one in layers] == [1, 3, 3]  # the embeddings may be chosen where the layers are
    with pytest.raises(ConfigError, match=r"tuning\.rnak"):
        settings("tuning=[full,lora]", "tuning.rnak=[4,8]")
    with pytest.raises(ConfigError, match=r"tuning\.rank=0"):
        settings("tuning=[full,lora]", "tuning.rank=[4,0]")


@pytest.mark.parametrize("fraction", ["0", "[0,0.2]"])
def test_without_a_split_to_score_nothing_is_trained(tmp_path: Path, fraction: str) -> None:
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    edits = ["data.validation=null", "data.test=null", "training.eval_steps=null", "tuning=[full,head]"]
    edits.append(f"data.validation_fraction={fraction}")
    with pytest.raises(ConfigError, match=r"data\.validation: .* have neither"):
        compare(str(tmp_path / "job.yaml"), edits, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_the_main_score_is_reported(tmp_path: Path) -> None:
    (tmp_path / "run" / "model").mkdir(parents=True)
    metrics = {"main_metric": "ndcg@10", "validation": {"loss": 1.0}}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    found = read_outcome(Trial("run", {}, load_recipe(tmp_path / "job.yaml")), tmp_path / "run")
    assert found.error is not None and "no ndcg@10 on validation" in found.error


def test_compare_trains_reports_failures_and_does_not_repeat(tmp_path: Path) -> None:
    base = make_model(tmp_path / "base")
    make_recipe(base, tmp_path)
    command = ["compare", str(tmp_path / "job.yaml"), "tuning=[head, {kind: layers, layers: [99]}]", *SMALL]
    command += ["--output", str(tmp_path / "out")]
    (tmp_path / "texts.txt").write_text("the thing1 is red\nthe thing2\n", encoding="utf-8")
    found = CliRunner().invoke(app, [*command, "--forgetting", str(tmp_path / "texts.txt")])
    assert found.exit_code == 0, found.output
    assert "head" in found.output
    assert "failed" in found.output
    assert "99" in found.output
    result = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert len(result["groups"]) == 1
    assert len(result["failures"]) == 1
    metrics = tmp_path / "out" / "trials" / "tuning-head" / "metrics.json"
    said = json.loads(metrics.read_text(encoding="utf-8"))
    places = said["parameters"]["places"]
    assert {(place["depth"], place["component"]) for place in places} == {(None, "head")}
    assert sum(place["trainable"] for place in places) == said["parameters"]["trainable"] > 0
    assert said["parameters"]["num_blocks"] == 2
    figures = result["groups"][0]["figures"]
    assert figures["epoch_seconds"] == pytest.approx(figures["train_seconds"] / 2 * 6, rel=0.5)  # 2 of 6 steps
    assert figures["own_memory_bytes"] == figures["peak_memory_bytes"]
    assert figures["forecast_memory_bytes"] == pytest.approx(
        figures["peak_memory_bytes"] * (1 + figures["memory_error"])
    )
    assert result["groups"][0]["learned"]["rows"] == places
    assert figures["base_cosine"] == pytest.approx(1.0, abs=1e-6)
    assert re.search(r"What the base could do .*cosine\nhead +1\.0000", found.output)
    before = metrics.stat().st_mtime_ns
    again = compare(str(tmp_path / "job.yaml"), command[2:-2], tmp_path / "out")
    assert metrics.stat().st_mtime_ns == before
    assert again.groups[0].score == result["groups"][0]["score"]
    assert "<svg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "## Failed" in page and "## Time and memory" in page
    assert "## What the base could do" not in page  # it was not asked for this time
    assert "| | embeddings | blocks 0-1, each | above |" in page
    assert f"| head | . | . | {said['parameters']['trainable']:,} |" in page


def made(
    folder: Path, name: str, settings: dict[str, str], right: np.ndarray[Any, Any], cost: float, examples: str = "same"
) -> Outcome:
    """A finished trial of an accuracy, written as a run writes it."""
    (folder / name).mkdir()
    metrics = {"main_metric": "accuracy", "test": {"accuracy": float(right.mean())}, "examples": {"test": examples}}
    (folder / name / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    save_file({"test": np.stack([right, np.ones_like(right)], 1)}, str(folder / name / "examples.safetensors"))
    names = ("trainable", "total", "train_seconds", "peak_memory_bytes", "artifact_bytes", "real_tokens_per_s")
    figures = {**dict.fromkeys(names, cost), "memory_error": 0.0, "own_memory_bytes": cost, "together": 1}
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


@pytest.fixture
def some_recipe(tmp_path: Path) -> Recipe:
    return make_recipe(make_model(tmp_path / "base"), tmp_path)


def summed_up(folder: Path, recipe: Recipe, outcomes: list[Outcome]) -> Comparison:
    trials = [Trial(one.name, one.settings, recipe) for one in outcomes]
    return summarize(trials, outcomes, [folder / one.name for one in outcomes])


def test_results_are_paired_only_where_the_examples_are_the_same(tmp_path: Path, some_recipe: Recipe) -> None:
    good, poor = np.ones(200), np.zeros(200)
    found = summed_up(
        tmp_path,
        some_recipe,
        [
            made(tmp_path, "a", {"data.split_seed": "1"}, good, 1.0),
            made(tmp_path, "b", {"data.split_seed": "2"}, poor, 1.0, "other"),
            made(tmp_path, "c", {"data.split_seed": "3"}, poor, 1.0),
        ],
    )
    p_values = {group.settings["data.split_seed"]: group.p_value for group in found.groups}
    assert p_values["2"] is None and p_values["3"] is not None and p_values["3"] < 0.01
    assert "Scored on other examples than it, so that luck cannot be told: 2." in findings(found)


def test_a_score_of_another_kind_is_not_ranked_beside_the_others(tmp_path: Path, some_recipe: Recipe) -> None:
    outcomes = [made(tmp_path, name, {"task": name}, np.ones(4), 1.0) for name in ("odd", "b", "c")]
    other = {"main_metric": "rmse", "validation": {"rmse": 0.5}}
    (tmp_path / "odd" / "metrics.json").write_text(json.dumps(other), encoding="utf-8")
    outcomes[0] = replace(outcomes[0], score=0.5)
    found = summed_up(tmp_path, some_recipe, outcomes)
    assert (found.metric, found.split) == ("accuracy", "test")
    assert [group.settings["task"] for group in found.groups] == ["b", "c"]
    [failure] = found.failures
    assert failure.name == "odd" and "rmse on validation 0.5000, cannot be ranked beside accuracy on test" in str(
        failure.error
    )


def test_the_memory_of_a_shared_process_is_nobodys(tmp_path: Path, some_recipe: Recipe) -> None:
    """The front takes what a trial would take alone; one of which that is not known is on none."""
    outcomes = [made(tmp_path, name, {"tuning": name}, np.ones(4), 3e9) for name in ("full", "lora", "old")]
    own = {"lora": {"own_memory_bytes": 1e9}, "old": {}}
    for number, one in enumerate(outcomes[1:], 1):
        figures = {name: value for name, value in one.figures.items() if name != "own_memory_bytes"}
        figures |= {"together": 2, "peak_memory_bytes": 5e9, **own[one.name]}
        outcomes[number] = replace(one, figures=figures)
    found = summed_up(tmp_path, some_recipe, outcomes)
    fronts = {group.settings["tuning"]: group.front for group in found.groups}
    assert {name for name, front in fronts.items() if "own_memory_bytes" in front} == {"lora"}
    cells = {row[0]: row[7] for row in scores_table(found).rows}
    assert (cells["full"], cells["lora"], cells["old"]) == (format_bytes(3 * 10**9), f"~{format_bytes(10**9)}", "")
    said = " ".join(findings(found))
    assert "in a process of its own, by forecast" in said and "not known, and no front has them: old." in said
    pictures = html_report(found, "job.yaml").split("<svg")
    assert ["old</text>" in picture for picture in pictures[1:]] == [True, True, False, True]
