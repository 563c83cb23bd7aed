"""The forecast of a run: made from its own largest pass and its own steps, and judged by what they took."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fathom.device import Machine, current_memory_bytes, probe_machine, release_free_memory
from fathom.device import peak_memory_bytes as host_peak
from fathom.model.ledger import Course, Ledger, build_ledger
from fathom.model.prepared import Layouts
from fathom.recipe import Recipe
from fathom.runs.calibration import Kind, TimeForecast, forecast_time, machine_key, remember
from fathom.runs.disk import Disk, folder_bytes, forecast_disk
from fathom.runs.frozen_prefix import FrozenPrefix
from fathom.runs.memory_history import MemoryRecord, remember_memory, slack_share
from fathom.runs.micro_batch import Passes, memory_setting
from fathom.runs.prepare import PreparedModel, labelled_share
from fathom.runs.prepared import PreparedData
from fathom.runs.scoring import scoring_passes
from fathom.runs.stage_work import average_work
from fathom.training.clock import Clock
from fathom.training.settings import Training
from fathom.training.step import Workload

STEPS_COUNTED = 64
"""Steps of the first epoch whose lengths stand for all."""


@dataclass(frozen=True)
class Forecast:
    """The ledger of the run's largest micro-batch, and the time of its average step."""

    ledger: Ledger
    time: TimeForecast
    kind: Kind
    num_steps: int
    device: Literal["cpu", "cuda"] = "cpu"
    """Whose memory the run lives in."""
    disk: Disk | None = None
    alone_bytes: int | None = None
    """Forecast peak of a process that trains this run alone, where the ledger's memory is that of several runs."""

    @property
    def peak_memory_bytes(self) -> int:
        """Forecast peak of the process; on a GPU, of what torch gives out there: the interpreter lives elsewhere."""
        memory = self.ledger.memory
        return memory.total if self.device == "cpu" else memory.total - memory.process

    @property
    def memory_limit_bytes(self) -> int | None:
        """Above it memory that the C library keeps is given back; None on a GPU, whose allocator has its own ways."""
        return self.peak_memory_bytes if self.device == "cpu" else None

    def to_text(self) -> str:
        """Return the ledger and the time as lines for people."""
        text = f"{self.ledger.to_text()}\n\n{self.time.to_text(self.num_steps)}"
        return text if self.disk is None else f"{text}\n{self.disk.to_text()}"

    def to_json(self) -> dict[str, Any]:
        """Return what is compared with the measurement, and by what it was made up."""
        return {
            "peak_memory_bytes": self.peak_memory_bytes,
            "trainable": self.ledger.trainable,
            "memory": self.ledger.memory.to_json(),
            **({} if self.alone_bytes is None else {"alone_peak_memory_bytes": self.alone_bytes}),
            **({} if self.disk is None else {"disk": self.disk.to_json()}),
            "step_seconds": self.time.step_seconds,
            "train_seconds": self.time.step_seconds * self.num_steps,
            "work": asdict(self.time.work),
            "rates": asdict(self.time.rates),
            "runs_behind_step_seconds": self.time.runs,
        }

    def judge(self, peak_memory_bytes: int, trainable: int, clock: Clock | None = None) -> dict[str, Any]:
        """Return the errors of the forecast; shares of the measured value.

        Args:
            peak_memory_bytes: Measured on the device of the run.
            trainable: Parameters that were trained.
            clock: With the steps made, if there were any.
        """
        found: dict[str, Any] = {
            "peak_memory_bytes": peak_memory_bytes,
            "trainable": trainable,
            "memory_error": self.peak_memory_bytes / peak_memory_bytes - 1.0,
            "trainable_error": self.ledger.trainable - trainable,
        }
        if self.device == "cuda":
            found["host_peak_memory_bytes"] = host_peak()
        if clock is not None and clock.steps:
            found["step_seconds"] = clock.train_seconds / clock.steps
            found["step_seconds_error"] = self.time.step_seconds / found["step_seconds"] - 1.0
        return found

    def judge_disk(self, folder: Path) -> dict[str, Any]:
        """Return what a finished run left on disk, and the error of its forecast."""
        if self.disk is None:
            return {}
        measured = folder_bytes(folder)
        return {"disk_bytes": measured, "disk_error": self.disk.total / measured - 1.0}

    def remember(self, clock: Clock, peak_memory_bytes: int) -> None:
        """Let what the steps took correct the next forecast on this machine."""
        remember(self.time, self.kind, clock.steps, clock.train_seconds)
        # what a step with checkpointing leaves is no measure for others
        if self.device == "cpu" and clock.steps and not self.ledger.setting.checkpointing:
            kind, ledger = (self.kind.machine, self.kind.precision), self.ledger
            record = MemoryRecord.of(kind, ledger.memory, ledger.heap, peak_memory_bytes)
            if record is not None:
                remember_memory(record)


def forecast(
    recipe: Recipe,
    data: PreparedData,
    prepared: PreparedModel,
    *,
    frozen: FrozenPrefix | None = None,
    warm: bool = False,
    optimizer_held: int | None = None,
) -> Forecast:
    """Forecast a run from its model, strategy and the lengths of its very sequences; call before the first step.

    Args:
        recipe: Resolved.
        data: Encoded.
        prepared: The model, ready.
        frozen: Where the run starts above its frozen part: nothing is kept below.
        warm: Whether the process has trained such a run before: what it keeps of that is there already.
        optimizer_held: Bytes of the optimizer's state that are in memory, where each part's comes with its first step;
            None: all of it.
    """
    work = prepared.work
    machine = probe_machine()
    passes = Passes.of(recipe.training, (work.store, work.sampler), prepared.model, packed=work.packed.packed)
    ledger = run_ledger(recipe, data, prepared, machine, frozen=frozen)
    steps = [
        [passes.micro_batch(part) for part in passes.cut(batch, work.most_tokens)]
        for batch in passes.steps(STEPS_COUNTED)
    ]
    model = f"{work.packed.model.config.model_type} {ledger.width}"
    kind = Kind(machine_key(machine), ledger.setting.precision, work.packed.packed, model, recipe.tuning.kind)
    again = partial(run_ledger, recipe, data, prepared, machine, frozen=frozen)
    average = average_work(prepared, ledger, again, steps, recipe.training)
    time = forecast_time(average, ledger.width, kind, machine.device)
    if machine.device == "cpu":
        release_free_memory()  # what loading left in the heap is no part of the process
        to_come = 0 if optimizer_held is None else max(0, ledger.memory.optimizer - optimizer_held)
        resident = current_memory_bytes() + to_come
        ledger = replace(ledger, memory=ledger.memory.in_process(resident, host_peak(), warm=warm))
    disk = forecast_disk(recipe, data, prepared, ledger)
    return Forecast(ledger, time, kind, passes.num_steps, machine.device, disk)


def run_ledger(
    recipe: Recipe, data: PreparedData, prepared: PreparedModel, machine: Machine, *, frozen: FrozenPrefix | None = None
) -> Ledger:
    """Return the ledger of the largest pass of a run, in a process like any other; see `forecast`."""
    work, settings = prepared.work, recipe.training
    passes = Passes.of(settings, (work.store, work.sampler), prepared.model, packed=work.packed.packed)
    rows = next((len(slot.rows) for slot in work.parameters.slots.values() if slot.rows is not None), None)
    setting = memory_setting(settings, work.packed, rows, labelled_share(work))
    if frozen is not None:
        setting = replace(setting, first_block=frozen.prefix.first_block)
    share = slack_share(machine_key(machine), setting.precision)
    course = replace(_course(settings, data, passes, work), slack_share=share)
    largest = passes.largest(work.most_tokens)
    return build_ledger(prepared.model, largest, setting, settings.optimizer.state_bytes, course)


def _course(settings: Training, data: PreparedData, passes: Passes, work: Workload) -> Course:
    """What the steps and the evaluations of a run meet."""
    layouts = passes.layouts(work.most_tokens)
    split = data.split("validation")
    if split is None:
        return Course(layouts)
    lengths = np.asarray(split[0].lengths)
    order = np.argsort(-lengths, kind="stable")
    positions = lengths + work.task.source_positions
    scored = [lengths[rows] for rows in scoring_passes(order, positions, settings.eval_batch_size)]
    shapes = ((part + passes.virtual_tokens).tolist() for part in scored)
    return Course(layouts, Layouts.of(shapes, packed=passes.packed), passes.micro_batch(scored[0]))
