"""Which trials of a comparison train in one process, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fathom.device import probe_machine
from fathom.errors import FathomError
from fathom.log import get_console
from fathom.recipe import resolve
from fathom.runs.finished import finished_metrics
from fathom.runs.one_process import shared_start
from fathom.runs.together import shared_base
from fathom.runs.trial_process import train_group
from fathom.runs.trials import Trial


def group_trials(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return the trials that have in common what they begin with and are not finished, in groups of at least two."""
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        common = _in_common(trial)
        if common is not None:
            found.setdefault(common, []).append(trial)
    return [group for group in found.values() if len(group) > 1]


def train_groups(trials: Sequence[Trial], folder: Path) -> dict[str, str]:
    """Train in one process what can be; whatever is not finished after it is left to be trained one by one.

    Args:
        trials: Of the comparison.
        folder: Of the comparison.

    Returns:
        Why a trial failed, by its name.
    """
    errors: dict[str, str] = {}
    for group in group_trials(trials):
        names = ", ".join(trial.name for trial in group)
        get_console().info(f"{len(group)} trials {_how(group[0])}: {names}")
        ended = train_group(group, folder)
        if ended.error is not None:
            get_console().info(f"  they are trained one by one: {ended.error}")
            continue
        told = zip(group, ended.said["runs"], strict=True)
        errors |= {trial.name: str(run["error"]) for trial, run in told if "error" in run}
    return errors


def _how(trial: Trial) -> str:
    if shared_base(resolve(trial.recipe, probe_machine())) is not None:
        return "share a frozen base and train in one pass"
    return "begin above the same frozen blocks and train in one process, one after another"


def _in_common(trial: Trial) -> str | None:
    """Return what a trial that is not finished has in common with others; None where it trains alone."""
    try:
        recipe = resolve(trial.recipe, probe_machine())
        finished = finished_metrics(Path(str(trial.recipe.output)), recipe, trial.recipe)
    except FathomError:  # training it alone tells what is wrong
        return None
    return (shared_base(recipe) or shared_start(recipe)) if finished is None else None
