"""What the columns that a user names say a file is for."""

from __future__ import annotations

from fathom.data.readers.base import Form
from fathom.data.section import DataSection

_TELLING: tuple[tuple[frozenset[str], Form], ...] = (
    (frozenset({"head", "tail", "head_start", "relations"}), "relation"),
    (frozenset({"tokens", "tags", "entities"}), "spans"),
    (frozenset({"context", "question", "answers"}), "questions"),
    (frozenset({"chosen", "rejected", "completion"}), "preference"),
    (frozenset({"messages", "prompt", "response"}), "chat"),
    (frozenset({"user", "item", "items"}), "interactions"),
    (frozenset({"source", "target"}), "writing"),
    (frozenset({"text", "text_pair", "label", "targets"}), "text"),
)
"""Roles that only one form has, the most telling first."""


def form_of_columns(section: DataSection) -> Form | None:
    """Return what a task is to take of a file by the roles its columns were given; None where none were."""
    return next((form for roles, form in _TELLING if roles & set(section.columns)), None)
