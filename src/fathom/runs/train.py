"""From recipe to a trained, saved and verified model: the `train` verb."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from fathom import catalog, files
from fathom.data.sampler import Indices
from fathom.device import peak_memory_bytes, probe_machine
from fathom.log import Progress, get_console
from fathom.recipe import Recipe, dump_recipe, resolve
from fathom.runs.finish import Outcome, finish
from fathom.runs.finished import finished_metrics
from fathom.runs.forecast import Forecast, forecast
from fathom.runs.frozen_prefix import attach_prefix
from fathom.runs.keeper import RunKeeper, open_keeper
from fathom.runs.pause import Pause, pause_at, pause_of
from fathom.runs.preflight import check_data, check_trainable
from fathom.runs.prepare import PreparedModel, prepare_data, prepare_model
from fathom.runs.prepared import PreparedData
from fathom.runs.scoring import Scorer, score
from fathom.runs.skipped import write_skipped
from fathom.tracking.base import TrackerGroup
from fathom.training.guard import Guard
from fathom.training.loop import Hooks, Loop, LoopState, Plan, plain_scores
from fathom.training.optimizers.staged import open_optimizer


@dataclass(frozen=True)
class RunResult:
    """What a run leaves.

    Attributes:
        folder: The run folder; the model lies in its `model` folder.
        metrics: What `metrics.json` holds; empty where the run is paused.
        paused: Where it stands, if its time was up before its end; there is no model yet.
    """

    folder: Path
    metrics: dict[str, Any]
    paused: Pause | None = None


def train(recipe: Recipe, *, time_limit: float | None = None) -> RunResult:
    """Train as a recipe says; a run that was stopped goes on where it was, a finished one is not repeated.

    Args:
        recipe: Resolved here for this machine.
        time_limit: Seconds after which the run is saved and left, to go on another time as if it had not been (bit for
            bit but for the rows of words that never occur, which are rounded once more); at least one step is made.
            What saving and scoring take comes on top.

    Returns:
        The run folder and its metrics.

    Raises:
        InputError: The recipe, the data or the model is wrong; nothing half-written is left.
        TrainingError: Training cannot go on.
    """
    deadline = None if time_limit is None else time.monotonic() + time_limit
    machine = probe_machine()
    asked, recipe = recipe, resolve(recipe, machine)
    assert recipe.output is not None
    folder = Path(recipe.output)
    finished = finished_metrics(folder, recipe, asked)
    if finished is not None:
        get_console().info(f"{folder} is finished; give another output to train again")
        return RunResult(folder, finished)
    data = prepare_data(recipe)
    check_data(data.stores["train"], data.task)
    for note in data.splits.notes:
        get_console().info(note)
    prepared = prepare_model(recipe, data, machine)
    check_trainable(prepared.model, recipe.tuning.kind)
    with files.only_one(folder, what="another training run"):
        return _run(recipe, data, prepared, (folder, deadline))


def _run(recipe: Recipe, data: PreparedData, prepared: PreparedModel, place: tuple[Path, float | None]) -> RunResult:
    folder, deadline = place
    settings, work = recipe.training, prepared.work
    trackers = open_trackers(recipe, folder)
    guard = Guard(settings.non_finite, settings.max_skipped_steps, settings.spike_factor)
    places = {name: prepared.anatomy.component_of(name) for name in work.parameters.slots}
    optimizer = open_optimizer(settings.optimizer, work.parameters, settings, places)
    keeper = open_keeper(recipe, data, prepared, (optimizer, guard, trackers), folder)
    state = keeper.begin()
    files.write_atomic(folder / "recipe.yaml", dump_recipe(recipe))
    write_skipped(folder, data.splits.skipped)
    frozen = attach_prefix(recipe, data, prepared)
    seen = data if frozen is None else frozen.data
    expected = forecast(recipe, seen, prepared, frozen=frozen)
    get_console().info(expected.to_text())
    scorer = _scorer(recipe, seen, prepared, expected)
    if state.step == 0 and settings.evaluate_before:
        _score_before(scorer, seen, (state, trackers))
    total = Plan.of(settings, work.num_sequences).total_steps
    with get_console().progress(total, "train", start=state.step) as progress:
        hooks = _hooks(recipe, seen, prepared.model, (keeper, trackers, progress, scorer))
        hooks = replace(hooks, pause=pause_at(deadline), memory_bytes=expected.memory_limit_bytes)
        metric = settings.metric_for_best_model or data.task.main_metric
        loop = Loop(work, settings, (optimizer, settings.lr_scheduler, guard), hooks, metric, places=places)
        loop.run(state)
    peak_bytes = peak_memory_bytes(expected.device)
    trackers.close()
    if loop.paused:
        return RunResult(folder, {}, pause_of(loop, state, hooks.evaluate))
    if settings.load_best_model_at_end and state.best_step is not None:
        keeper.load_best(state)
    outcome = Outcome(folder, state, loop.clock, peak_bytes, expected, frozen)
    return RunResult(folder, finish(recipe, data, prepared, outcome))


def open_trackers(recipe: Recipe, folder: Path) -> TrackerGroup:
    """Open the trackers of a run; `jsonl` is always among them."""
    names = dict.fromkeys(("jsonl", *recipe.trackers))
    return TrackerGroup([catalog.load("tracker", name)().open(folder) for name in names])


def _hooks(
    recipe: Recipe,
    data: PreparedData,
    model: nn.Module,
    parts: tuple[RunKeeper, TrackerGroup, Progress, Scorer],
) -> Hooks:
    keeper, trackers, progress, scorer = parts
    split = data.split("validation")
    evaluate = None
    if split is not None:
        evaluate = partial(score, replace(scorer, generated=data.task.generated_examples), split)
    after_step = partial(recipe.tuning.after_step, model)
    return Hooks(trackers.log, evaluate, keeper.save, keeper.keep_best, partial(_places, data), progress, after_step)


def _score_before(scorer: Scorer, data: PreparedData, parts: tuple[LoopState, TrackerGroup]) -> None:
    """Score the untrained model, so that the gain can be told."""
    state, trackers = parts
    split = data.split("validation")
    if split is None:
        return
    scorer.model.eval()
    state.before = score(scorer, split)
    trackers.log(0, {"split": "validation", "epoch": 0.0, **plain_scores(state.before)})


def _scorer(recipe: Recipe, data: PreparedData, prepared: PreparedModel, expected: Forecast) -> Scorer:
    work, batch_size, limit = prepared.work, recipe.training.eval_batch_size, expected.memory_limit_bytes
    return Scorer(work.model, work.packed, data.task, batch_size, work.vocabulary, memory_bytes=limit)


def _places(data: PreparedData, rows: Indices) -> Sequence[str]:
    """Say where the examples of a batch come from."""
    owners = data.stores["train"].owners[rows]
    return [str(data.splits.train[int(owner)].get("where", f"example {owner}")) for owner in owners]
