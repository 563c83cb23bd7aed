"""Recipes that an older version wrote out whole, read by this one as that version ran them.

A run folder keeps its recipe with every key there was. A key that came later is missing there, and its default may be
another than what the older version did; in a recipe that a user writes, a missing key means today's default. What is
refused since then is read all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.config import read_yaml
from fathom.errors import ConfigError
from fathom.recipe import Recipe, deciding, validate_stored


def load_stored_recipe(path: Path) -> Recipe:
    """Read the recipe that a run folder keeps.

    Raises:
        ConfigError: This version has no such recipe.
    """
    return read_stored_recipe(read_yaml(path), str(path))


def read_stored_recipe(raw: Mapping[str, Any], where: str) -> Recipe:
    """Read a recipe that a run wrote out whole, or what decides its result.

    Args:
        raw: Its sections; not changed.
        where: To name in messages.

    Raises:
        ConfigError: This version has no such recipe.
    """
    found: dict[str, Any] = {name: dict(value) if isinstance(value, Mapping) else value for name, value in raw.items()}
    task, tuning = found.get("task"), found.get("tuning")
    if isinstance(task, dict) and task.get("kind") == "causal-lm":
        task.setdefault("begin_of_document", False)
    if isinstance(tuning, dict) and tuning.get("kind") == "prefix" and "initialization" not in tuning:
        tuning["initialization"] = "zero" if tuning.pop("zero", False) else "random"
    return validate_stored(found, where)


def deciding_by_this_version(saved: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return what decides a run's result, as `recipe.deciding` of an older version told it, in this one's words.

    Where this version has no such recipe it is returned as it is.
    """
    try:
        return deciding(read_stored_recipe(saved, where))
    except ConfigError:
        return saved
