"""Keys of the data section that only some tasks read: where another task would pass over one, it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fathom.data.readers.base import Form
from fathom.data.readers.columns import ROLES_OF_FORM

READ_BY: dict[str, frozenset[Form]] = {
    "label_separator": frozenset({"text"}),
    "tag_scheme": frozenset({"spans"}),
    "word_join": frozenset({"spans", "relation", "triples"}),
}
"""Keys by the forms that honour them; those left out are honoured by every form, or are checked elsewhere."""
IN_TURNS: dict[str, tuple[Form, ...]] = {
    "role": ("chat", "preference"),
    "content": ("chat", "preference"),
    "knowledge": ("chat",),
    "calls": ("chat",),
}
"""What `columns` may name besides columns where examples are conversations: keys of a turn, by the forms."""


def passed_over(given: Mapping[str, Any], form: Form) -> list[str]:
    """Return the keys that a task of a form would not read, as they are written in a recipe.

    Args:
        given: Keys of a recipe's `data:` that say something: those at their defaults left out.
        form: What the task takes.
    """
    found = [f"data.{key}" for key, forms in READ_BY.items() if key in given and form not in forms]
    roles = [role for role in given.get("columns") or {} if form not in forms_of_role(role)]
    return [*found, *(f"data.columns.{role}" for role in roles)]


def forms_of_role(role: str) -> list[Form]:
    """Return the forms whose rows have a column of a role."""
    return [form for form, roles in ROLES_OF_FORM.items() if role in roles or form in IN_TURNS.get(role, ())]


def forms_of_key(key: str) -> list[Form]:
    """Return the forms that read a key of `passed_over`."""
    name = key.removeprefix("data.")
    role = name.removeprefix("columns.")
    return list(READ_BY[name]) if role == name else forms_of_role(role)
