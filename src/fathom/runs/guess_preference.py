"""Guess whether a data file holds compared or judged answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from fathom.data.load import SUFFIXES
from fathom.data.readers.columns import USUAL_NAMES
from fathom.runs.guess_table import TABLES, Source, column_names


def answers_in(source: Source) -> Literal["pairs", "single"] | None:
    """Return what the columns of a file hold: a better and a worse answer, an answer with its prompt, or neither."""
    name = SUFFIXES.get(Path(source.plain).suffix.lower())
    if name not in TABLES:
        return None
    names = {*column_names(source, name)}
    if all(names & set(USUAL_NAMES[role]) for role in ("chosen", "rejected")):
        return "pairs"
    single = all(names & set(USUAL_NAMES[role]) for role in ("completion", "prompt"))
    return "single" if single else None


def has_verdicts(columns: Mapping[str, Sequence[str]]) -> bool:
    """Whether a table holds answers (or conversations) and beside each a plain verdict on it, true or false."""
    folded = {name.strip().lower(): values for name, values in columns.items()}
    answers = ("completion", "messages")
    named = any(set(folded) & set(USUAL_NAMES[role]) for role in answers)
    verdicts = [values for name, values in folded.items() if name in USUAL_NAMES["verdict"]]
    return named and any(_are_verdicts(values) for values in verdicts)


def _are_verdicts(values: Iterable[str]) -> bool:
    return {str(value).strip().lower() for value in values} == {"true", "false"}
