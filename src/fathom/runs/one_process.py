"""Several runs one after another in one process: what they begin with is made ready once.

Of a short run, loading libraries, reading the data, opening the outputs of frozen blocks and loading the saved model in
a fresh process can take longer than the steps above those blocks. Each run is otherwise the one it is alone, to the
last bit: its own model, order, masks, optimizer, checkpoints and folder.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from fathom.device import Machine, process_age_seconds, release_free_memory, reset_peak_memory
from fathom.errors import FathomError
from fathom.log import get_console
from fathom.model.reload import ReloadProcess
from fathom.recipe import Recipe
from fathom.runs.open_run import RunResult
from fathom.runs.pause import Leave, pause_at
from fathom.runs.preflight import check_data
from fathom.runs.prepare import own_data, prepare_data, prepare_model
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


def train_one_by_one(
    recipes: Sequence[Recipe], machine: Machine, time_limit: float | None = None, leave: Leave | None = None
) -> list[Result]:
    """Train runs that begin with the same; one that fails is left, and the others are trained.

    Args:
        recipes: Resolved; `shared_start` is the same for all.
        machine: Where they run.
        time_limit: Seconds of training for each; see `train`.
        leave: Asked in the place of a limit.

    Raises:
        DataError: Something is wrong with the data that all of them read.
    """
    results: list[Result] = []
    with ReloadProcess() as fresh, Shared(fresh=fresh) as shared:
        series = Series(recipes[0], machine, shared)
        for number, recipe in enumerate(recipes, 1):
            get_console().info(f"run {number} of {len(recipes)}: {recipe.output}")
            pause = None if leave is None else partial(leave, str(recipe.output))
            results.append(series.train(recipe, len(recipes) - number, time_limit=time_limit, pause=pause))
    return results


class Series:
    """Runs that begin with the same, one after another as they come.

    Args:
        first: Resolved; `shared_start` of the others is the same.
        machine: Where they run.
        shared: By all of them; whoever opened it closes it.

    Raises:
        DataError: Something is wrong with the data that all of them read.
    """

    def __init__(self, first: Recipe, machine: Machine, shared: Shared) -> None:
        self.data = prepare_data(first)
        check_data(self.data.stores["train"], self.data.task, self.data.splits.train)
        for note in self.data.splits.notes:
            get_console().info(note)
        self.machine = machine
        self.shared = shared
        self.begun = 0

    def train(
        self,
        recipe: Recipe,
        to_come: int,
        *,
        time_limit: float | None = None,
        pause: Callable[[int], bool] | None = None,
    ) -> Result:
        """Train the next run, from where it stands; returns why it failed, if it did.

        Args:
            recipe: Resolved.
            to_come: Runs that may follow it.
            time_limit: Seconds of training; see `train`.
            pause: Asked in the place of a limit; see `Hooks`.
        """
        if self.begun > 0:
            self._let_go_of_the_last()
        self.begun += 1
        shared = replace(self.shared, to_come=to_come)
        try:
            data = own_data(recipe, self.data)
            prepared = prepare_model(recipe, data, self.machine)
            if time_limit is not None:
                pause = pause_at(time.monotonic() + time_limit)
            return train_prepared(recipe, data, prepared, pause, shared=shared)
        except (FathomError, OSError) as error:
            return without_trace(error)

    def _let_go_of_the_last(self) -> None:
        """Free what the run before took, and measure from here."""
        let_go()
        measured_apart = reset_peak_memory(self.machine.device)
        self.shared = replace(
            self.shared,
            together=1 if measured_apart else self.begun + 1,
            earlier=self.begun,
            began_seconds=process_age_seconds(),
        )


def without_trace(error: FathomError | OSError) -> FathomError | OSError:
    """Return an error without what led to it, which would keep a model and its optimizer in memory."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def let_go() -> None:
    """Free what earlier runs of the process took."""
    gc.collect()  # modules and their hooks hold each other
    release_free_memory()
