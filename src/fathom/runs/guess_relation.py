"""Guess whether a table is of entity pairs and their relation: marked texts, or columns of entities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fathom.data.readers.columns import USUAL_NAMES
from fathom.data.relations import is_tagged

Columns = Mapping[Any, Sequence[str]]
"""Cells by the name of the column, or its position."""


def relation_columns(columns: Columns, may_be_label: Callable[[Sequence[str]], bool]) -> dict[str, Any] | None:
    """Return what `data.columns` must say for the table to be read as pairs; None where it holds none.

    It may be empty: the names of the columns say everything.

    Args:
        columns: A sample of the rows.
        may_be_label: Tells whether cells look like labels.
    """
    names = {str(name).strip().lower(): name for name in columns}
    usual = {role: _usual(role, names) for role in ("head", "tail", "head_start", "tail_start", "relations")}
    texts = {role: _usual(role, names) for role in ("text", "tokens")}
    if any(texts.values()) and (
        usual["relations"]
        or (usual["head"] and usual["tail"])
        or (usual["head_start"] and usual["tail_start"])
    ):  # fmt: skip
        return {}
    marked = [name for name, cells in columns.items() if cells and _share(cells, is_tagged) > 0.9]
    if len(marked) == 1:
        return _with_label({"text": marked[0]}, columns, may_be_label)
    return _found_inside(columns, may_be_label)


def _usual(role: str, names: Mapping[str, Any]) -> bool:
    return any(name in names for name in USUAL_NAMES[role])


def _found_inside(columns: Columns, may_be_label: Callable[[Sequence[str]], bool]) -> dict[str, Any] | None:
    """Two columns whose cells stand in a third are entities, in their order."""
    if len(columns) < 4:
        return None
    text = max(columns, key=lambda name: sum(map(len, columns[name])))
    inside = [
        name
        for name, cells in columns.items()
        if name != text
        and sum(bool(cell.strip()) and cell.strip() in whole for cell, whole in zip(cells, columns[text], strict=False))
        > 0.95 * max(len(cells), 1)
    ]
    if len(inside) != 2:
        return None
    return _with_label({"head": inside[0], "tail": inside[1], "text": text}, columns, may_be_label)


def _with_label(
    roles: dict[str, Any], columns: Columns, may_be_label: Callable[[Sequence[str]], bool]
) -> dict[str, Any] | None:
    rest = {name: len(set(cells)) for name, cells in columns.items() if name not in roles.values()}
    labels = [name for name in rest if may_be_label(columns[name])]
    return {**roles, "label": min(labels, key=lambda name: rest[name])} if labels else None


def _share(cells: Sequence[str], holds: Callable[[str], bool]) -> float:
    return sum(map(holds, cells)) / max(len(cells), 1)
