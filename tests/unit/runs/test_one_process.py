"""Runs one after another in one process: each is what it is alone, and what they share is made ready once."""

from __future__ import annotations

import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from fathom.errors import ConfigError, ModelError, TrainingError
from fathom.model.reload import ReloadProcess
from fathom.recipe import Recipe
from fathom.runs import frozen_prefix, one_process
from fathom.runs.one_process import shared_start
from fathom.runs.open_run import RunResult
from fathom.runs.prepare import PreparedModel, prepare_model
from fathom.runs.together import train_together
from fathom.runs.train import train
from fathom.training.loop import Loop, LoopState
from runs_for_tests import identical, lines, make_model, make_recipe

TOP = "tuning={kind: top-layers, layers: 1}"
LONG = "training.max_steps=16"
"""The training split is read more than twice: it comes from the cache."""
VARIED = (
    ("training.seed=1",),
    ("training.seed=1", "training.learning_rate=0.01", "training.weight_decay=0.2"),
    ("training.seed=2", "training.batch_size=5", "training.max_steps=20", "training.optimizer=lion"),
)
"""What differs between the runs: rates, decay, seeds, batches, lengths, optimizers."""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    return make_model(tmp_path / "tiny")


def recipes(tiny: Path, folder: Path, problem: str, *edits: str) -> list[Recipe]:
    folder.mkdir(exist_ok=True)
    return [
        make_recipe(tiny, folder, problem, LONG, *edits, *own, f"output={folder / str(number)}")
        for number, own in enumerate(VARIED)
    ]


@pytest.mark.parametrize(
    ("edits", "alike"),
    [
        (["training.seed=5", "training.learning_rate=1", "training.weight_decay=0.5", "tuning.learning_rate=1"], True),
        (["training.batch_size=3", "training.epochs=9", "training.optimizer=lion"], True),
        (["tuning.layers=2"], False),
        (["data.max_length=9"], False),
        (["training.dropout=0"], False),
        (["training.threads=2"], False),
    ],
)
def test_what_runs_share_a_process_over(tiny: Path, tmp_path: Path, edits: list[str], alike: bool) -> None:
    first = shared_start(make_recipe(tiny, tmp_path, "single", TOP))
    assert first is not None
    assert (shared_start(make_recipe(tiny, tmp_path, "single", TOP, *edits)) == first) is alike


@pytest.mark.parametrize(
    "edits",
    [["tuning=full"], ["tuning=lora"], [TOP, "training.frozen_cache=off"], [TOP, "training.frozen_dropout=true"]],
)
def test_what_has_a_process_of_its_own(tiny: Path, tmp_path: Path, edits: list[str]) -> None:
    assert shared_start(make_recipe(tiny, tmp_path, "single", *edits)) is None


def test_runs_that_begin_otherwise_are_refused(tiny: Path, tmp_path: Path) -> None:
    pair = [make_recipe(tiny, tmp_path, "single", tuning) for tuning in (TOP, "tuning=head")]
    with pytest.raises(ConfigError, match="one process"):
        train_together(pair)


@pytest.mark.parametrize(("problem", "tuning"), [("tags", TOP), ("single", "tuning=head")])
def test_each_is_the_run_it_is_alone_to_the_last_bit(tiny: Path, tmp_path: Path, problem: str, tuning: str) -> None:
    for recipe in recipes(tiny, tmp_path / "apart", problem, tuning):
        train(recipe)
    joint = train_together(recipes(tiny, tmp_path / "joint", problem, tuning))
    for number, result in enumerate(joint):
        assert isinstance(result, RunResult)
        assert "frozen_cache" in result.metrics
        identical(result.folder, tmp_path / "apart" / str(number))
    assert len({lines(tmp_path / "joint" / str(number))[-1]["loss"] for number in range(3)}) == 3


def test_data_and_states_are_opened_once_and_no_model_is_kept(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[weakref.ref[Any]] = []
    calls: Counter[str] = Counter()
    processes: set[int | None] = set()

    def preparing(*arguments: Any, **named: Any) -> PreparedModel:
        assert [one() for one in seen] == [None] * len(seen)
        prepared = prepare_model(*arguments, **named)
        seen.append(weakref.ref(prepared.model))
        return prepared

    def counting(module: Any, name: str) -> None:
        real = getattr(module, name)

        def counted(*arguments: Any) -> Any:
            calls[name] += 1
            return real(*arguments)

        monkeypatch.setattr(module, name, counted)

    def loading(self: ReloadProcess, *arguments: Any) -> torch.Tensor:
        logits = real_logits(self, *arguments)
        processes.add(self.process_id)
        return logits

    real_logits = ReloadProcess.logits
    monkeypatch.setattr(ReloadProcess, "logits", loading)
    monkeypatch.setattr(one_process, "prepare_model", preparing)
    counting(one_process, "prepare_data")
    counting(frozen_prefix, "find_states")
    results = train_together(recipes(tiny, tmp_path / "joint", "single", TOP, "training.verify_reload=true"))
    assert len(seen) == 3
    assert calls == {"prepare_data": 1, "find_states": 2}  # of the training and the validation split
    assert len(processes) == 1
    assert all(isinstance(one, RunResult) and one.metrics["reload_difference"] < 1e-4 for one in results)


def test_a_run_that_fails_is_left_and_the_others_are_trained(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = (TOP, LONG, "training.non_finite=skip", "training.max_skipped_steps=1")

    def recipe_of(rate: str, folder: Path) -> Recipe:
        return make_recipe(
            tiny, tmp_path, "single", *edits, f"training.learning_rate={rate}", f"output={folder / rate}"
        )

    rates = ("1e30", "0.003")
    joint = train_together([recipe_of(rate, tmp_path / "joint") for rate in rates])
    assert isinstance(joint[0], TrainingError)
    assert joint[0].__traceback__ is None
    assert not (tmp_path / "joint" / "1e30" / "metrics.json").exists()
    assert isinstance(joint[1], RunResult)
    identical(joint[1].folder, train(recipe_of("0.003", tmp_path / "alone")).folder)

    def refusing(recipe: Recipe, *arguments: Any) -> PreparedModel:
        if recipe.training.seed == 1:
            raise ModelError("it cannot be loaded")
        return prepare_model(recipe, *arguments)

    monkeypatch.setattr(one_process, "prepare_model", refusing)
    again = train_together(recipes(tiny, tmp_path / "loads", "single", TOP))
    assert [isinstance(one, ModelError) for one in again] == [True, True, False]


def test_stopped_and_run_again_it_is_the_same(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_together(recipes(tiny, tmp_path / "whole", "single", TOP, "training.save_steps=3"))
    original = Loop.follow

    def stopping(self: Loop, state: LoopState, result: Any) -> None:
        if state.step == 8 and self.peak_rate == 0.01:
            raise KeyboardInterrupt
        original(self, state, result)

    monkeypatch.setattr(Loop, "follow", stopping)
    again = recipes(tiny, tmp_path / "cut", "single", TOP, "training.save_steps=3")
    with pytest.raises(KeyboardInterrupt):
        train_together(again)
    monkeypatch.setattr(Loop, "follow", original)
    done = [(tmp_path / "cut" / str(number) / "metrics.json").exists() for number in range(3)]
    assert done == [True, False, False]
    kept = (tmp_path / "cut" / "0" / "metrics.json").stat().st_mtime_ns
    train(again[1])  # alone, from the checkpoint it has
    train_together(again)
    assert (tmp_path / "cut" / "0" / "metrics.json").stat().st_mtime_ns == kept
    for number in ("0", "1", "2"):
        identical(tmp_path / "cut" / number, tmp_path / "whole" / number)


def epoch(tiny: Path, folder: Path, seed: int) -> Recipe:
    """A recipe that reads every training sequence once."""
    folder.mkdir(exist_ok=True)
    once = ("training.max_steps=null", "training.epochs=1", "training.eval_steps=3")
    return make_recipe(tiny, folder, "single", TOP, *once, f"training.seed={seed}", f"output={folder / str(seed)}")


def test_runs_of_one_epoch_read_what_the_first_of_them_computed(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = train(epoch(tiny, tmp_path / "alone", 1))
    assert "frozen_cache" not in alone.metrics
    results = train_together([epoch(tiny, tmp_path / "joint", seed) for seed in (1, 2)])
    assert all(isinstance(one, RunResult) and one.metrics["frozen_cache"]["first_block"] == 1 for one in results)
    seconds = [one.metrics["frozen_cache"]["computed_seconds"] for one in results if isinstance(one, RunResult)]
    assert seconds[0] > 0 == seconds[1]
    pairs = zip(lines(alone.folder), lines(tmp_path / "joint" / "1"), strict=True)
    assert all(one.get("loss") == pytest.approx(other.get("loss"), abs=1e-5) for one, other in pairs)
    # what is left of a group that was killed may be one run: it goes on with the cache, as it began
    identical(train(epoch(tiny, tmp_path / "later", 2)).folder, tmp_path / "joint" / "2")
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "empty"))
    (last,) = train_together([epoch(tiny, tmp_path / "last", 1)])
    assert isinstance(last, RunResult) and "frozen_cache" not in last.metrics
    identical(last.folder, alone.folder)


def test_times_are_those_of_the_run_and_memory_is_forecast_of_a_process_that_worked_before(
    tiny: Path, tmp_path: Path
) -> None:
    results = train_together(recipes(tiny, tmp_path / "joint", "single", TOP))
    assert all(isinstance(one, RunResult) for one in results)
    metrics = [one.metrics for one in results if isinstance(one, RunResult)]
    first, *later = (one["timing"] for one in metrics)
    for one in later:
        assert 0 < one["seconds_to_first_step"] < one["total_seconds"] < first["total_seconds"]
    assert [one["forecast"]["memory"]["prepared"] for one in metrics][1:] == [0, 0]
    assert all(("memory_error" in one["measured"]) != ("together" in one) for one in metrics)
