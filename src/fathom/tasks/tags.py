"""IOB2 tags and the entities they spell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

OUTSIDE = "O"


def type_of(tag: str) -> str:
    """Return the entity type of a tag, '' for O."""
    return "" if tag == OUTSIDE else tag[2:]


def tag_set(tags: Iterable[str]) -> tuple[str, ...]:
    """Return every tag a model needs for the types in `tags`: O first, then B- and I- of each type in order.

    Both tags of a type are there even when the data show one of them, so that no entity is unsayable.
    """
    types = sorted({type_of(tag) for tag in tags} - {""})
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in ("B", "I")))


def repair(tags: Sequence[str]) -> list[str]:
    """Make tags valid IOB2: an I- that does not go on with an entity of its type begins one (conlleval's reading)."""
    repaired: list[str] = []
    before = ""
    for tag in tags:
        kind = type_of(tag)
        repaired.append(f"B-{kind}" if kind and tag[0] == "I" and before != kind else tag)
        before = kind
    return repaired


def entity_runs(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return the entities of repaired tags as (first word, last word, type)."""
    runs: list[tuple[int, int, str]] = []
    for index, tag in enumerate(repair(tags)):
        if tag == OUTSIDE:
            continue
        if tag[0] == "B":
            runs.append((index, index, tag[2:]))
        else:
            first, _, kind = runs[-1]
            runs[-1] = (first, index, kind)
    return runs


def expand(tags: Sequence[str], owners: Sequence[int]) -> list[str]:
    """Give the tags of words to the units the words were split into: B- goes on as I-."""
    expanded: list[str] = []
    last = -1
    for owner in owners:
        tag = tags[owner]
        expanded.append("I-" + tag[2:] if owner == last and tag[0] == "B" else tag)
        last = owner
    return expanded
