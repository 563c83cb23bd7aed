"""Which learning rate: the range test (Smith, 2015). The rate rises until the loss leaves; no weight is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from fathom import files
from fathom.data.sampler import Indices
from fathom.device import probe_machine
from fathom.errors import ConfigError, TrainingError
from fathom.locks import require_writable
from fathom.log import get_console
from fathom.recipe import RUNS_FOLDER, Recipe, load_recipe, resolve
from fathom.runs.find_rate_report import html_report, markdown_report
from fathom.runs.preflight import check_data
from fathom.runs.prepare import prepare_data, prepare_model
from fathom.runs.rate_curve import RateCurve, judge_curve
from fathom.training.guard import Guard
from fathom.training.in_backward import loop_of
from fathom.training.loop import Hooks, LoopState
from fathom.training.optimizers.staged import open_optimizer
from fathom.training.schedule import Schedule

RESULT = "rate.json"
FEWEST_STEPS = 20
KEPT = 0.9
"""Share of the running mean that each step leaves."""
TIMES_THE_LOWEST = 4.0
TIMES_THE_FIRST = 1.5


class Rising(Schedule):
    """Rises from a share of the peak to the peak, by the same factor at every step."""

    kind: Literal["rising"] = "rising"
    first_share: float = Field(gt=0, lt=1)
    """Share of the peak it begins at."""

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return first_share ** (1 - progress)."""
        return float(self.first_share ** (1.0 - step / max(1, steps - 1)))


@dataclass
class Meter:
    """Takes the loss of every step and says when it has left for good."""

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    smooth: float = 0.0
    first: float | None = None
    lowest: float = math.inf
    diverged: bool = False

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Take one step."""
        if "learning_rate" not in values or "loss" not in values:
            return
        self.rates.append(float(values["learning_rate"]))
        self.losses.append(float(values["loss"]))
        self.smooth = KEPT * self.smooth + (1 - KEPT) * self.losses[-1]
        mean = self.smooth / (1 - KEPT ** len(self.losses))
        if len(self.losses) == FEWEST_STEPS // 2:
            self.first = mean
        self.lowest = min(self.lowest, mean)
        far = self.first is not None and mean > TIMES_THE_FIRST * self.first
        self.diverged = far or (self.first is not None and mean > TIMES_THE_LOWEST * self.lowest)


def find_rate(
    source: str,
    edits: Iterable[str] = (),
    output: str | Path | None = None,
    *,
    lowest: float = 1e-7,
    highest: float = 10.0,
    num_steps: int = 200,
) -> RateCurve:
    """Raise the learning rate exponentially on the recipe's own model, data and optimizer until the loss diverges.

    Args:
        source: A recipe: YAML file, ready recipe or `module:function`.
        edits: `key=value`.
        output: Folder of `rate.json`, `report.md` and `report.html`; left out, `runs/find-rate-<name>`.
        lowest: First rate.
        highest: Last rate, if the loss lets it come so far.
        num_steps: Steps from the first to the last.

    Returns:
        The curve and the rate it suggests. No weights are written.

    Raises:
        ConfigError: The recipe is wrong, or the rates or steps make no test.
    """
    if not 0 < lowest < highest:
        mend = "give a lowest above 0 and a highest above it"
        raise ConfigError(f"no rates between {lowest:g} and {highest:g}", where="lowest, highest", mend=mend)
    if num_steps < FEWEST_STEPS:
        raise ConfigError(f"{num_steps} steps show nothing", where="steps", mend=f"give at least {FEWEST_STEPS}")
    asked = load_recipe(source, edits)
    folder = Path(output or f"{RUNS_FOLDER}/find-rate-{asked.name}")
    require_writable(folder)
    own = resolve(asked, probe_machine()).training.learning_rate
    recipe = _tested(asked, lowest, highest, num_steps)
    meter = Meter()
    diverged_at = _climb(recipe, meter)
    found = judge_curve(meter.rates, meter.losses, diverged_at, own)
    files.write_json(folder / RESULT, found.to_json())
    files.write_atomic(folder / "report.md", markdown_report(found, source))
    files.write_atomic(folder / "report.html", html_report(found, source))
    return found


def _tested(recipe: Recipe, lowest: float, highest: float, num_steps: int) -> Recipe:
    """The recipe with a rate that rises, and without whatever would end or hide the climb."""
    changes = {
        "learning_rate": highest,
        "max_steps": num_steps,
        "warmup_steps": 0,
        "lr_scheduler": Rising(first_share=lowest / highest),
        "non_finite": "abort",
        "spike_factor": None,
        "early_stopping_patience": None,
        "load_best_model_at_end": False,
        "logging_steps": 1,
        "log_gradients": "none",
    }
    resolved = resolve(recipe, probe_machine())
    return resolved.model_copy(update={"training": resolved.training.model_copy(update=changes)})


def _climb(recipe: Recipe, meter: Meter) -> float | None:
    """Train with the rising rate; returns the rate at which the loss left, None where it never did."""
    machine, settings = probe_machine(), recipe.training
    data = prepare_data(recipe)
    check_data(data.stores["train"], data.task, data.splits.train)
    prepared = prepare_model(recipe, data, machine)
    work = prepared.work
    places = {name: prepared.anatomy.component_of(name) for name in work.parameters.slots}
    optimizer = open_optimizer(settings.optimizer, work.parameters, settings, places)
    assert settings.max_steps is not None
    with get_console().progress(settings.max_steps, "rate") as progress:
        hooks = Hooks(
            log=meter.log,
            evaluate=None,
            save=_keep_nothing,
            keep_best=_keep_nothing,
            places=_nowhere,
            progress=progress,
            after_step=partial(recipe.tuning.after_step, prepared.model),
            pause=lambda step: meter.diverged,
        )
        guard = Guard(settings.non_finite, settings.max_skipped_steps)
        parts = (optimizer, settings.lr_scheduler, guard)
        loop = loop_of(settings)(work, settings, parts, hooks, "loss", places=places)
        try:
            loop.run(LoopState())
        except TrainingError:  # the loss or a gradient is not finite any more
            step = len(meter.rates)  # what the state says depends on whether the loop had begun to update
            return loop.peak_rate * settings.lr_scheduler.multiplier(step, 0, settings.max_steps)
    return meter.rates[-1] if meter.diverged else None


def _keep_nothing(state: LoopState) -> None:
    """Weights of a range test are of no use."""


def _nowhere(rows: Indices) -> Sequence[str]:
    return ()
