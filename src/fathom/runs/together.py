"""Several runs in one pass: LoRA adapters over one frozen base train together, each as it would train alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from pathlib import Path

import torch

from fathom import files
from fathom.device import Machine, available_memory_bytes, current_memory_bytes, peak_memory_bytes, probe_machine
from fathom.errors import ConfigError, FathomError, ModelError
from fathom.log import Progress, Value, get_console
from fathom.model.many_lora import Adapter, SharedBase
from fathom.model.memory import SLACK_SHARE
from fathom.recipe import Recipe, resolve
from fathom.runs.finished import finished_metrics
from fathom.runs.micro_batch import MEMORY_SHARE, ROOM_SHARE, usual_order
from fathom.runs.open_run import OpenRun, RunResult, close_run, open_run, score_before
from fathom.runs.preflight import check_data
from fathom.runs.prepare import PreparedModel, load_untuned, prepare_data, prepare_model
from fathom.runs.prepared import PreparedData, check_strategy
from fathom.training.loop import Loop
from fathom.training.together import Asked, JointSteps, Together
from fathom.tuning.lora import Lora

OWN_WEIGHTS = ("pissa", "olora")
"""Initializations that change the base's weights, so that no two trials have the same."""
OF_THE_PASS = ("precision", "dropout", "packing", "threads")
"""Training settings that hold for a whole pass; all others are each run's own."""

Result = RunResult | FathomError | OSError


def shared_base(recipe: Recipe) -> str | None:
    """Return what a recipe's run shares a pass with others over: runs of which it is equal can train together.

    None where it trains alone: it is no LoRA of that kind, or reads no text, or more than the pass is not its own.
    """
    tuning, settings = recipe.tuning, recipe.training
    if type(tuning) is not Lora or tuning.bias != "none" or tuning.initialization in OWN_WEIGHTS:
        return None
    if settings.activation_checkpointing or settings.log_gradients != "none" or not settings.packing:
        return None
    said = recipe.model_dump(mode="json", include={"model", "data", "task"})
    return json.dumps([said, [settings.model_dump(mode="json")[name] for name in OF_THE_PASS]], sort_keys=True)


def train_together(recipes: Sequence[Recipe]) -> list[Result]:
    """Train several LoRA recipes in one pass over the base they share; each leaves the run folder it leaves alone.

    Rank, alpha, rates, seeds, schedules, batch sizes and lengths may differ: every run keeps its own data order, masks,
    loss, clipping, optimizer, evaluations and checkpoints. Stopped runs go on where they were, finished ones are not
    repeated; a run that fails (its loss is not finite, say) is left and the others go on.

    Args:
        recipes: Each with an output of its own; resolved here.

    Returns:
        For each recipe its result, or why it failed.

    Raises:
        ConfigError: The recipes cannot train in one pass; says why. Nothing was trained.
    """
    machine = probe_machine()
    resolved = [resolve(recipe, machine) for recipe in recipes]
    if len({shared_base(recipe) for recipe in resolved} - {None}) != 1 or None in map(shared_base, resolved):
        raise ConfigError(
            "these recipes cannot train in one pass",
            where="tuning",
            mend="take LoRA recipes (without biases, no pissa or olora) of one model, data, task and precision",
        )
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
                held.enter_context(files.only_one(folders[number], what="another training run"))
            trained = _train(list(waiting.values()), machine)
        results |= dict(zip(waiting, trained, strict=True))
    return [results[number] for number in range(len(recipes))]


def _train(recipes: Sequence[Recipe], machine: Machine) -> list[Result]:
    try:
        base, members = _gather(recipes, machine)
        works = [prepared.work for _, prepared in members]
        steps = JointSteps(base, works)
        firsts = [
            work.sampler or usual_order(work.store, one.training) for work, one in zip(works, recipes, strict=True)
        ]
        steps.compare([Asked(number, order.batch(0), 0) for number, order in enumerate(firsts)])
    except ModelError as error:
        raise ConfigError(
            f"these recipes cannot train in one pass: {error.message}", where=error.where, mend="train them alone"
        ) from None
    runs = [
        open_run(recipe, data, prepared, Path(str(recipe.output)))
        for recipe, (data, prepared) in zip(recipes, members, strict=True)
    ]
    limit = _memory_limit(runs)
    runs = [replace(run, memory_bytes=limit) for run in runs]
    for run in runs:
        score_before(run)
    steps.most_tokens = _most_tokens(runs, machine)
    done = sum(run.state.step for run in runs)
    with get_console().progress(sum(run.total_steps for run in runs), "train", start=done) as progress:
        steps_of = {number: run.state.step for number, run in enumerate(runs)}
        loops = [run.loop(_Share(progress, steps_of, number)) for number, run in enumerate(runs)]
        together = Together(steps, loops, [run.state for run in runs])
        together.run()
    peak_bytes = peak_memory_bytes(machine.device)
    results: list[Result] = []
    for number, (run, loop) in enumerate(zip(runs, loops, strict=True)):
        failed = together.failed.get(number)
        if failed is not None:
            run.keeper.trackers.close()
        results.append(_close(run, loop, len(runs), peak_bytes) if failed is None else failed)
    return results


def _gather(recipes: Sequence[Recipe], machine: Machine) -> tuple[SharedBase, list[tuple[PreparedData, PreparedModel]]]:
    """Read the data once, load the base once, and put every run's adapter over it."""
    shared = prepare_data(recipes[0])
    check_data(shared.stores["train"], shared.task)
    for note in shared.splits.notes:
        get_console().info(note)
    if "input_ids" not in shared.stores["train"][0]:
        raise ModelError("it reads no text")
    for recipe in recipes[1:]:
        check_strategy(recipe, shared.tokenizer, shared.task)
    model = load_untuned(recipes[0], shared)
    model.to(machine.device)
    dtype = torch.bfloat16 if recipes[0].training.precision == "bf16" else torch.float32
    base = SharedBase(model, dtype, joined_dropout=machine.device == "cpu")
    members = []
    for recipe in recipes:
        # what a task finds out of a run (a threshold) is that run's own; a corpus is read in an order of its own
        of_corpus = recipe.task.form == "corpus"
        data = prepare_data(recipe) if of_corpus else replace(shared, task=copy(shared.task))
        prepared = prepare_model(recipe, data, machine, base=model)
        if prepared.frozen.first_block > 0:
            raise ModelError("its lowest blocks never change, and are read from the cache of frozen blocks")
        work = prepared.work
        base.add(Adapter(prepared.model, prepared.anatomy, work.packed, work.compute, work.dropout))
        members.append((data, prepared))
    return base, members


def _close(run: OpenRun, loop: Loop, together: int, peak_bytes: int) -> Result:
    try:
        return close_run(run, loop, together=together, peak_bytes=peak_bytes)
    except (FathomError, OSError) as error:
        return error


def _most_tokens(runs: Sequence[OpenRun], machine: Machine) -> int | None:
    """Return the most tokens of one pass of all runs: what their recipes say, or what fits the memory by forecast."""
    wanted = [run.recipe.training.micro_batch_tokens for run in runs]
    given = [value for value in wanted if isinstance(value, int)]
    memories = [run.expected.ledger.memory for run in runs]
    tokens = [run.expected.ledger.micro_batch.tokens for run in runs]
    if machine.device == "cpu":
        taken = current_memory_bytes()
        left = MEMORY_SHARE * machine.memory_bytes - taken
        others = available_memory_bytes()
        left = left if others is None else min(left, ROOM_SHARE * others)
    else:
        left = ROOM_SHARE * torch.cuda.mem_get_info()[0]
    left -= sum(memory.optimizer for memory in memories)
    each = max(memory.passing * (1 + SLACK_SHARE) / count for memory, count in zip(memories, tokens, strict=True))
    fitting = int(left / each)
    if fitting < sum(tokens):
        get_console().info(f"one pass holds at most {max(fitting, 1):,} tokens of all runs, which fit the memory")
        given.append(max(fitting, 1))
    return min(given) if given else None


class _Share:
    """A run's part of the bar that shows all runs."""

    def __init__(self, progress: Progress, steps: dict[int, int], number: int) -> None:
        self.progress, self.steps, self.number = progress, steps, number

    def update(self, step: int, values: Mapping[str, Value] | None = None) -> None:
        """Say how far this run is; the numbers shown are those of the first."""
        self.steps[self.number] = step
        self.progress.update(sum(self.steps.values()), values if self.number == 0 else None)


def _memory_limit(runs: Sequence[OpenRun]) -> int | None:
    """Return what the process should take at most: what is there, and what comes and goes in all passes."""
    if runs[0].expected.device != "cpu":
        return None
    memories = [run.expected.ledger.memory for run in runs]
    passing = sum(memory.optimizer + memory.passing + memory.slack for memory in memories)
    return current_memory_bytes() + passing + max(memory.prepared for memory in memories)
