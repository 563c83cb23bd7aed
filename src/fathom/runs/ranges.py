"""What a search varies: keys of a recipe, each with the values it may take."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from fathom.config import parse_yaml, read_yaml
from fathom.errors import ConfigError
from fathom.runs.settle import settled_products, take_within
from fathom.runs.trials import axis_values, one_line

if TYPE_CHECKING:
    import optuna

FORMS = ("uniform", "log", "int", "logint")
EXAMPLES = "write KEY=[a, b, c], 'KEY=log(1e-5, 1e-3)', 'KEY=uniform(0, 0.3)' or 'KEY=int(1, 4)'"
CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*")
DIGITS = 4
"""Significant digits of a sampled number, as it stands in the trial's recipe."""


@dataclass(frozen=True)
class Range:
    """The values one key may take.

    Attributes:
        key: Of the recipe, dotted.
        form: "list", or one of `FORMS`.
        values: Of a list, as YAML.
        low: First number of an interval.
        high: Last number of it, included.
        step: Distance between its numbers; None for any number (whole ones of `int` and `logint`).
    """

    key: str
    form: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None

    @property
    def is_logarithmic(self) -> bool:
        """Whether ratios count and not differences."""
        return self.form in ("log", "logint")

    @property
    def whole(self) -> bool:
        """Whether its numbers are integers."""
        return self.form in ("int", "logint")

    @property
    def ends(self) -> tuple[str, ...]:
        """Every value of a list, the first and the last of an interval."""
        return self.values or (self._written(self.low), self._written(self.high))

    @property
    def grid(self) -> tuple[str, ...] | None:
        """Every value; None where they cannot be counted."""
        if self.values:
            return self.values
        step = self.step or (1.0 if self.form == "int" else None)
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self._written(self.low + index * step) for index in range(count))

    def suggest(self, trial: optuna.trial.Trial) -> str:
        """Return the value a trial of a study takes, as YAML."""
        if self.values:
            return self.write(trial.suggest_categorical(self.key, self.values))
        if self.whole:
            step, low, high = int(self.step or 1), int(self.low), int(self.high)
            return self.write(trial.suggest_int(self.key, low, high, step=step, log=self.is_logarithmic))
        return self.write(trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.is_logarithmic))

    def write(self, value: object) -> str:
        """Return a value as a study keeps it, as YAML."""
        return self._written(value) if isinstance(value, int | float) else str(value)

    def parameter(self, value: str) -> str | int | float:
        """Return a value as a study keeps it."""
        return value if self.values else int(value) if self.whole else float(value)

    def to_text(self) -> str:
        """Return the range as it is written on the command line."""
        if self.values:
            return f"[{', '.join(self.values)}]"
        step = "" if self.step is None else f", step={self._written(self.step)}"
        return f"{self.form}({self._written(self.low)}, {self._written(self.high)}{step})"

    def _written(self, value: float) -> str:
        if self.whole:
            return str(int(value))
        rounded = f"{value:.{DIGITS}g}"
        return rounded if self.low <= float(rounded) <= self.high or value == self.step else repr(value)


def read_ranges(edits: Iterable[str]) -> tuple[list[str], list[Range]]:
    """Tell edits that hold for every trial from ranges.

    An edit of a key in a section that is searched is a range of one value: it holds where the section has the key.

    Raises:
        ConfigError: A range has no values or is written wrongly, or there is none.
    """
    fixed: list[str] = []
    found: dict[str, Range] = {}
    for edit in edits:
        key, separator, text = edit.partition("=")
        one = _range(key.strip(), text) if separator else None
        if one is None:
            fixed.append(edit)
            continue
        if one.key in found:
            raise ConfigError(f"'{one.key}' has two ranges", mend="put its values into one")
        found[one.key] = one
    if not found:
        raise ConfigError("nothing is searched", mend=f"give a key a range: {EXAMPLES}")
    fixed, within = take_within(fixed, found)
    found = {key: Range(key, "list", (text,)) for key, text in within.items()} | found
    # What a section is comes before what is in it: `tuning` before `tuning.rank`.
    return fixed, sorted(found.values(), key=lambda item: item.key.count("."))


def read_space(path: str | Path) -> list[str]:
    """Read ranges from a YAML file of `key: range` and return them as edits.

    Raises:
        ConfigError: It is not a mapping of keys to ranges or values.
    """
    return [f"{key}={one_line(value)}" for key, value in read_yaml(path).items()]


def combinations(ranges: list[Range], accepts: Callable[[Mapping[str, str]], bool]) -> list[dict[str, str]]:
    """Return every combination of a grid, the last key changing fastest.

    Raises:
        ConfigError: A range has values that cannot be counted.
    """
    axes: list[tuple[str, ...]] = []
    for one in ranges:
        values = one.grid
        if values is None:
            mend = "write a list, or a step: 'uniform(0, 0.3, step=0.1)'; or take another sampler"
            raise ConfigError(f"a grid has no end with {one.to_text()}", where=one.key, mend=mend)
        axes.append(values)
    return settled_products(ranges, axes, accepts)


def _range(key: str, text: str) -> Range | None:
    """A range, or None where the edit holds for every trial."""
    values = axis_values(key, text)
    if values is not None:
        if not values:
            raise ConfigError(f"'{key}={text}' names no value", mend=EXAMPLES)
        return Range(key, "list", tuple(dict.fromkeys(values)))
    call = CALL.fullmatch(text)
    if call is None or (call[1] not in FORMS and "," not in call[2]):
        return None
    if call[1] not in FORMS:
        raise ConfigError(f"'{call[1]}' is no form of a range", where=key, mend=EXAMPLES)
    return _interval(key, call[1], call[2])


def _interval(key: str, form: str, inside: str) -> Range:
    written = f"{form}({inside})"
    numbers: list[float] = []
    step: float | None = None
    for part in inside.split(","):
        name, separator, text = part.rpartition("=")
        value = _number(key, text, written)
        if separator and name.strip() == "step":
            step = value
        elif separator:
            raise ConfigError(f"'{written}' has an unknown word '{name.strip()}'", where=key, mend=EXAMPLES)
        else:
            numbers.append(value)
    if len(numbers) != 2:
        raise ConfigError(f"'{written}' needs a first and a last value", where=key, mend=EXAMPLES)
    low, high = numbers
    _check_interval(key, written, (low, high, step))
    return Range(key, form, low=low, high=high, step=step)


def _check_interval(key: str, written: str, numbers: tuple[float, float, float | None]) -> None:
    low, high, step = numbers
    form = written.partition("(")[0]
    problem = None
    if low > high:
        problem = "has no values: its first is above its last"
    elif form in ("log", "logint") and low <= 0:
        problem = "must begin above zero"
    elif form in ("int", "logint") and any(value is not None and value != int(value) for value in numbers):
        problem = "needs whole numbers"
    elif step is not None and form in ("log", "logint"):
        problem = "takes no step"
    elif step is not None and step <= 0:
        problem = "needs a step above zero"
    if problem is not None:
        raise ConfigError(f"'{written}' {problem}", where=key, mend=EXAMPLES)


def _number(key: str, text: str, written: str) -> float:
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"'{written}': '{text.strip()}' is not a number", where=key, mend=EXAMPLES)
    return float(value)
