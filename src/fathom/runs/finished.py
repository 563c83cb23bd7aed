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
    # Read again by this version, for an older one did not write every key.
    differing = differences("", deciding(load_stored_recipe(folder / "recipe.yaml")), deciding(recipe))
    automatic = asked.training.precision == "auto"
    found = [(name, before, now) for name, before, now in differing if not (automatic and name == PRECISION)]
    if found:
        lines = [f"{name}: {before!r} there, {now!r} here" for name, before, now in found]
        raise ConfigError(
            "the folder holds the finished run of another recipe\n  " + "\n  ".join(lines),
            where=str(folder),
            mend="choose another output, or remove the folder",
        )
    for name, before, now in differing:
        get_console().info(f"{folder} was trained with {name}={before}; this machine would take {now}")
    return metrics
