"""The trials of a comparison: a recipe and the keys that vary, each combination a run of its own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fathom import catalog
from fathom.config import parse_yaml
from fathom.errors import ConfigError
from fathom.recipe import Recipe, load_recipe

SEED = "training.seed"
"""The key whose values are repetitions of one trial and not different trials."""
ALL = "all"
LONGEST_NAME = 80


@dataclass(frozen=True)
class Axis:
    """A key that varies, and its values as YAML."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One run of a comparison.

    Attributes:
        name: Of its folder.
        settings: What it has in place of the axes, by key, as YAML.
        recipe: With those settings, and its own output folder.
    """

    name: str
    settings: dict[str, str]
    recipe: Recipe

    @property
    def group(self) -> tuple[tuple[str, str], ...]:
        """The settings without the seed: trials that share them are repetitions."""
        return tuple((key, value) for key, value in self.settings.items() if key != SEED)


def read_edits(edits: Iterable[str]) -> tuple[list[str], list[Axis]]:
    """Tell edits that hold for every trial from axes: an edit whose value is a list varies.

    `tuning=all` varies over every strategy of the catalog. Of a key that takes a list itself, write a list of lists.

    Raises:
        ConfigError: An axis is empty, or nothing varies.
    """
    fixed: list[str] = []
    axes: dict[str, Axis] = {}
    for edit in edits:
        key, separator, text = edit.partition("=")
        values = axis_values(key.strip(), text) if separator else None
        if values is None:
            fixed.append(edit)
            continue
        if not values:
            raise ConfigError(f"'{edit}' names no value", mend="write what varies, e.g. tuning=[full,lora]")
        if key.strip() in axes:
            raise ConfigError(f"'{key.strip()}' varies twice", mend="put all of its values into one list")
        axes[key.strip()] = Axis(key.strip(), tuple(dict.fromkeys(values)))
    if not any(len(axis.values) > 1 for axis in axes.values()):
        raise ConfigError(
            "nothing varies",
            mend="give a key a list: fathom compare recipe.yaml tuning=[full,lora] training.seed=[1,2,3]",
        )
    return fixed, list(axes.values())


def plan_trials(source: str, edits: Iterable[str], folder: Path) -> list[Trial]:
    """Return every combination of the axes, seeds last, each a valid recipe with a folder of its own.

    Args:
        source: As `load_recipe` takes it.
        edits: Fixed edits and axes.
        folder: Of the comparison.

    Raises:
        ConfigError: A trial's recipe is wrong; names the trial.
    """
    fixed, axes = read_edits(edits)
    axes.sort(key=lambda axis: axis.key == SEED)  # stable: the order given, seeds last
    found: list[Trial] = []
    names: set[str] = set()
    for combination in itertools.product(*(axis.values for axis in axes)):
        settings = {axis.key: value for axis, value in zip(axes, combination, strict=True)}
        # Longer keys later: `tuning=lora` replaces the section that `tuning.rank=8` edits.
        own = [f"{key}={value}" for key, value in sorted(settings.items(), key=lambda item: item[0].count("."))]
        name = _name(settings, names)
        output = f"output={folder / 'trials' / name}"
        try:
            recipe = load_recipe(source, [*fixed, *own, output])
        except ConfigError as error:
            raise ConfigError(f"{', '.join(own)}: {error.message}", where=error.where, mend=error.mend) from None
        found.append(Trial(name, settings, recipe))
    return found


def axis_values(key: str, text: str) -> list[str] | None:
    """Return the values of an axis as YAML, or None where the edit holds for every trial."""
    if key == "tuning" and text.strip() == ALL:
        return catalog.names("tuning")
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        return None  # `load_recipe` tells what is wrong with it
    return [one_line(item) for item in value] if isinstance(value, list) else None


def one_line(value: Any) -> str:
    """Return a value as YAML on one line."""
    if isinstance(value, Mapping | list):
        return yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).strip()
    written = yaml.safe_dump(value, allow_unicode=True, width=10_000)
    return written.removesuffix("\n").removesuffix("\n...").removesuffix("...").strip()


def _name(settings: Mapping[str, str], taken: set[str]) -> str:
    """A folder's name that says what varies; numbered where it would not be the only one."""
    parts = [f"{key.rpartition('.')[2]}-{value}" for key, value in settings.items()]
    plain = re.sub(r"[^\w.-]+", "-", "_".join(parts)).strip("-")[:LONGEST_NAME] or "trial"
    numbered = (f"{plain}-{number}" for number in itertools.count(2))
    name = next(name for name in itertools.chain([plain], numbered) if name not in taken)
    taken.add(name)
    return name
