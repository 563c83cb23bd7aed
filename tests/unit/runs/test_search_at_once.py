"""Searches whose LoRA trials are asked for several at once and train in one pass: stopped, killed, taken up again."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fathom.device import probe_machine
from fathom.errors import TrainingError
from fathom.recipe import load_recipe, recipe_digest, resolve
from fathom.runs import joint_process, study
from fathom.runs import search as module
from fathom.runs.joint_process import SERVER, Watched
from fathom.runs.search import SPENT, Watch, search
from fathom.runs.search_result import SearchResult, read_curve
from fathom.runs.study import Study, Taken
from fathom.runs.train import train
from fathom.runs.trial_process import Ended
from fathom.runs.trials import Trial
from runs_for_tests import alike, make_model, make_recipe

SOURCE = Path(__file__).resolve().parents[3] / "src"
RATE = "training.learning_rate=log(1e-5,1e-1)"
LONG = ("training.max_steps=120", "training.eval_steps=10", "training.evaluate_before=false")
"""Scored early and often, and long: however busy the machine is, a trial is seen before it ends."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setattr(joint_process, "POLL_SECONDS", 0.02)
    make_recipe(make_model(tmp_path / "base"), tmp_path, "single", "tuning=lora")
    return str(tmp_path / "job.yaml")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Processes that were begun for batches, by their number."""
    found: list[int] = []
    real = subprocess.Popen

    def counted(command: list[str], *arguments: Any, **options: Any) -> Any:
        process = real(command, *arguments, **options)
        if SERVER in command:
            found.append(process.pid)
        return process

    monkeypatch.setattr(subprocess, "Popen", counted)
    return found


def metrics_of(out: Path, number: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "trials" / f"trial-{number}" / "metrics.json").read_text("utf-8"))
    return found


def alone(out: Path, number: int) -> Path:
    """Train a trial of a search without it; returns its folder."""
    recipe = load_recipe(out / "trials" / f"trial-{number}.yaml")
    place = out.parent / "alone" / str(number)
    train(recipe.model_copy(update={"output": str(place)}))
    return place


def test_a_search_that_was_stopped_in_a_pass_gives_what_each_trial_gives_alone(
    job: str, tmp_path: Path, begun: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Watch.__call__

    def interrupting(self: Watch) -> str | None:
        if self.taken.live.number == 1 and read_curve(Path(str(self.recipe.output)), "accuracy"):
            raise KeyboardInterrupt
        return real(self)

    edits = ["tuning=lora", "tuning.rank=[2,4,99]", *LONG]
    options: dict[str, Any] = {"sampler": "grid", "pruning": "none", "at_once": 3}
    out = tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Watch, "__call__", interrupting)
        search(job, edits, out, **options)
    assert len(begun) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(begun[0], 0)
    assert not list(out.glob("trials/*/metrics.json"))
    found = search(job, edits, out, **options)
    assert len(begun) == 2
    said = capsys.readouterr().err
    assert all(f"again at trial {number}:" in said for number in range(3))
    states = {record.number: record.state for record in found.records}
    assert states == {0: "complete", 1: "complete", 2: "failed"}
    assert "rank 99 is above" in (found.having("failed")[0].error or "")
    assert [metrics_of(out, number)["together"] for number in range(2)] == [2, 2]
    assert not list(out.glob("trials/*/checkpoints"))
    for number in range(2):
        alike(out / "trials" / f"trial-{number}", alone(out, number))


def test_in_a_pass_the_worse_trials_are_stopped_early(job: str, tmp_path: Path, begun: list[int]) -> None:
    rates = "training.learning_rate=[0.003,1e-8,1e-7]"
    edits = ["tuning=lora", rates, *LONG, "training.metric_for_best_model=loss"]
    out = tmp_path / "out"
    found = search(job, edits, out, sampler="grid")
    assert len(begun) == 1
    states = {record.number: record.state for record in found.records}
    assert states == {0: "complete", 1: "pruned", 2: "pruned"}
    assert all(len(record.curve) < 12 for record in found.having("pruned"))
    assert not list(out.glob("trials/*/checkpoints"))
    alike(out / "trials" / "trial-0", alone(out, 0))


def test_where_the_process_of_a_pass_is_killed_its_trials_train_one_by_one(
    job: str, tmp_path: Path, begun: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Watch.__call__
    killed: list[int] = []

    def killing(self: Watch) -> str | None:
        if not killed and read_curve(Path(str(self.recipe.output)), "accuracy"):
            killed.append(begun[-1])
            os.kill(begun[-1], signal.SIGKILL)
        return real(self)

    monkeypatch.setattr(Watch, "__call__", killing)
    monkeypatch.setattr(module, "train_trial", pretended_alone)
    edits = ["tuning=lora", "training.seed=[1,2]", *LONG]
    found = search(job, edits, tmp_path / "out", sampler="grid", pruning="none")
    assert len(begun) == 1
    assert "they are trained one by one" in capsys.readouterr().err
    assert [record.state for record in found.records] == ["complete"] * 2


def score(trial: Trial) -> float:
    """Write the evaluation that a run leaves, without the run; best at a rate of 1e-3."""
    place = Path(str(trial.recipe.output))
    place.mkdir(parents=True, exist_ok=True)
    rate = trial.recipe.training.learning_rate
    value = 0.5 if rate is None else math.exp(-((math.log10(rate) + 3) ** 2))
    line = {"step": 4, "split": "validation", "epoch": 1.0, "accuracy": value}
    (place / "metrics.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return value


def finish(trial: Trial, watch: Callable[[], str | None] | None) -> Ended:
    """Write what a run leaves, without the run."""
    value = score(trial)
    reason = None if watch is None else watch()
    if reason is not None:
        return Ended(stopped=reason)
    digest = recipe_digest(resolve(trial.recipe, probe_machine()))
    scores = {"validation": {"accuracy": value}, "test": {"accuracy": value}, "recipe_digest": digest}
    (Path(str(trial.recipe.output)) / "metrics.json").write_text(json.dumps(scores), encoding="utf-8")
    return Ended()


def pretended_alone(trial: Trial, *arguments: Any, watch: Any = None, **options: Any) -> Ended:
    return finish(trial, watch)


def pretended_joint(watched: Sequence[Watched], folder: Path) -> list[Ended]:
    for one in watched:
        (folder / "trials" / f"{one.trial.name}.yaml").touch()
    return [finish(one.trial, one.watch) for one in watched]


def settings_of(found: SearchResult) -> dict[int, dict[str, str]]:
    return {record.number: record.settings for record in found.records}


def stop_in_training(patch: pytest.MonkeyPatch, number: int) -> None:
    def stopping(watched: Sequence[Watched], folder: Path) -> list[Ended]:
        if watched[-1].trial.name == f"trial-{number}":
            raise KeyboardInterrupt
        return pretended_joint(watched, folder)

    patch.setattr(module, "train_joint", stopping)


def stop_in_telling(patch: pytest.MonkeyPatch, number: int) -> None:
    real = Study.tell

    def stopping(self: Study, taken: Taken, *arguments: Any) -> None:
        if taken.live.number == number:
            raise KeyboardInterrupt
        real(self, taken, *arguments)

    patch.setattr(Study, "tell", stopping)


def stop_in_asking(patch: pytest.MonkeyPatch, number: int) -> None:
    real = Study.take

    def stopping(self: Study, most: int, **options: Any) -> Taken | None:
        taken = real(self, most, **options)
        if taken is not None and taken.live.number == number:
            self.release(taken)
            raise KeyboardInterrupt
        return taken

    patch.setattr(Study, "take", stopping)


@pytest.mark.parametrize(
    ("stop", "number"), [(stop_in_training, 15), (stop_in_telling, 14), (stop_in_asking, 13), (stop_in_asking, 15)]
)
def test_a_killed_search_asks_for_the_same_trials(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Callable[..., None], number: int
) -> None:
    """By the sampler that learns: from the eleventh trial on, what it gives depends on the scores that are known."""
    monkeypatch.setattr(module, "train_joint", pretended_joint)
    monkeypatch.setattr(module, "train_trial", pretended_alone)
    edits, options = ["tuning=lora", RATE], {"trials": 20, "pruning": "none"}
    whole = search(job, edits, tmp_path / "whole", **options)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop(patch, number)
        search(job, edits, tmp_path / "cut", **options)
    again = search(job, edits, tmp_path / "cut", **options)
    assert len(again.having("complete")) == 20
    assert settings_of(again) == settings_of(whole)
    one_by_one = search(job, edits, tmp_path / "single", at_once=1, **options)
    assert settings_of(one_by_one) != settings_of(whole)  # it knows more when it asks


@pytest.mark.parametrize(
    ("end", "batches"),
    [
        (KeyboardInterrupt(), [["trial-0", "trial-2"]]),
        (TrainingError("the process was killed"), [["trial-0"], ["trial-2"]]),
    ],
    ids=["killed", "crashed"],
)
def test_what_was_to_be_stopped_early_when_a_pass_ended_is_not_trained_again(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: BaseException, batches: list[list[str]]
) -> None:
    trained: list[list[str]] = []
    told: list[str | None] = []

    def cut(watched: Sequence[Watched], folder: Path) -> list[Ended]:
        for one in watched:
            (folder / "trials" / f"{one.trial.name}.yaml").touch()
            score(one.trial)
            told.append(one.watch())
        raise end

    def joint(watched: Sequence[Watched], folder: Path) -> list[Ended]:
        trained.append([one.trial.name for one in watched])
        return pretended_joint(watched, folder)

    def alone(trial: Trial, *arguments: Any, watch: Any = None, **options: Any) -> Ended:
        trained.append([trial.name])
        return finish(trial, watch)

    monkeypatch.setattr(module, "train_trial", alone)
    edits = ["tuning=lora", "training.learning_rate=[1e-2,1e-1,1e-3]", *LONG]
    with monkeypatch.context() as patch:
        patch.setattr(module, "train_joint", cut)
        with suppress(KeyboardInterrupt):
            search(job, edits, tmp_path / "out", sampler="grid")
    assert told == [None, "pruned", None]
    monkeypatch.setattr(module, "train_joint", joint)
    found = search(job, edits, tmp_path / "out", sampler="grid")
    assert trained == batches
    assert {record.number: record.state for record in found.records} == {0: "complete", 1: "pruned", 2: "complete"}


def test_only_trials_over_one_base_that_come_one_after_another_train_at_once(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[str]] = []

    def train_joint(watched: Sequence[Watched], folder: Path) -> list[Ended]:
        batches.append([one.trial.name for one in watched])
        return pretended_joint(watched, folder)

    def train_trial(trial: Trial, *arguments: Any, watch: Any = None, **options: Any) -> Ended:
        batches.append([trial.name])
        return finish(trial, watch)

    monkeypatch.setattr(module, "train_joint", train_joint)
    monkeypatch.setattr(module, "train_trial", train_trial)
    edits = ["tuning=[full,lora]", "tuning.rank=[2,4]", "training.seed=[1,2]", "training.dropout=[0.1,0.2]"]
    found = search(job, edits, tmp_path / "out", sampler="grid", pruning="none")
    tuned = {record.number: record.settings for record in found.records}
    assert len(found.having("complete")) == 12
    assert sorted(name for batch in batches for name in batch) == sorted(f"trial-{number}" for number in range(12))
    for batch in batches:
        members = [tuned[int(name.removeprefix("trial-"))] for name in batch]
        assert len({(one["tuning"], one["training.dropout"]) for one in members}) == 1
        assert len(batch) == 1 or members[0]["tuning"] == "lora"


def test_batches_hold_so_many_at_most_and_budgets_end_them(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def counting(watched: Sequence[Watched], folder: Path) -> list[Ended]:
        sizes.append(len(watched))
        return pretended_joint(watched, folder)

    monkeypatch.setattr(module, "train_joint", counting)
    monkeypatch.setattr(module, "train_trial", pretended_alone)
    edits = ["tuning=lora", RATE]
    search(job, edits, tmp_path / "out", trials=7, at_once=3, sampler="random", pruning="none")
    assert sizes == [3, 3]  # and the seventh alone
    monkeypatch.setattr(module, "train_joint", lambda watched, folder: [Ended(stopped=SPENT) for _ in watched])
    found = search(job, edits, tmp_path / "timed", trials=4, budget="60s")
    assert [(record.number, record.state) for record in found.records] == [(n, "stopped") for n in range(4)]
    monkeypatch.setattr(module, "train_joint", counting)
    found = search(job, edits, tmp_path / "timed", trials=4, budget="60s", pruning="none")
    assert len(found.having("complete")) == 4 and sizes[-1] == 4


def test_what_cannot_train_in_one_pass_trains_one_by_one_from_there_on(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []

    def refusing(watched: Sequence[Watched], folder: Path) -> list[Ended]:
        tried.append(len(watched))
        raise TrainingError("these recipes cannot train in one pass: it runs padded", mend="train them alone")

    monkeypatch.setattr(module, "train_joint", refusing)
    monkeypatch.setattr(module, "train_trial", pretended_alone)
    found = search(job, ["tuning=lora", RATE], tmp_path / "out", trials=6, sampler="random", pruning="none")
    assert tried == [4] and len(found.having("complete")) == 6
    assert "it runs padded" in capsys.readouterr().err
    assert study.DATABASE in {path.name for path in (tmp_path / "out").iterdir()}
