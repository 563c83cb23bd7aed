"""Guess whether a data file holds sources with what is to be written for them, and which task that is."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from fathom.data.example import Example
from fathom.errors import DataError
from fathom.runs.guess_table import Source
from fathom.tasks.text_units import guess_units

MOST_DIFFERENT = 0.5
"""Share of targets that differ, above which they are written, and not labels."""
SHORT = 0.6
"""Median ratio of lengths below which a target in the language of its source is a summary of it."""


def read_written(source: Source) -> tuple[list[Example], tuple[str, ...]] | None:
    """Read a file as pairs; None where it holds none, or where one side are labels."""
    try:
        examples, notes = source.read("writing")
    except DataError:
        return None
    pairs = [example for example in examples if "references" in example]
    both = ([pair["text"] for pair in pairs], [pair["references"][0] for pair in pairs])
    return (examples, notes) if all(map(are_written, both)) else None


def are_written(texts: Sequence[str]) -> bool:
    """Whether texts are written one by one: most differ, and most are more than a word or a number."""
    longer = sum(len(text) > 3 and not _is_number(text) for text in texts)
    return bool(texts) and len(set(texts)) > MOST_DIFFERENT * len(texts) and longer > MOST_DIFFERENT * len(texts)


def writing_task(examples: Sequence[Example]) -> str:
    """Return `summarization` for short targets in the script of their sources, else `translation`."""
    pairs = [example for example in examples if "references" in example]
    same = guess_units(pair["text"] for pair in pairs) == guess_units(pair["references"][0] for pair in pairs)
    ratio = statistics.median(len(pair["references"][0]) / len(pair["text"]) for pair in pairs)
    return "summarization" if same and ratio < SHORT else "translation"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
