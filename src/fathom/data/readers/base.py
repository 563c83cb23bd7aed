"""The contract of a reader: a path goes in, examples and what was noticed come out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from fathom.config import Part
from fathom.data.example import Example
from fathom.data.readers.problems import Problems, Skipped
from fathom.data.section import DataSection

Form = Literal[
    "text",
    "spans",
    "relation",
    "triples",
    "questions",
    "chat",
    "preference",
    "corpus",
    "pairs",
    "writing",
    "image",
    "sound",
    "speech",
    "interactions",
]
"""What a task takes: `text` (a text, a label), `spans` (a text, words, tags), `relation` (a text, two entities, a
label), `triples` (a text, all that is related in it), `questions` (a passage, a question, its answers), `chat` (turns
of a conversation), `preference` (a prompt, and answers that are compared or judged), `corpus` (running text without
labels), `pairs` (texts that belong together, or do not), `writing` (a source, and what is to be written for it),
`image` or `sound` (a file, a label), `speech` (a sound, what is said in it), `interactions` (what users chose, in the
order of time)."""


@dataclass(frozen=True)
class Request:
    """What is wanted of one file, and where its problems go."""

    form: Form
    options: DataSection
    problems: Problems


@dataclass(frozen=True)
class Reading:
    """What a reader found.

    Attributes:
        examples: In file order.
        notes: One sentence each: format, encoding, columns, scheme, repairs, rows left out.
        digest: sha256 (hex) of the bytes that were read.
        columns: Names of the columns of the file, for messages.
        skipped: The rows that were left out (`on_error: skip`).
    """

    examples: list[Example]
    notes: tuple[str, ...] = ()
    digest: str = ""
    columns: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


class Reader(Part, ABC):
    """Reads one format. Stateless: what varies is in `DataSection`."""

    @abstractmethod
    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every row.

        Args:
            path: A file (without `#n`), or a name for readers that are not about files.
            form: What the task takes.
            options: The recipe's data section.

        Raises:
            DataError: Every problem of the file at once: the first 20 with file, line, column and mend, and counts.
        """
