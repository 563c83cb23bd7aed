"""Keys that vary together: a key of a section is there where the section that was chosen has it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar

from fathom.errors import ConfigError


class Varying(Protocol):
    """A key of a recipe that takes several values."""

    @property
    def key(self) -> str:
        """Dotted."""

    @property
    def ends(self) -> tuple[str, ...]:
        """Every value that can be counted, as YAML, or the first and the last."""


Kind = TypeVar("Kind", bound=Varying)


def is_within(key: str, sections: Iterable[str]) -> bool:
    """Whether a key lies in one of the sections."""
    return any(key.startswith(f"{section}.") for section in sections)


def take_within(edits: Sequence[str], sections: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Tell edits apart whose key lies in a section that varies: before the section is chosen they would be lost.

    Returns:
        The other edits, and the values by key, as YAML.
    """
    names = list(sections)
    within = {edit: edit.partition("=") for edit in edits if is_within(edit.strip(), names)}
    return [edit for edit in edits if edit not in within], {key.strip(): text for key, _, text in within.values()}


def settle(
    varying: Sequence[Kind], choose: Callable[[Kind], str], accepts: Callable[[Mapping[str, str]], bool]
) -> dict[str, str]:
    """Choose a value for every key; a key that the section chosen before does not have is left out.

    A key may need another of its section, in any order: one that is refused is tried again beside those that are taken.

    Args:
        varying: Sections before their keys.
        choose: Returns the value of one.
        accepts: Whether settings make a valid recipe.
    """
    settings: dict[str, str] = {}
    left = list(varying)
    while True:
        refused = []
        for one in left:
            depends = is_within(one.key, [other.key for other in varying])
            if not depends or any(accepts({**settings, one.key: value}) for value in one.ends):
                settings[one.key] = choose(one)
            else:
                refused.append(one)
        if len(refused) == len(left):
            return settings
        left = refused


def settled_products(
    varying: Sequence[Kind],
    values: Sequence[tuple[str, ...]],
    accepts: Callable[[Mapping[str, str]], bool],
) -> list[dict[str, str]]:
    """Return every combination of values, each once, the last key changing fastest.

    Args:
        varying: Sections before their keys.
        values: Of each of them.
        accepts: Whether settings make a valid recipe.
    """
    found: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for chosen in itertools.product(*values):
        by_key = {one.key: value for one, value in zip(varying, chosen, strict=True)}

        def of(one: Kind, by_key: Mapping[str, str] = by_key) -> str:
            return by_key[one.key]

        settings = settle(varying, of, accepts)
        found.setdefault(tuple(settings.items()), settings)
    return list(found.values())


def check_values(varying: Sequence[Varying], load: Callable[[Mapping[str, str]], object]) -> None:
    """Refuse a value that makes a valid recipe with none of the sections it may stand in.

    Args:
        varying: Sections before their keys.
        load: Makes a recipe of settings; raises ConfigError.

    Raises:
        ConfigError: A key does not exist, or a value is not one of its.
    """
    for one in varying:
        sections = [other for other in varying if one.key.startswith(f"{other.key}.")]
        for value in one.ends:
            tried = [
                {**{other.key: taken for other, taken in zip(sections, chosen, strict=True)}, one.key: value}
                for chosen in itertools.product(*(other.ends for other in sections))
            ]
            if not any(map(accepts_by(load), tried)):
                load(tried[0])  # raises


def accepts_by(load: Callable[[Mapping[str, str]], object]) -> Callable[[Mapping[str, str]], bool]:
    """Return whether settings make a valid recipe, as a function; asked again, it remembers."""
    known: dict[tuple[tuple[str, str], ...], bool] = {}

    def accepts(settings: Mapping[str, str]) -> bool:
        key = tuple(sorted(settings.items()))
        if key not in known:
            try:
                load(settings)
            except ConfigError:
                known[key] = False
            else:
                known[key] = True
        return known[key]

    return accepts
