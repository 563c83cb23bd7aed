"""From recipe to a trained, saved and verified model: the `train` verb."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from fathom.device import probe_machine
from fathom.locks import only_one, require_writable
from fathom.log import get_console
from fathom.recipe import Recipe, resolve
from fathom.runs.finished import finished_metrics
from fathom.runs.open_run import RunResult, close_run, open_run, score_before
from fathom.runs.pause import pause_at
from fathom.runs.preflight import check_data
from fathom.runs.prepare import PreparedModel, prepare_data, prepare_model
from fathom.runs.prepared import PreparedData
from fathom.runs.shared import Shared


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
    require_writable(folder)
    data = prepare_data(recipe)
    check_data(data.stores["train"], data.task, data.splits.train)
    for note in data.splits.notes:
        get_console().info(note)
    prepared = prepare_model(recipe, data, machine)
    with only_one(folder, what="another training run"), Shared() as shared:
        return train_prepared(recipe, data, prepared, pause_at(deadline), shared=shared)


def train_prepared(
    recipe: Recipe,
    data: PreparedData,
    prepared: PreparedModel,
    pause: Callable[[int], bool] | None = None,
    *,
    shared: Shared,
) -> RunResult:
    """Train a run whose data and model are ready, from where it stands; its folder is held by nobody else.

    Args:
        recipe: Resolved.
        data: Encoded.
        prepared: The model, ready.
        pause: Whether to leave it after a step, to go on another time; see `Hooks`.
        shared: With other runs of the process.
    """
    run = open_run(recipe, data, prepared, Path(str(recipe.output)), shared)
    try:
        get_console().info(run.expected.to_text())
        score_before(run)
        with get_console().progress(run.total_steps, "train", start=run.state.step) as progress:
            loop = run.loop(progress, pause)
            loop.run(run.state)
    finally:
        run.keeper.trackers.close()
    return close_run(run, loop, shared)
