"""The notation the sentences are written in, how it is expanded, and which split owns what.

A template is one line of text: `(a|b)` chooses one alternative (one may be empty), `[a]` may be left out, `{name}` is
filled from the lexicon. Templates are handed out to the splits by their position in the list, and values by position
or by a checksum, so that nothing a test example is made of occurs in a training example.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Split = Literal["train", "validation", "test"]
Language = Literal["en", "zh"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Item = TypeVar("Item")

_OWNERS: dict[str, Split] = {"T": "train", "V": "validation", "E": "test"}
TEMPLATE_PATTERN = "TTETVTTETTVETTTETVTTETTTEV"
GOAL_PATTERN = "TTETVTTETTVETTETTV"
ASIDE_PATTERN = "TETV"
VALUE_PATTERN = "TETVTE"


class Chooser:
    """A random stream keyed by a string; of `random` it uses only `random()`, whose values never changed."""

    def __init__(self, key: str) -> None:
        self._random = random.Random(key).random

    def below(self, limit: int) -> int:
        """Return an integer in [0, limit)."""
        return int(self._random() * limit)

    def between(self, low: int, high: int) -> int:
        """Return an integer in [low, high], both included."""
        return low + int(self._random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self._random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[int(self._random() * len(items))]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """Return the items in a random order."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result


@dataclass(frozen=True)
class Piece:
    """A run of text; `label` is its entity type, None for ordinary words."""

    text: str
    label: str | None = None


@dataclass(frozen=True)
class Slot:
    """A place in a template that the lexicon fills."""

    name: str


@dataclass(frozen=True)
class Choice:
    """Alternatives, one of which is taken."""

    options: tuple[tuple[Node, ...], ...]


Node = str | Slot | Choice
Fill = Callable[[str], Sequence[Piece]]


@dataclass(frozen=True)
class Template:
    """One sentence pattern; `name` is unique in the whole corpus and belongs to one split only."""

    name: str
    nodes: tuple[Node, ...]
    slots: tuple[str, ...]

    def expand(self, chooser: Chooser, fill: Fill) -> list[Piece]:
        """Return the pieces of one sentence of this pattern."""
        return list(_expand(self.nodes, chooser, fill))


@dataclass(frozen=True)
class Intent:
    """What users say when they want one thing.

    Args:
        templates: Whole requests, one on each line.
        asides: Sentences that touch the subject but ask for nothing; they go into requests of *other* intents.
    """

    templates: str
    asides: str


def parse(name: str, source: str) -> Template:
    """Parse one template.

    Raises:
        ValueError: Brackets do not match.
    """
    nodes, position = _parse_sequence(source, 0, "")
    if position != len(source):
        raise ValueError(f"template {name}: unexpected '{source[position]}' at {position} in {source!r}")
    return Template(name, nodes, tuple(_slots(nodes)))


def templates(prefix: str, block: str, pattern: str = TEMPLATE_PATTERN) -> dict[Split, list[Template]]:
    """Parse a block of lines and hand its templates out to the splits by their position."""
    shared: dict[Split, list[Template]] = {split: [] for split in SPLITS}
    for index, line in enumerate(block.strip().splitlines()):
        shared[_OWNERS[pattern[index % len(pattern)]]].append(parse(f"{prefix}/{index:02d}", line))
    return shared


def share(items: Sequence[Item], split: Split, pattern: str = VALUE_PATTERN) -> list[Item]:
    """Return the items that belong to a split, by their position."""
    return [item for index, item in enumerate(items) if _OWNERS[pattern[index % len(pattern)]] == split]


def owner(text: str) -> Split:
    """Return the one split that may use a text, by the checksum of its letters and digits."""
    letters = "".join(character for character in text.casefold() if character.isalnum())
    return SPLITS[zlib.crc32(letters.encode()) % len(SPLITS)]


def _parse_sequence(source: str, position: int, closing: str) -> tuple[tuple[Node, ...], int]:
    nodes: list[Node] = []
    literal = ""
    while position < len(source) and source[position] not in ")|]":
        character = source[position]
        if character not in "([{":
            literal += character
            position += 1
            continue
        if literal:
            nodes.append(literal)
            literal = ""
        if character == "{":
            end = source.index("}", position)
            nodes.append(Slot(source[position + 1 : end]))
            position = end + 1
        else:
            choice, position = _parse_choice(source, position)
            nodes.append(choice)
    if literal:
        nodes.append(literal)
    if closing and position == len(source):
        raise ValueError(f"no '{closing}' in {source!r}")
    return tuple(nodes), position


def _parse_choice(source: str, position: int) -> tuple[Choice, int]:
    closing = {"(": ")", "[": "]"}[source[position]]
    options: list[tuple[Node, ...]] = [()] if closing == "]" else []
    while True:
        nodes, position = _parse_sequence(source, position + 1, closing)
        options.append(nodes)
        if source[position] == closing:
            return Choice(tuple(options)), position + 1
        if source[position] != "|":
            raise ValueError(f"unexpected '{source[position]}' at {position} in {source!r}")


def _slots(nodes: tuple[Node, ...]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, Slot):
            yield node.name
        elif isinstance(node, Choice):
            for option in node.options:
                yield from _slots(option)


def _expand(nodes: tuple[Node, ...], chooser: Chooser, fill: Fill) -> Iterator[Piece]:
    for node in nodes:
        if isinstance(node, str):
            yield Piece(node)
        elif isinstance(node, Slot):
            yield from fill(node.name)
        else:
            yield from _expand(chooser.pick(node.options), chooser, fill)
