"""Several runs one after another in one process: what they begin with is made ready once.

Of a short run, loading libraries, reading the data, opening the outputs of frozen blocks and loading the saved model in
a fresh process can take longer than the steps above those blocks. Each run is otherwise the one it is alone, to the
last bit: its own model, order, masks, optimizer, checkpoints and folder.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Sequence

from fathom.device import Machine, process_age_seconds, release_free_memory, reset_peak_memory
from fathom.errors import FathomError
from fathom.log import get_console
from fathom.model.reload import ReloadProcess
from fathom.recipe import Recipe
from fathom.runs.open_run import RunResult
from fathom.runs.preflight import check_data
from fathom.runs.prepare import own_data, prepare_data, prepare_model
from fathom.runs.prepared import PreparedData
from fathom.runs.shared import Shared
from fathom.runs.train import train_prepared
from fathom.tuning.head import Head
from fathom.tuning.layers import Layers
from fathom.tuning.top_layers import TopLayers

OF_THE_MODEL = ("precision", "dropout", "packing", "threads")
"""Training settings that the runs of a process have in common; all others are each run's own."""

Result = RunResult | FathomError | OSError


def shared_start(recipe: Recipe) -> str | None:
    """Return what a recipe's run begins with: runs of which it is equal can train in one process.

    None where nothing is frozen below what learns, or where the frozen blocks are to run in every pass.
    """
    tuning, settings = recipe.tuning, recipe.training
    if not isinstance(tuning, Head | TopLayers | Layers) or settings.frozen_cache == "off" or settings.frozen_dropout:
        return None
    said = recipe.model_dump(mode="json", include={"model", "data", "task"})
    own = tuning.model_dump(mode="json", exclude={"learning_rate"})
    return json.dumps([said, own, settings.model_dump(mode="json", include=set(OF_THE_MODEL))], sort_keys=True)


def train_one_by_one(recipes: Sequence[Recipe], machine: Machine, time_limit: float | None = None) -> list[Result]:
    """Train runs that begin with the same; one that fails is left, and the others are trained.

    Args:
        recipes: Resolved; `shared_start` is the same for all.
        machine: Where they run.
        time_limit: Seconds of training for each; see `train`.

    Raises:
        DataError: Something is wrong with the data that all of them read.
    """
    data = prepare_data(recipes[0])
    check_data(data.stores["train"], data.task)
    for note in data.splits.notes:
        get_console().info(note)
    results: list[Result] = []
    with ReloadProcess() as fresh:
        shared = Shared(fresh=fresh)
        for number, recipe in enumerate(recipes):
            get_console().info(f"run {number + 1} of {len(recipes)}: {recipe.output}")
            if number > 0:
                shared = _next(shared, machine, len(recipes))
            results.append(_train(recipe, data, (machine, time_limit), shared))
    return results


def _train(recipe: Recipe, first: PreparedData, given: tuple[Machine, float | None], shared: Shared) -> Result:
    machine, time_limit = given
    try:
        data = own_data(recipe, first)
        prepared = prepare_model(recipe, data, machine)
        deadline = None if time_limit is None else time.monotonic() + time_limit
        return train_prepared(recipe, data, prepared, deadline, shared=shared)
    except (FathomError, OSError) as error:
        return without_trace(error)


def without_trace(error: FathomError | OSError) -> FathomError | OSError:
    """Return an error without what led to it, which would keep a model and its optimizer in memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def let_go() -> None:
    """Free what earlier runs of the process took."""
    gc.collect()  # modules and their hooks hold each other
    release_free_memory()


def _next(before: Shared, machine: Machine, together: int) -> Shared:
    """Let go of the run before, and measure from here."""
    let_go()
    return Shared(
        together=1 if reset_peak_memory(machine.device) else together,
        earlier=before.earlier + 1,
        began_seconds=process_age_seconds(),
        states=before.states,
        fresh=before.fresh,
    )
