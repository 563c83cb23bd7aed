"""Whether a run folder holds the finished run of a recipe, or what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fathom.errors import ConfigError
from fathom.log import get_console
from fathom.recipe import Recipe, deciding, recipe_digest
from fathom.runs.older_recipes import load_stored_recipe
from fathom.runs.result import METRICS, read_metrics
from fathom.training.checkpoint import differences

PRECISION = "training.precision"
RECIPE = "recipe.yaml"
"""Of a run folder, from its first step on."""
Difference = tuple[str, Any, Any]
"""A dotted key, its value before, its value now."""


def finished_metrics(folder: Path, recipe: Recipe, asked: Recipe) -> dict[str, Any] | None:
    """Return the metrics of a finished run of this recipe, None where the run is not finished.

    A run that was finished on another machine, where `precision: auto` meant something else, is finished all the same.

    Args:
        folder: The run's.
        recipe: Resolved for this machine.
        asked: As the user wrote it.

    Raises:
        ConfigError: The folder holds the finished run of another recipe; names what differs.
        ArtifactError: Its metrics are damaged.
    """
    if not (folder / METRICS).is_file():
        return None
    metrics = read_metrics(folder)
    if metrics["recipe_digest"] == recipe_digest(recipe):
        return metrics
    found, passed = compare_stored(folder, recipe, asked)
    if found:
        lines = [f"{name}: {before!r} there, {now!r} here" for name, before, now in found]
        raise ConfigError(
            "the folder holds the finished run of another recipe\n  " + "\n  ".join(lines),
            where=str(folder),
            mend="choose another output, or remove the folder",
        )
    for name, before, now in passed:
        get_console().info(f"{folder} was trained with {name}={before}; this machine would take {now}")
    return metrics


def compare_stored(folder: Path, recipe: Recipe, asked: Recipe) -> tuple[list[Difference], list[Difference]]:
    """Compare the recipe that a run folder keeps with another, both read by this version.

    Args:
        folder: The run's.
        recipe: Resolved for this machine.
        asked: As the user wrote it.

    Returns:
        What differs, and what differs by the machine alone: what `precision: auto` meant.

    Raises:
        ConfigError: This version has no such recipe.
    """
    differing = differences("", deciding(load_stored_recipe(folder / RECIPE)), deciding(recipe))
    automatic = asked.training.precision == "auto"
    found = [one for one in differing if not (automatic and one[0] == PRECISION)]
    return found, [one for one in differing if one not in found]
