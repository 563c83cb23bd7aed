"""Searches whose trials begin above the same frozen blocks: one process, stopped, killed and taken up again."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from fathom.recipe import load_recipe
from fathom.runs import search as module
from fathom.runs import shared_process
from fathom.runs.search import Watch, search
from fathom.runs.search_result import read_curve
from fathom.runs.shared_process import SERVER, SharedProcess
from fathom.runs.train import train
from fathom.runs.trial_process import Ended
from fathom.runs.trials import Trial
from runs_for_tests import identical, make_model, make_recipe

SOURCE = Path(__file__).resolve().parents[3] / "src"
LONG = ("training.max_steps=1600", "training.eval_steps=20", "training.evaluate_before=false")
"""Scored early and often, and long: however busy the machine is, a trial is seen before it ends."""
RATES = "training.learning_rate=[0.001,0.003,0.01]"


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.setattr(shared_process, "POLL_SECONDS", 0.02)
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    return str(tmp_path / "job.yaml")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Processes that were begun for trials, by their number."""
    found: list[int] = []
    real = subprocess.Popen

    def counted(command: list[str], *arguments: Any, **options: Any) -> Any:
        process = real(command, *arguments, **options)
        if SERVER in command:
            found.append(process.pid)
        return process

    monkeypatch.setattr(subprocess, "Popen", counted)
    return found


def trial_of(job: str, folder: Path, name: str, *edits: str) -> Trial:
    recipe = load_recipe(job, ["tuning=head", *LONG, *edits, f"output={folder / 'trials' / name}"])
    return Trial(name, {}, recipe)


def alone(trial: Trial, folder: Path) -> Path:
    """Train a trial without a search; returns its folder."""
    place = folder / "alone" / trial.name
    train(trial.recipe.model_copy(update={"output": str(place)}))
    return place


def until(trial: Trial, then: Callable[[], str | None]) -> Callable[[], str | None]:
    """What is done once a trial has been scored."""
    return lambda: then() if read_curve(Path(str(trial.recipe.output)), "accuracy") else None


def is_locked(path: Path) -> bool:
    with open(path, "rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_search_that_was_stopped_in_the_middle_gives_what_each_trial_gives_alone(
    job: str, tmp_path: Path, begun: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Watch.__call__

    def interrupting(self: Watch) -> str | None:
        if self.taken.live.number == 1 and read_curve(Path(str(self.recipe.output)), "accuracy"):
            raise KeyboardInterrupt
        return real(self)

    edits = ["tuning=head", *LONG, RATES]
    options: dict[str, Any] = {"sampler": "grid", "pruning": "none"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Watch, "__call__", interrupting)
        search(job, edits, tmp_path / "out", **options)
    assert len(begun) == 1
    kept = (tmp_path / "out" / "trials" / "trial-0" / "metrics.json").stat().st_mtime_ns
    assert not (tmp_path / "out" / "trials" / "trial-1" / "metrics.json").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(begun[0], 0)
    found = search(job, edits, tmp_path / "out", **options)
    assert len(begun) == 2
    assert "again at trial 1" in capsys.readouterr().err
    assert [record.state for record in found.records] == ["complete"] * 3
    assert (tmp_path / "out" / "trials" / "trial-0" / "metrics.json").stat().st_mtime_ns == kept
    for number in range(3):
        place = tmp_path / "out" / "trials" / f"trial-{number}"
        trial = Trial(place.name, {}, load_recipe(f"{place}.yaml"))
        identical(place, alone(trial, tmp_path))


def test_trials_of_a_process_are_left_killed_and_followed_by_others(job: str, tmp_path: Path, begun: list[int]) -> None:
    out = tmp_path / "out"
    first, second = (trial_of(job, out, name, f"training.seed={name[1:]}") for name in ("s1", "s2"))
    other = trial_of(job, out, "other", "tuning={kind: top-layers, layers: 1}", "training.max_steps=4")

    def kill() -> None:
        os.kill(begun[-1], signal.SIGKILL)

    def fail() -> str | None:
        raise RuntimeError("the study cannot be read")

    lock = tmp_path / "claim"
    lock.touch()
    claimed = os.open(lock, os.O_RDWR)
    fcntl.flock(claimed, fcntl.LOCK_EX)
    seen: list[bool] = []

    def let_go() -> None:
        """Close our descriptor, as the kernel does that of a search that is killed."""
        if not seen:
            os.close(claimed)
        seen.append(is_locked(lock))

    with open(os.devnull, "rb") as claim, SharedProcess(out) as shared:
        held = claim.fileno()
        assert shared.train(first, "head", until(first, lambda: "pruned"), held) == Ended(stopped="pruned")
        assert shared.train(second, "head", until(second, let_go), claimed).error is None
        assert seen and seen[0] and not is_locked(lock)
        assert shared.train(first, "head", lambda: None, held).error is None
        assert len(begun) == 1
        ended = shared.train(other, "top", lambda: None, held)
        assert ended.error is None and len(begun) == 2
        third, fourth = (trial_of(job, out, name) for name in ("killed", "failed"))
        assert shared.train(third, "top", until(third, kill), held).error is not None
        assert not Path(str(third.recipe.output), "metrics.json").exists()
        with pytest.raises(RuntimeError):
            shared.train(fourth, "top", until(fourth, fail), held)
        assert len(begun) == 3
        with pytest.raises(ProcessLookupError):
            os.kill(begun[-1], 0)
    for trial in (first, second, other):
        identical(Path(str(trial.recipe.output)), alone(trial, tmp_path))


def finish(trial: Trial) -> Ended:
    """Write what a run leaves, without the run."""
    place = Path(str(trial.recipe.output))
    place.mkdir(parents=True)
    scores = {"validation": {"accuracy": 0.5}, "test": {"accuracy": 0.5}, "recipe_digest": ""}
    (place / "metrics.json").write_text(json.dumps(scores), encoding="utf-8")
    return Ended()


class Pretended(SharedProcess):
    """Says what it was asked for."""

    asked: list[tuple[str, str, int]]
    closed: list[int]

    def train(self, trial: Trial, start: str, watch: Callable[[], str | None], claim: int, to_come: int = 0) -> Ended:
        self.asked.append((trial.name, start, to_come))
        return finish(trial)

    def close(self) -> None:
        self.closed.append(len(self.asked))

    def __enter__(self) -> Self:
        return self


def test_only_trials_that_begin_with_the_same_share_a_process(
    job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single: list[str] = []

    def train_alone(trial: Trial, *arguments: Any, **options: Any) -> Ended:
        single.append(trial.name)
        return finish(trial)

    Pretended.asked, Pretended.closed = [], []
    monkeypatch.setattr(module, "SharedProcess", Pretended)
    monkeypatch.setattr(module, "train_trial", train_alone)
    edits = ["tuning=[top-layers,full,head]", "tuning.layers=[1,2]", "training.learning_rate=[0.01,0.001]"]
    search(job, edits, tmp_path / "out", sampler="grid", pruning="none")
    starts = [start for _, start, _ in Pretended.asked]
    assert len(Pretended.asked) == 6 and len(set(starts)) == 3  # two depths and the head
    assert len(single) == 2 and len(Pretended.closed) == 3
    every = sorted([*single, *(name for name, _, _ in Pretended.asked)])
    assert every == [f"trial-{number}" for number in range(8)]
    assert [to_come for name, _, to_come in Pretended.asked] == [
        7 - int(name.removeprefix("trial-")) for name, _, _ in Pretended.asked
    ]


def test_how_many_trials_are_to_come(job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pretended.asked, Pretended.closed = [], []
    monkeypatch.setattr(module, "SharedProcess", Pretended)
    edits = ["tuning=head", "training.learning_rate=log(1e-5,1e-1)"]
    search(job, edits, tmp_path / "out", trials=3, pruning="none")
    assert [to_come for _, _, to_come in Pretended.asked] == [2, 1, 0]
    search(job, edits, tmp_path / "out", trials=5, pruning="none")
    assert [to_come for _, _, to_come in Pretended.asked] == [2, 1, 0, 1, 0]
    search(job, edits, tmp_path / "timed", budget="60s", trials=2, pruning="none")
    assert [to_come for _, _, to_come in Pretended.asked[5:]] == [1, 0]
