"""Conversations of a file as prompts: what a model that chats is asked to answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.config import validate
from fathom.data.conversation import Turn
from fathom.data.load import SUFFIXES, load_examples
from fathom.data.readers.columns import USUAL_NAMES
from fathom.data.section import InputSection
from fathom.log import get_console
from fathom.runs.guess_table import TABLES, Source, column_names

CHATS = frozenset({"chat", "preference"})
"""Tasks whose models answer conversations."""
_HOLD = ("messages", "prompt")


def holds_conversations(path: str | Path, columns: Mapping[str, Any]) -> bool:
    """Whether a file has rows of conversations, by the names of its columns; one with a `text` and no turns has none.

    Args:
        path: As a user gave it, `#n` included.
        columns: Which column is what, as the training files had it; those that the file has not say nothing. A `text`
            among them says that there are texts.
    """
    source = Source(str(path))
    name = SUFFIXES.get(Path(source.plain).suffix.lower())
    if name not in TABLES or not Path(source.plain).is_file() or "text" in columns:
        return False
    names = {*column_names(source, name)}
    found = {role: columns.get(role) in names or bool(names & set(USUAL_NAMES[role])) for role in _HOLD}
    return found["messages"] or (found["prompt"] and "text" not in names)


def read_conversations(path: str | Path, read: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the conversations of a file up to the turn that is to be answered, as `messages`, with `where`.

    An answer that a row brings at its end is left out.

    Args:
        path: See `holds_conversations`.
        read: How the file is read: keys of `InputSection`.

    Raises:
        DataError: A row is wrong; names its line.
    """
    examples, notes = load_examples(str(path), "chat", validate(InputSection, {**read, "train": str(path)}, "read"))
    for note in notes:
        get_console().info(f"{path}: {note}")
    return [{"messages": _unanswered(example["messages"]), "where": example["where"]} for example in examples]


def _unanswered(turns: list[Turn]) -> list[Turn]:
    return turns[:-1] if turns[-1]["role"] == "assistant" else turns
