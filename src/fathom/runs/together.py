"""Several runs in one process: LoRA adapters over one frozen base in one pass, others one after another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from fathom.device import (
    Machine,
    available_memory_bytes,
    current_memory_bytes,
    peak_memory_bytes,
    probe_machine,
    reset_peak_memory,
)
from fathom.errors import ConfigError, FathomError, ModelError
from fathom.locks import only_one
from fathom.log import Progress, Value, format_bytes, get_console
from fathom.model.ledger import Ledger
from fathom.model.many_lora import Adapter, SharedBase
from fathom.model.reload import ReloadProcess
from fathom.recipe import Recipe, resolve
from fathom.runs.finished import finished_metrics
from fathom.runs.forecast import run_ledger
from fathom.runs.joint_memory import fits, joint_memory, most_tokens
from fathom.runs.micro_batch import MEMORY_SHARE, ROOM_SHARE, Room, usual_order
from fathom.runs.one_process import OF_THE_MODEL, Result, let_go, shared_start, train_one_by_one, without_trace
from fathom.runs.open_run import OpenRun, RunResult, close_run, open_run, score_before
from fathom.runs.pause import Leave, PauseAsked, pause_at
from fathom.runs.preflight import check_data
from fathom.runs.prepare import PreparedModel, load_untuned, own_data, prepare_data, prepare_model
from fathom.runs.prepared import PreparedData, check_strategy
from fathom.runs.shared import Shared
from fathom.training.loop import Loop
from fathom.training.together import Asked, JointSteps, Together
from fathom.tuning.lora import Lora

OWN_WEIGHTS = ("pissa", "olora")
"""Initializations that change the base's weights, so that no two trials have the same."""


def shared_base(recipe: Recipe) -> str | None:
    """Return what a recipe's run shares a pass with others over: runs of which it is equal can train together.

    None where it trains alone: it is no LoRA of that kind, or reads no text, or more than the pass is not its own.
    """
    tuning, settings = recipe.tuning, recipe.training
    if type(tuning) is not Lora or tuning.bias != "none" or tuning.initialization in OWN_WEIGHTS:
        return None
    if settings.log_gradients != "none" or not settings.packing:
        return None
    if settings.activation_checkpointing or settings.activation_offload or settings.optimizer_in_backward:
        return None
    said = recipe.model_dump(mode="json", include={"model", "data", "task"})
    return json.dumps([said, settings.model_dump(mode="json", include=set(OF_THE_MODEL))], sort_keys=True)


def train_together(
    recipes: Sequence[Recipe], *, time_limit: float | None = None, leave: Leave | None = None
) -> list[Result]:
    """Train several recipes in one process; each leaves the run folder it leaves alone.

    LoRA recipes train in one pass over the base they share: rank, alpha, rates, seeds, schedules, batch sizes and
    lengths may differ. Recipes of one strategy that leaves the lowest blocks alone (`top-layers`, `layers`, `head`)
    train one after another, and rates, seeds and all other settings of training may differ. Every run keeps its own
    data order, masks, loss, clipping, optimizer, evaluations and checkpoints. Stopped runs go on where they were,
    finished ones are not repeated; a run that fails (its loss is not finite, say) is left and the others go on.

    Args:
        recipes: Each with an output of its own; resolved here.
        time_limit: Seconds of training for each, after which it is saved and left, to go on another time; runs of one
            pass are left when the seconds of all are over. What loading, saving and scoring take comes on top.
        leave: Asked after each step in the place of a limit; see `Leave`.

    Returns:
        For each recipe its result, or why it failed.

    Raises:
        ConfigError: The recipes cannot train in one process; says why. Nothing was trained.
    """
    machine = probe_machine()
    resolved = [resolve(recipe, machine) for recipe in recipes]
    train = _trainer(resolved)
    results: dict[int, Result] = {}
    folders = [Path(str(recipe.output)) for recipe in resolved]
    for number, (recipe, asked) in enumerate(zip(resolved, recipes, strict=True)):
        found = finished_metrics(folders[number], recipe, asked)
        if found is not None:
            results[number] = RunResult(folders[number], found)
    waiting = {number: recipe for number, recipe in enumerate(resolved) if number not in results}
    if waiting:
        with ExitStack() as held:
            for number in waiting:
                held.enter_context(only_one(folders[number], what="another training run"))
            trained = train(list(waiting.values()), machine, time_limit, leave)
        results |= dict(zip(waiting, trained, strict=True))
    return [results[number] for number in range(len(recipes))]


def _trainer(
    recipes: Sequence[Recipe],
) -> Callable[[Sequence[Recipe], Machine, float | None, Leave | None], list[Result]]:
    """Return how recipes train in one process."""
    for common, train in ((shared_base, _train_in_one_pass), (shared_start, train_one_by_one)):
        found = {common(recipe) for recipe in recipes}
        if len(found) == 1 and None not in found:
            return train
    raise ConfigError(
        "these recipes cannot train in one process",
        where="tuning",
        mend="take recipes of one model, data, task and precision: LoRA (without biases, no pissa or olora), or one of "
        "head, top-layers and layers with the same options",
    )


def _train_in_one_pass(
    recipes: Sequence[Recipe], machine: Machine, time_limit: float | None, leave: Leave | None
) -> list[Result]:
    """Train as many runs in one pass as fit the memory by forecast, then the next."""
    results: list[Result] = []
    while len(results) < len(recipes):
        if results:
            let_go()
            reset_peak_memory(machine.device)
        pauses = partial(_pauses, time_limit=time_limit, leave=leave)
        results += _pass(recipes[len(results) :], machine, pauses, earlier=len(results))
    return results


def _pauses(runs: Sequence[OpenRun], time_limit: float | None, leave: Leave | None) -> list[PauseAsked]:
    """Return what the loop of each run asks after a step; the time of a limit begins here."""
    if leave is not None:
        return [partial(leave, str(run.recipe.output)) for run in runs]
    return [None if time_limit is None else pause_at(time.monotonic() + time_limit * len(runs))] * len(runs)


def _pass(
    recipes: Sequence[Recipe],
    machine: Machine,
    pauses: Callable[[Sequence[OpenRun]], list[PauseAsked]],
    *,
    earlier: int,
) -> list[Result]:
    """Train the first of these runs, as many as fit the memory."""
    try:
        found = _gather(recipes, machine)
        members = found.members
        if found.base is None or not members:
            return list(found.failed.values())
        steps = JointSteps(found.base, [one.prepared.work for one in members])
        firsts = [
            one.prepared.work.sampler or usual_order(one.prepared.work.store, one.recipe.training) for one in members
        ]
        steps.compare([Asked(number, order.batch(0), 0) for number, order in enumerate(firsts)])
    except ModelError as error:
        raise ConfigError(
            f"these recipes cannot train in one pass: {error.message}", where=error.where, mend="train them alone"
        ) from None
    shared = Shared(together=len(members), earlier=earlier)
    runs = [open_run(one.recipe, one.data, one.prepared, Path(str(one.recipe.output)), shared) for one in members]
    steps.most_tokens = _most_tokens(runs, machine)
    runs = _forecast_together(runs, [one.ledger for one in members], steps.most_tokens)
    for run in runs:
        score_before(run)
    done = sum(run.state.step for run in runs)
    with get_console().progress(sum(run.total_steps for run in runs), "train", start=done) as progress:
        steps_of = {number: run.state.step for number, run in enumerate(runs)}
        asked = enumerate(zip(runs, pauses(runs), strict=True))
        loops = [run.loop(_Share(progress, steps_of, number), pause) for number, (run, pause) in asked]
        together = Together(steps, loops, [run.state for run in runs])
        together.run()
    shared = replace(shared, peak_bytes=peak_memory_bytes(machine.device))
    results = found.failed
    with ReloadProcess() as fresh:
        shared = replace(shared, fresh=fresh)
        for number, (run, loop) in enumerate(zip(runs, loops, strict=True)):
            failed = together.failed.get(number)
            run.keeper.trackers.close()
            result = _close(run, loop, shared) if failed is None else without_trace(failed)
            results[members[number].place] = result
    return [results[place] for place in sorted(results)]


@dataclass(frozen=True)
class _Member:
    """A run of a pass.

    Attributes:
        place: Of its recipe among those that were given.
        recipe: Resolved.
        data: As it reads them.
        prepared: Its model, over the shared base.
        ledger: Of the run alone.
    """

    place: int
    recipe: Recipe
    data: PreparedData
    prepared: PreparedModel
    ledger: Ledger


@dataclass(frozen=True)
class _Gathered:
    """The first of some recipes, as many as fit the memory.

    Attributes:
        base: With the adapters of all members; None where none of the recipes got so far.
        members: Those that can be trained.
        failed: Why others cannot, alone neither (a rank that is too large, say); by place.
    """

    base: SharedBase | None
    members: list[_Member]
    failed: dict[int, Result]


def _gather(recipes: Sequence[Recipe], machine: Machine) -> _Gathered:
    """Read the data once, load the base once, and put the adapters over it, as many as fit the memory."""
    failed: dict[int, Result] = {}
    shared = _read_data(recipes, failed)
    if shared is None:
        return _Gathered(None, [], failed)
    check_data(shared.stores["train"], shared.task, shared.splits.train)
    for note in shared.splits.notes:
        get_console().info(note)
    if "input_ids" not in shared.stores["train"][0]:
        raise ModelError("it reads no text")
    model = load_untuned(recipes[len(failed)], shared)
    model.to(machine.device)
    dtype = torch.bfloat16 if recipes[0].training.precision == "bf16" else torch.float32
    base = SharedBase(model, dtype, joined_dropout=machine.device == "cpu")
    members: list[_Member] = []
    for place, recipe in enumerate(recipes):
        if place in failed:
            continue
        try:
            check_strategy(recipe, shared.tokenizer, shared.task)
            data = own_data(recipe, shared)
            prepared = prepare_model(recipe, data, machine, base=model)
        except FathomError as error:
            failed[place] = without_trace(error)
            continue
        if prepared.frozen.first_block > 0:
            raise ModelError("its lowest blocks never change, and are read from the cache of frozen blocks")
        ledger = run_ledger(recipe, data, prepared, machine)
        if members and not fits([*(one.ledger for one in members), ledger], machine, Room.now()):
            get_console().info(
                f"{len(members)} of {len(recipes)} runs fit the memory by forecast; the others come after"
            )
            break
        work = prepared.work
        base.add(Adapter(prepared.model, prepared.anatomy, work.packed, work.compute, work.dropout))
        members.append(_Member(place, recipe, data, prepared, ledger))
    return _Gathered(base, members, failed)


def _read_data(recipes: Sequence[Recipe], failed: dict[int, Result]) -> PreparedData | None:
    """Read the data for the first of some recipes whose strategy the model can take; notes why those before cannot."""
    for place, recipe in enumerate(recipes):
        try:
            return prepare_data(recipe)
        except (ConfigError, ModelError) as error:
            failed[place] = without_trace(error)
    return None


def _close(run: OpenRun, loop: Loop, shared: Shared) -> Result:
    try:
        return close_run(run, loop, shared)
    except (FathomError, OSError) as error:
        return without_trace(error)


def _most_tokens(runs: Sequence[OpenRun], machine: Machine) -> int | None:
    """Return the most tokens of one pass of all runs: what their recipes say, or what fits the memory by forecast."""
    wanted = [run.recipe.training.micro_batch_tokens for run in runs]
    given = [value for value in wanted if isinstance(value, int)]
    ledgers = [run.expected.ledger for run in runs]
    if machine.device == "cpu":
        taken = current_memory_bytes()
        left = MEMORY_SHARE * machine.memory_bytes - taken
        others = available_memory_bytes()
        left = left if others is None else min(left, ROOM_SHARE * others)
    else:
        left = ROOM_SHARE * torch.cuda.mem_get_info()[0]
    fitting = most_tokens(ledgers, left - sum(ledger.memory.optimizer for ledger in ledgers))
    if fitting < sum(ledger.micro_batch.tokens for ledger in ledgers):
        get_console().info(f"one pass holds at most {fitting:,} tokens of all runs, which fit the memory")
        given.append(fitting)
    return min(given) if given else None


class _Share:
    """A run's part of the bar that shows all runs."""

    def __init__(self, progress: Progress, steps: dict[int, int], number: int) -> None:
        self.progress, self.steps, self.number = progress, steps, number

    def update(self, step: int, values: Mapping[str, Value] | None = None) -> None:
        """Say how far this run is; the numbers shown are those of the first."""
        self.steps[self.number] = step
        self.progress.update(sum(self.steps.values()), values if self.number == 0 else None)


def _forecast_together(runs: Sequence[OpenRun], ledgers: Sequence[Ledger], most_tokens: int | None) -> list[OpenRun]:
    """Let every run expect the memory of the process that trains them all, and know what it would take alone."""
    memory = joint_memory([run.expected.ledger for run in runs], most_tokens)
    if runs[0].expected.device == "cpu":
        memory = memory.in_process(current_memory_bytes(), peak_memory_bytes())
    get_console().info(f"{len(runs)} runs in one pass: memory forecast {format_bytes(memory.total)}")
    found = []
    for run, ledger in zip(runs, ledgers, strict=True):
        # alone, a process has what this one has beside the states of its runs
        bare = replace(ledger, memory=replace(ledger.memory, process=memory.process))
        alone = replace(run.expected, ledger=bare).peak_memory_bytes
        own = replace(run.expected.ledger, memory=memory)
        expected = replace(run.expected, ledger=own, alone_bytes=alone)
        limit = expected.memory_limit_bytes
        found.append(replace(run, expected=expected, memory_bytes=limit, name=str(run.folder)))
    return found
