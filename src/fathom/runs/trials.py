"""The trials of a comparison: a recipe and the keys that vary, each combination a run of its own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fathom.config import parse_yaml
from fathom.errors import ConfigError
from fathom.recipe import Recipe, load_recipe
from fathom.runs.settle import accepts_by, is_within, settled_products, take_within
from fathom.runs.strategies import ALL, every_strategy

TUNING = "tuning"
SEED = "training.seed"
"""The key whose values are repetitions of one trial and not different trials."""
LONGEST_NAME = 80


@dataclass(frozen=True)
class Axis:
    """A key that varies, and its values as YAML.

    Attributes:
        key: Of the recipe, dotted.
        values: As YAML.
        every: Whether they are all there are, and the user named none of them.
    """

    key: str
    values: tuple[str, ...]
    every: bool = False

    @property
    def ends(self) -> tuple[str, ...]:
        """The values."""
        return self.values


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


@dataclass(frozen=True)
class Refused:
    """A combination that makes no recipe: a strategy among all of them that cannot train this model or task.

    Attributes:
        name: As a trial's.
        settings: As a trial's.
        error: What is wrong with it.
    """

    name: str
    settings: dict[str, str]
    error: ConfigError


@dataclass(frozen=True)
class Plan:
    """What a comparison trains.

    Attributes:
        trials: In the order of the axes, seeds last; at least one.
        refused: Of `tuning=all`, what no trial can be made of.
    """

    trials: list[Trial]
    refused: list[Refused]


def read_edits(edits: Iterable[str]) -> tuple[list[str], list[Axis]]:
    """Tell edits that hold for every trial from axes: an edit whose value is a list varies.

    `tuning=all` varies over every strategy of the catalog. Of a key that takes a list itself, write a list of lists. An
    edit of a key in a section that varies is an axis of one value: it holds where the section has the key.

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
        every = text.strip() == ALL
        axes[key.strip()] = Axis(key.strip(), tuple(dict.fromkeys(values)), every)
    fixed, within = take_within(fixed, axes)
    axes = {key: Axis(key, (text,)) for key, text in within.items()} | axes
    if not any(len(axis.values) > 1 for axis in axes.values()):
        raise ConfigError(
            "nothing varies",
            mend="give a key a list: fathom compare recipe.yaml tuning=[full,lora] training.seed=[1,2,3]",
        )
    return fixed, list(axes.values())


def plan_trials(source: str, edits: Iterable[str], folder: Path) -> Plan:
    """Return every combination of the axes, seeds last, each a valid recipe with a folder of its own.

    A key of a section that varies (`tuning.rank` beside `tuning`) is left out where the section does not have it.

    Args:
        source: As `load_recipe` takes it.
        edits: Fixed edits and axes.
        folder: Of the comparison.

    Raises:
        ConfigError: A trial's recipe is wrong; names the trial. One that `tuning=all` brought is refused alone.
    """
    fixed, axes = read_edits(edits)
    keys = [axis.key for axis in axes]
    # Stable: the order given, what is within a section after it, seeds last.
    axes.sort(key=lambda axis: (axis.key == SEED, axis.key.count(".") if is_within(axis.key, keys) else 0))
    load = _Loader(source, fixed)
    found = settled_products(axes, [axis.values for axis in axes], accepts_by(load))
    for axis in axes:
        if not any(axis.key in settings for settings in found):
            load({one.key: one.values[0] for one in axes})  # raises: no section has the key
    plan, names = Plan([], []), set[str]()
    for settings in found:
        name = _name(settings, names)
        try:
            plan.trials.append(Trial(name, settings, load(settings, f"output={folder / 'trials' / name}")))
        except ConfigError as error:
            if not any(axis.every for axis in axes):
                raise
            plan.refused.append(Refused(name, settings, error))
    for one in plan.refused:
        rest = {key: value for key, value in one.settings.items() if key != TUNING}
        if not any(rest.items() <= trial.settings.items() for trial in plan.trials):
            raise one.error  # not the strategy is wrong
    return plan


class _Loader:
    """Makes the recipe of a trial of its settings."""

    def __init__(self, source: str, fixed: list[str]) -> None:
        self.source, self.fixed = source, fixed

    def __call__(self, settings: Mapping[str, str], *more: str) -> Recipe:
        # Longer keys later: `tuning=lora` replaces the section that `tuning.rank=8` edits.
        own = [f"{key}={value}" for key, value in sorted(settings.items(), key=lambda item: item[0].count("."))]
        try:
            return load_recipe(self.source, [*self.fixed, *own, *more])
        except ConfigError as error:
            raise ConfigError(f"{', '.join(own)}: {error.message}", where=error.where, mend=error.mend) from None


def axis_values(key: str, text: str) -> list[str] | None:
    """Return the values of an axis as YAML, or None where the edit holds for every trial."""
    if key == TUNING and text.strip() == ALL:
        return [one_line(options if len(options) > 1 else options["kind"]) for options in every_strategy()]
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
