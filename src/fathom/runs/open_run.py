"""A run that is ready for its loop: what it is made of, and how it begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fathom import catalog, files
from fathom.data.sampler import Indices
from fathom.device import peak_memory_bytes
from fathom.log import Progress, get_console
from fathom.recipe import Recipe, dump_recipe
from fathom.runs.finish import Outcome, finish
from fathom.runs.forecast import Forecast, forecast
from fathom.runs.frozen_prefix import FrozenPrefix, attach_prefix
from fathom.runs.keeper import RunKeeper, open_keeper
from fathom.runs.pause import Pause, pause_of
from fathom.runs.prepare import PreparedModel
from fathom.runs.prepared import PreparedData
from fathom.runs.scoring import Scorer, score
from fathom.runs.shared import Shared
from fathom.runs.skipped import write_skipped
from fathom.tracking.base import TrackerGroup
from fathom.training.guard import Guard
from fathom.training.in_backward import loop_of
from fathom.training.loop import Hooks, Loop, LoopState, Plan
from fathom.training.optimizers.base import Places
from fathom.training.optimizers.staged import open_optimizer
from fathom.training.scores import evaluation_line, plain_scores, require_score
from fathom.training.settings import Training


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


@dataclass(frozen=True)
class OpenRun:
    """A run that stands before its first or its next step.

    Attributes:
        recipe: Resolved.
        data: As it was read.
        prepared: The model, ready.
        folder: Of the run.
        state: Where it stands.
        keeper: Of its checkpoints, with its optimizer and guard.
        expected: Its forecast.
        frozen: What comes from the cache of frozen blocks.
        memory_bytes: What the process should take at most, by forecast; see `Hooks`.
        name: What it is called in what the user is told, where several train at once.
    """

    recipe: Recipe
    data: PreparedData
    prepared: PreparedModel
    folder: Path
    state: LoopState
    keeper: RunKeeper
    expected: Forecast
    frozen: FrozenPrefix | None
    memory_bytes: int | None
    name: str = ""

    @property
    def seen(self) -> PreparedData:
        """The data as the loop reads them, with the states of the frozen part where they are kept."""
        return self.data if self.frozen is None else self.frozen.data

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return Plan.of(self.recipe.training, self.prepared.work.num_sequences).total_steps

    @property
    def metric(self) -> str:
        """The score that chooses the best model."""
        return self.recipe.training.metric_for_best_model or self.data.task.main_metric

    @property
    def evaluate(self) -> Callable[[], dict[str, Any]] | None:
        """Scores the validation split at an evaluation; None without one."""
        split = self.seen.split("validation")
        if split is None:
            return None
        return partial(score, replace(self.scorer, generated=self.data.task.generated_examples), split)

    @property
    def scorer(self) -> Scorer:
        """The model, to be scored."""
        work, size = self.prepared.work, self.recipe.training.eval_batch_size
        limit = self.memory_bytes
        return Scorer(work.model, work.packed, self.data.task, size, work.vocabulary, memory_bytes=limit)

    def loop(self, progress: Progress, pause: Callable[[int], bool] | None = None) -> Loop:
        """Make its loop; see `Hooks`."""
        recipe, keeper, model = self.recipe, self.keeper, self.prepared.model
        settings, work = recipe.training, self.prepared.work
        hooks = Hooks(
            keeper.trackers.log,
            self.evaluate,
            keeper.save,
            keeper.keep_best,
            partial(_places, self.seen),
            progress,
            partial(recipe.tuning.after_step, model),
            pause,
            self.memory_bytes,
            self.name,
        )
        parts = (keeper.optimizer, settings.lr_scheduler, keeper.guard)
        return loop_of(settings)(work, settings, parts, hooks, self.metric, places=_component_places(self.prepared))


def open_run(recipe: Recipe, data: PreparedData, prepared: PreparedModel, folder: Path, shared: Shared) -> OpenRun:
    """Make everything ready for the loop, at the newest checkpoint where there is one.

    Args:
        recipe: Resolved.
        data: Encoded.
        prepared: The model, ready.
        folder: Of the run.
        shared: With earlier runs of the process.

    Raises:
        ConfigError: The checkpoints are of another recipe or other data.
    """
    settings, work = recipe.training, prepared.work
    _tell_of_warmup(settings, work.num_sequences)
    trackers = open_trackers(recipe, folder)
    guard = Guard(settings.non_finite, settings.max_skipped_steps, settings.spike_factor)
    optimizer = open_optimizer(settings.optimizer, work.parameters, settings, _component_places(prepared))
    keeper = open_keeper(recipe, data, prepared, (optimizer, guard, trackers), folder)
    state = keeper.begin()
    files.write_atomic(folder / "recipe.yaml", dump_recipe(recipe))
    write_skipped(folder, data.splits.skipped)
    frozen = attach_prefix(recipe, data, prepared, shared)
    seen = data if frozen is None else frozen.data
    held = None if work.stages is None else sum(tensor.nbytes for tensor in optimizer.state_tensors().values())
    expected = forecast(recipe, seen, prepared, frozen=frozen, warm=shared.earlier > 0, optimizer_held=held)
    return OpenRun(recipe, data, prepared, folder, state, keeper, expected, frozen, expected.memory_limit_bytes)


def close_run(run: OpenRun, loop: Loop, shared: Shared) -> RunResult:
    """Score, save and verify what the loop left; or say where it was paused.

    Args:
        run: As it was opened; its trackers are closed.
        loop: Of the run, at its end.
        shared: With other runs of the process.
    """
    peak_bytes = shared.peak_bytes or peak_memory_bytes(run.expected.device)
    if loop.paused:
        return RunResult(run.folder, {}, pause_of(loop, run.state, run.evaluate))
    wanted = run.recipe.training.load_best_model_at_end and run.state.best_step is not None
    outcome = Outcome(
        run.folder,
        run.state,
        loop.clock,
        peak_bytes,
        run.expected,
        run.keeper.guard.skipped_total,
        run.state.best_step if wanted and run.keeper.load_best(run.state) else None,
        run.frozen,
        shared,
    )
    return RunResult(run.folder, finish(run.recipe, run.data, run.prepared, outcome))


def open_trackers(recipe: Recipe, folder: Path) -> TrackerGroup:
    """Open the trackers of a run; `jsonl` is always among them."""
    names = dict.fromkeys(("jsonl", *recipe.trackers))
    return TrackerGroup([catalog.load("tracker", name)().open(folder) for name in names])


def score_before(run: OpenRun) -> None:
    """Score the untrained model, so that the gain can be told.

    Raises:
        ConfigError: The score that is to choose the best model is none of them: told now, not after the first epoch.
    """
    split = run.seen.split("validation")
    if split is None or run.state.step > 0 or not run.recipe.training.evaluate_before:
        return
    run.prepared.model.eval()
    run.state.before = score(run.scorer, split)
    run.keeper.trackers.log(0, {"split": "validation", "epoch": 0.0, **plain_scores(run.state.before)})
    if run.seen.task.writing_metrics and run.metric not in run.state.before:
        return  # what is written is judged at the first evaluation
    score_now = require_score(run.metric, run.state.before)
    get_console().info(evaluation_line((0, run.total_steps), (run.metric, score_now), "before training", run.name))


def _tell_of_warmup(settings: Training, num_sequences: int) -> None:
    """Warn of a warmup that the run is too short for."""
    total = Plan.of(settings, num_sequences).total_steps
    if settings.warmup_steps is not None and settings.warmup_steps >= total:
        get_console().warn(
            f"warmup takes all {total:,} steps ({settings.warmup_steps:,} are asked for): the learning rate rises to "
            "the end and never falls; lower training.warmup_steps, or write training.warmup_ratio"
        )


def _component_places(prepared: PreparedModel) -> Places:
    return {name: prepared.anatomy.component_of(name) for name in prepared.work.parameters.slots}


def _places(data: PreparedData, rows: Indices) -> Sequence[str]:
    """Say where the examples of a batch come from."""
    owners = data.stores["train"].owners[rows]
    return [str(data.splits.train[int(owner)].get("where", f"example {owner}")) for owner in owners]
