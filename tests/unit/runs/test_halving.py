"""A comparison within a time: who gets how much, who is left out, what is told, and going on after a kill."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom import files
from fathom.cli.main import app
from fathom.device import probe_machine
from fathom.errors import ConfigError
from fathom.recipe import dump_recipe, recipe_digest, resolve
from fathom.runs import compare as verb
from fathom.runs import halving as module
from fathom.runs.compare import compare
from fathom.runs.halving_report import halving_findings
from fathom.runs.trial_process import Ended
from fathom.runs.trials import Trial
from runs_for_tests import make_model, make_recipe

STEPS = 1000
RATES = "training.learning_rate=[1e-2,1e-3,1e-4,1e-5]"


@dataclass
class World:
    """Runs in a time of its own: ten steps a second, scores that rise with the rate and the steps."""

    now: float = 0.0
    steps: dict[str, int] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    stop_cost: float = 0.0
    failing: str = ""
    kill_at: int = -1
    groups: list[list[str]] = field(default_factory=list)
    start_cost: float = 0.0
    no_groups: bool = False

    def monotonic(self) -> float:
        return self.now

    def train(self, trial: Trial, folder: Path, options: Sequence[str] = ()) -> Ended:
        if len(self.begun) == self.kill_at:
            self.kill_at = -1
            raise KeyboardInterrupt
        self.begun.append(trial.name)
        files.write_atomic(
            Path(str(trial.recipe.output)) / "recipe.yaml", dump_recipe(resolve(trial.recipe, probe_machine()))
        )
        if self.failing and self.failing in trial.name:
            return Ended(error="it cannot be")
        given = float(options[1].removesuffix("s")) if options else 1e9
        before = self.steps.get(trial.name, 0)
        done = min(STEPS, before + max(1, int(given * 10)))
        self.steps[trial.name] = done
        self.now += (done - before) / 10 + self.stop_cost
        rate = trial.recipe.training.learning_rate
        score = min(0.99, (rate or 0.0) ** 0.1 * done / STEPS)
        if done < STEPS:
            return Ended(said={"paused": {"step": done, "total_steps": STEPS, "score": score, "best_score": None}})
        self.finish(trial, score)
        return Ended(said={"folder": "", "metrics": {}})

    def train_group(self, trials: Sequence[Trial], folder: Path, options: Sequence[str]) -> Ended:
        self.groups.append([trial.name for trial in trials])
        self.now += self.start_cost
        if self.no_groups:
            return Ended(error="it has two stacks")
        ended = [self.train(trial, folder, options) for trial in trials]
        return Ended(said={"runs": [one.said if one.error is None else {"error": one.error} for one in ended]})

    def finish(self, trial: Trial, score: float) -> None:
        """Write what a finished run leaves."""
        place = Path(str(trial.recipe.output))
        (place / "model").mkdir(parents=True)
        timing = {"train_seconds": 1.0, "real_tokens_per_s": 1.0, "peak_memory_bytes": 1}
        metrics: dict[str, Any] = {
            "recipe_digest": recipe_digest(resolve(trial.recipe, probe_machine())),
            "main_metric": "accuracy",
            "steps": STEPS,
            "validation": {"accuracy": score},
            "parameters": {"trainable": 1, "total": 1},
            "timing": timing,
            "measured": {"memory_error": 0.0},
        }
        (place / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(module, "train_trial", made.train)
    monkeypatch.setattr(verb, "train_trial", made.train)
    monkeypatch.setattr(module, "train_group", made.train_group)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


@pytest.fixture
def job(tmp_path: Path) -> str:
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    return str(tmp_path / "job.yaml")


def test_each_round_takes_its_share_and_the_better_half_goes_on(job: str, tmp_path: Path, world: World) -> None:
    found = compare(job, [RATES], tmp_path / "out", budget="80s")
    spent = found.halving
    assert spent is not None
    assert [[one.settings["training.learning_rate"] for one in made] for made in spent.rounds] == [
        ["0.01", "0.001", "0.0001", "1.0e-05"],
        ["0.01", "0.001"],
    ]
    assert [[one.fate for one in made] for made in spent.rounds] == [
        ["stays", "stays", "dropped", "dropped"],
        ["stays", "dropped"],
    ]
    assert [[one.slices[0].step for one in made] for made in spent.rounds] == [[100] * 4, [300] * 2]  # they went on
    assert spent.spent_seconds == pytest.approx(80)
    assert found.groups == ()  # none is at its end

    said = " ".join(halving_findings(spent))
    assert "0.01 is best: accuracy 0.1893 on validation, at 30% of its run" in said
    assert "1:20 of 1:20 spent in 2 of 2 rounds" in said
    assert "Left out after round 1: 0.0001 (0.0398), 1.0e-05 (0.0316)." in said
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "| 1 | 0.0001 | 0.0398 | 100 | 10% | 0:10 | dropped |" in page
    assert "How the time was spent" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_what_leaving_a_run_costs_is_taken_off_the_next_rounds(job: str, tmp_path: Path, world: World) -> None:
    world.stop_cost = 3.0
    spent = compare(job, [RATES], tmp_path / "out", budget="80s").halving
    assert spent is not None
    assert spent.rounds[0][0].slices[0].seconds == pytest.approx(13)
    assert spent.spent_seconds == pytest.approx(80)


def test_with_time_enough_it_is_a_plain_comparison(job: str, tmp_path: Path, world: World) -> None:
    found = compare(job, [RATES], tmp_path / "out", budget="2h")
    assert found.halving is not None
    assert [one.fate for one in found.halving.rounds[0]] == ["stays"] * 4
    assert len(found.halving.rounds) == 1
    assert len(found.groups) == 4
    assert len(world.begun) == 4


def test_without_the_budget_all_go_on_to_their_end(job: str, tmp_path: Path, world: World) -> None:
    compare(job, [RATES], tmp_path / "out", budget="80s")
    found = compare(job, [RATES], tmp_path / "out")
    assert len(found.groups) == 4
    assert found.halving is None
    assert set(world.steps.values()) == {STEPS}


def test_a_failing_trial_is_told_and_seeds_stay_together(job: str, tmp_path: Path, world: World) -> None:
    world.failing = "1.0e-05"
    found = compare(job, [RATES, "training.seed=[1,2]"], tmp_path / "out", budget="80s")
    assert [item.error for item in found.failures] == ["it cannot be"] * 2
    assert found.halving is not None
    assert [one.fate for one in found.halving.rounds[0]] == ["stays", "stays", "dropped", "failed"]
    assert all(len(one.slices) == 2 for made in found.halving.rounds for one in made)


def test_killed_it_goes_on_where_it_was(job: str, tmp_path: Path, world: World) -> None:
    world.kill_at = 2
    with pytest.raises(KeyboardInterrupt):
        compare(job, [RATES], tmp_path / "out", budget="80s")
    spent = compare(job, [RATES], tmp_path / "out", budget="80s").halving
    assert spent is not None
    assert [[one.fate for one in made] for made in spent.rounds] == [
        ["stays", "stays", "dropped", "dropped"],
        ["stays", "dropped"],
    ]
    assert len(world.begun) == 6
    assert spent.spent_seconds == pytest.approx(80)
    again = compare(job, [RATES], tmp_path / "out", budget="80s").halving
    assert again == spent
    assert len(world.begun) == 6
    with pytest.raises(ConfigError, match="another budget_seconds"):
        compare(job, [RATES], tmp_path / "out", budget="90s")
    with pytest.raises(ConfigError, match="another recipes"):
        compare(job, [RATES, "training.batch_size=4"], tmp_path / "out", budget="80s")


def test_one_of_an_older_version_goes_on(job: str, tmp_path: Path, world: World) -> None:
    """Its digests are of recipes that had fewer keys; what its runs began with is in their folders."""
    world.kill_at = 2
    with pytest.raises(KeyboardInterrupt):
        compare(job, [RATES], tmp_path / "out", budget="80s")
    state = files.read_json(tmp_path / "out" / module.STATE)
    state["recipes"] = dict.fromkeys(state["recipes"], "0" * 64)
    files.write_json(tmp_path / "out" / module.STATE, state)
    for stored in (tmp_path / "out" / "trials").glob("*/recipe.yaml"):
        lines = stored.read_text(encoding="utf-8").splitlines()
        older = [line for line in lines if "optimizer_in_backward" not in line]
        assert len(older) == len(lines) - 1
        stored.write_text("\n".join(older), encoding="utf-8")
    with pytest.raises(ConfigError, match="another recipes"):
        compare(job, [RATES, "training.batch_size=4"], tmp_path / "out", budget="80s")
    spent = compare(job, [RATES], tmp_path / "out", budget="80s").halving
    assert spent is not None and spent.spent_seconds == pytest.approx(80)
    assert len(world.begun) == 6


def test_a_real_comparison_is_left_and_goes_on(job: str, tmp_path: Path) -> None:
    command = ["compare", job, "tuning=[full,head]", "--output", str(tmp_path / "out"), "--budget", "1s"]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    result = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    [made] = result["halving"]["rounds"]
    assert sorted(one["fate"] for one in made) == ["dropped", "stays"]
    assert {(one["slices"][0]["step"], one["slices"][0]["total_steps"]) for one in made} == {(1, 8)}
    assert all(0 <= one["score"] <= 1 for one in made)
    assert "Nothing can be concluded" in found.output
    assert "is best" not in found.output
    assert list((tmp_path / "out" / "trials").glob("*/checkpoints/step-1"))


def test_trials_of_a_round_that_can_train_in_one_process(job: str, tmp_path: Path, world: World) -> None:
    world.start_cost = 4.0
    edits = ["tuning=[head,full]", RATES.replace("1e-4,1e-5", "1e-4")]
    spent = compare(job, edits, tmp_path / "out", budget="90s").halving
    assert spent is not None
    assert [len(group) for group in world.groups] == [3, 2]
    assert all("head" in name for group in world.groups for name in group)
    first = {one.slices[0].name: one.slices[0] for one in spent.rounds[0]}
    assert {round(one.seconds, 2) for name, one in first.items() if "head" in name} == {round(5 + 4 / 3, 2)}
    assert all(3 < one.seconds < 4.5 for name, one in first.items() if "full" in name)  # less what leaving costs
    assert spent.spent_seconds == pytest.approx(world.now)
    compare(job, edits, tmp_path / "apart", budget="90s", together="never")
    assert len(world.groups) == 2


def test_trials_that_cannot_share_a_process_are_trained_one_by_one(job: str, tmp_path: Path, world: World) -> None:
    world.no_groups, world.start_cost = True, 4.0
    spent = compare(job, ["tuning=head", RATES], tmp_path / "out", budget="80s").halving
    assert spent is not None
    assert len(world.groups) == 1  # it is not tried again
    assert [one.slices[0].step for one in spent.rounds[0]] == [90] * 4
    assert spent.spent_seconds == pytest.approx(80, abs=1)
