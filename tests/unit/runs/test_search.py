"""Searches: trials that are made, stopped early, failed and taken up again; the best recipe; a study that changed."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.errors import ArtifactError, ConfigError, FathomError
from fathom.recipe import Recipe, deciding, load_recipe
from fathom.runs import search as module
from fathom.runs import study as memory
from fathom.runs.search import search
from fathom.runs.trial_process import Ended
from fathom.runs.trials import Trial
from runs_for_tests import make_model, make_recipe

RATE = "training.learning_rate=log(1e-5,1e-1)"


@pytest.fixture
def job(tmp_path: Path) -> str:
    make_recipe(make_model(tmp_path / "base"), tmp_path, "single", "training.max_steps=4", "training.eval_steps=1")
    return str(tmp_path / "job.yaml")


def pretended(score: Callable[[Trial, int], float], evaluations: int = 4) -> Callable[..., Ended]:
    """A trainer that writes what a run writes, without the run."""

    def train(
        trial: Trial,
        folder: Path,
        options: Sequence[str] = (),
        watch: Callable[[], str | None] | None = None,
        held: int | None = None,
    ) -> Ended:
        place = Path(str(trial.recipe.output))
        place.mkdir(parents=True, exist_ok=True)
        (folder / "trials" / f"{trial.name}.yaml").touch()
        with open(place / "metrics.jsonl", "w", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": 0, "split": "validation", "epoch": 0.0, "accuracy": 0.99}) + "\n")
            for number in range(1, evaluations + 1):
                value = score(trial, number)
                step = 8 * number // evaluations  # of the eight of `make_recipe`
                line = {"step": step, "split": "validation", "epoch": 1.0, "accuracy": value}
                stream.write(json.dumps(line).replace("NaN", '"NaN"') + "\n")
                stream.flush()
                reason = None if watch is None else watch()
                if reason is not None:
                    return Ended(stopped=reason)
        last = None if math.isnan(value) else value
        scores = {"validation": {"accuracy": last}, "test": {"accuracy": last}, "recipe_digest": ""}
        (place / "metrics.json").write_text(json.dumps(scores), encoding="utf-8")
        return Ended()

    return train


def rate_score(trial: Trial, evaluation: int) -> float:
    """Best at a rate of 1e-3; the same order of trials at every evaluation."""
    rate = trial.recipe.training.learning_rate
    assert rate is not None
    return math.exp(-((math.log10(rate) + 3) ** 2)) * evaluation / 4


def test_tpe_finds_the_best_rate_and_the_key_that_matters(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    edits = [RATE, "training.adam_beta2=uniform(0.9,0.99)"]
    found = search(job, edits, tmp_path / "out", trials=30, pruning="none")
    assert found.best is not None and found.best.score is not None
    assert len(found.having("complete")) == 30
    assert found.best.score > 0.99
    assert abs(math.log10(float(found.best.settings["training.learning_rate"])) + 3) < 0.1
    assert found.importance["training.learning_rate"] > 0.7
    scores = [record.score for record in found.records]
    assert scores == sorted(scores, key=lambda score: -(score or 0.0))
    late = [record.score or 0.0 for record in found.records if record.number >= 10]
    early = [record.score or 0.0 for record in found.records if record.number < 10]
    assert sum(late) / len(late) > sum(early) / len(early)  # it has learned from the first ten


def test_successive_halving_stops_the_worse_trials_early(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    found = search(job, [RATE], tmp_path / "out", trials=30, sampler="random")
    pruned, complete = found.having("pruned"), found.having("complete")
    assert len(pruned) + len(complete) == 30
    assert len(pruned) >= 15
    assert {len(record.curve) for record in pruned} <= {1, 3}  # the rungs
    assert all(len(record.curve) == 4 for record in complete)
    assert found.best is complete[0]
    first = {record.number: record.curve[0] or 0.0 for record in found.records}
    assert first[found.best.number] == max(first.values())  # the best of all is never stopped
    assert median(first[record.number] for record in pruned) < median(first[record.number] for record in complete)


def test_scores_that_are_no_numbers_and_trials_that_fail_are_told(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(trial: Trial, evaluation: int) -> float:
        return float("nan") if trial.recipe.training.batch_size == 4 else 0.5

    monkeypatch.setattr(module, "train_trial", pretended(score))
    edits = ["training.batch_size=[4,8]", "training.dropout=[0.1,0.2]"]
    found = search(job, edits, tmp_path / "out", sampler="grid", pruning="none")
    assert len(found.records) == 4
    assert {record.settings["training.batch_size"] for record in found.having("failed")} == {"4"}
    assert all("not a number" in (record.error or "") for record in found.having("failed"))
    assert "## Failed" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    with_asha = search(job, edits, tmp_path / "asha", sampler="grid")
    assert {record.settings["training.batch_size"] for record in with_asha.having("pruned")} >= {"4"}
    assert with_asha.best is not None and with_asha.best.settings["training.batch_size"] == "8"


def test_a_grid_takes_every_combination_once(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(lambda trial, number: 0.5))
    edits = ["tuning=[full,lora]", "tuning.rank=[2,4]", "training.seed=[1,2]"]
    options: dict[str, Any] = {"sampler": "grid", "pruning": "none", "at_once": 1}
    found = search(job, edits, tmp_path / "out", trials=4, **options)
    assert len(found.records) == 4
    found = search(job, edits, tmp_path / "out", **options)
    combinations = {tuple(record.settings.items()) for record in found.records}
    assert len(found.records) == len(combinations) == 6
    assert search(job, edits, tmp_path / "out", trials=99, **options).records == found.records


def test_the_luck_of_a_trial_depends_on_its_number_alone(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    whole = search(job, [RATE], tmp_path / "whole", trials=6, sampler="random", pruning="none")
    for trials in (1, 3, 6):
        parts = search(job, [RATE], tmp_path / "parts", trials=trials, sampler="random", pruning="none")
    assert {one.number: one.settings for one in parts.records} == {one.number: one.settings for one in whole.records}
    assert len({one.settings["training.learning_rate"] for one in whole.records}) == 6


def test_a_trial_that_was_left_goes_on_under_its_number(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def killed(trial: Trial, *args: Any, **options: Any) -> Ended:
        seen.append(trial.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        ended: Ended = pretended(rate_score)(trial, *args, **options)
        return ended

    monkeypatch.setattr(module, "train_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        search(job, [RATE], tmp_path / "out", trials=3, pruning="none")
    rates = load_rates(tmp_path / "out")
    found = search(job, [RATE], tmp_path / "out", trials=3, pruning="none")
    assert seen == ["trial-0", "trial-1", "trial-1", "trial-2"]
    assert [record.state for record in found.records] == ["complete"] * 3
    assert rates.items() <= load_rates(tmp_path / "out").items()


def load_rates(folder: Path) -> dict[str, str]:
    """Values by trial, as the study has them."""
    with sqlite3.connect(folder / "study.db") as connection:
        rows = connection.execute("SELECT trial_id, param_value FROM trial_params").fetchall()
    return {str(trial): str(value) for trial, value in rows}


def test_a_claimed_trial_is_left_to_its_process(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    orphans: list[int] = []

    def interrupted(
        trial: Trial, folder: Path, options: Sequence[str] = (), watch: Any = None, held: Any = None
    ) -> Ended:
        orphans.append(os.dup(held))  # as a child has it, whose parent was killed
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "train_trial", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search(job, [RATE], tmp_path / "out", trials=2, pruning="none")
    found = search(job, [RATE], tmp_path / "out", trials=2, pruning="none")
    assert [(record.number, record.state) for record in found.records] == [(1, "complete"), (0, "running")]
    os.close(orphans[0])
    found = search(job, [RATE], tmp_path / "out", trials=2, pruning="none")
    assert {record.state for record in found.records} == {"complete"}


def test_a_budget_ends_the_search_and_the_trial_goes_on(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    found = search(job, [RATE], tmp_path / "out", trials=5, budget=1e-9)
    assert found.records == ()
    monkeypatch.setattr(module, "train_trial", lambda *args, **options: Ended(stopped=module.SPENT))
    found = search(job, [RATE], tmp_path / "out", trials=5, budget="60s")
    assert [(record.number, record.state) for record in found.records] == [(0, "stopped")]
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    found = search(job, [RATE], tmp_path / "out", trials=5, budget="60s", pruning="none")
    assert len(found.having("complete")) == 5
    with pytest.raises(ConfigError, match="no time to spend"):
        search(job, [RATE], tmp_path / "out", budget="soon")


def test_the_best_recipe_is_ready_to_run(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    found = search(job, [RATE, "tuning=[full,lora]"], tmp_path / "out", trials=4, pruning="none", at_once=1)
    assert found.best is not None and found.best_recipe is not None
    recipe = load_recipe(found.best_recipe)
    assert recipe.training.learning_rate == float(found.best.settings["training.learning_rate"])
    assert recipe.tuning.kind == found.best.settings["tuning"]
    assert recipe.output == str(tmp_path / "out" / "best")
    saved = json.loads((tmp_path / "out" / "search.json").read_text(encoding="utf-8"))
    assert saved["records"][0]["score"] == found.best.score
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert page.count("<circle") == 8


def test_another_recipe_or_other_ranges_are_refused(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    search(job, [RATE], tmp_path / "out", trials=1)
    with pytest.raises(ConfigError, match=r"training\.batch_size: 8 there, 4 here"):
        search(job, [RATE, "training.batch_size=4"], tmp_path / "out", trials=2)
    with pytest.raises(ConfigError, match=r"training\.learning_rate: 'log\(1e-05, 0\.1\)' there, 'log\(1e-05, 0\.2\)'"):
        search(job, ["training.learning_rate=log(1e-5,2e-1)"], tmp_path / "out", trials=2)
    with pytest.raises(ConfigError, match="sampler: 'tpe' there, 'random' here"):
        search(job, [RATE], tmp_path / "out", trials=2, sampler="random")
    assert len(search(job, [RATE, "training.logging_steps=3"], tmp_path / "out", trials=2).records) == 2


def test_a_search_of_an_older_version_goes_on(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That version had fewer keys, and took another for one that decides the result."""

    def older(recipe: Recipe) -> dict[str, Any]:
        found = deciding(recipe)
        del found["training"]["optimizer_in_backward"]
        return {**found, "data": {**found["data"], "max_leak_share": 0.05}}

    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    monkeypatch.setattr(module, "deciding", older)
    search(job, [RATE], tmp_path / "out", trials=1)
    monkeypatch.setattr(module, "deciding", deciding)
    assert len(search(job, [RATE], tmp_path / "out", trials=2).records) == 2


def test_a_damaged_a_lost_and_a_locked_study_are_told(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    monkeypatch.setattr(memory, "LOCK_SECONDS", 0.1)
    search(job, [RATE], tmp_path / "out", trials=1)
    database = tmp_path / "out" / "study.db"
    sound = database.read_bytes()
    with sqlite3.connect(database) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(FathomError, match="locked"):
            search(job, [RATE], tmp_path / "out", trials=2)
        other.rollback()
    for damaged in (b"nothing of the kind" * 99, sound[:8192] + b"\xff" * 8192 + sound[16384:], sound[:5000]):
        database.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="cannot be read"):
            search(job, [RATE], tmp_path / "out", trials=2)
        assert database.read_bytes() == damaged
    database.unlink()
    with pytest.raises(ArtifactError, match="its study is gone"):
        search(job, [RATE], tmp_path / "out", trials=2)
    database.write_bytes(sound)
    assert len(search(job, [RATE], tmp_path / "out", trials=2).records) == 2


def test_the_command_prints_a_table_and_json(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_trial", pretended(rate_score))
    command = ["search", job, RATE, "--trials", "2", "--pruning", "none", "--output", str(tmp_path / "out")]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    assert "is best: accuracy" in said.output
    assert "fathom train" in said.output
    found = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(found.stdout)["metric"] == "accuracy"
    wrong = CliRunner().invoke(app, ["search", job, "training.rate=[1]", "--output", str(tmp_path / "other")])
    assert wrong.exit_code == 2
    assert not (tmp_path / "other").exists()
    assert CliRunner().invoke(app, [*command, "--sampler", "annealing"]).exit_code == 2


def test_a_search_needs_a_validation_split(tmp_path: Path) -> None:
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    edits = [RATE, "data.validation=null", "data.validation_fraction=0"]
    with pytest.raises(ConfigError, match="validation"):
        search(str(tmp_path / "job.yaml"), edits, tmp_path / "out", trials=1)
