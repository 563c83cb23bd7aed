"""Marking two entities in a text, so that a model sees which pair is meant.

Styles of Zhou and Chen 2021 ("An Improved Baseline for Sentence-level Relation Extraction", arXiv 2102.01373):
`punctuation` puts signs every vocabulary has around the entities, `@ * person * Bill @ was born in # ^ city ^ Rome #`;
`tokens` puts new tokens there, `<e1:person> Bill </e1:person>`. Without types it is `@ Bill @` (Wu and He 2019,
arXiv 1905.08284) and `<e1> Bill </e1>` (Baldini Soares et al. 2019, arXiv 1906.03158).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fathom.tokenization.words import has_han

Style = Literal["punctuation", "tokens"]

_SIGNS = {"head": ("@", "*"), "tail": ("#", "^")}
_NAMES = {"head": "e1", "tail": "e2"}
ROLES = ("head", "tail")


@dataclass(frozen=True)
class Marked:
    """A text with marks in it.

    Attributes:
        text: The text a tokenizer gets.
        spans: Characters (start, end) of: the head's opening mark, the head, its closing mark, and the tail's three.
    """

    text: str
    spans: tuple[tuple[int, int], ...]


def marker_names(types: Sequence[str]) -> list[str]:
    """Return the tokens of the style `tokens`, for entities with types or, where there are none, without."""
    kinds = [f":{type_name(kind)}" for kind in types] or [""]
    return [f"<{slash}{name}{kind}>" for name in _NAMES.values() for kind in kinds for slash in ("", "/")]


def marker_signs(typed: bool) -> list[str]:
    """Return the signs of the style `punctuation`."""
    return [sign for signs in _SIGNS.values() for sign in signs[: 1 + typed]]


def type_name(kind: str) -> str:
    """Return a type as it is written in a mark."""
    return kind.lower().replace("_", " ").replace("-", " ").strip()


def mark(text: str, entities: Mapping[str, Mapping[str, Any]], style: Style, typed: bool) -> Marked:
    """Put marks around head and tail; one of them may lie inside the other.

    A blank is put between a mark and a letter it would touch, except beside Chinese characters.

    Args:
        text: The text.
        entities: `head` and `tail`, each with `start`, `end` and, for typed marks, `type`.
        style: See the module.
        typed: Whether marks name the types.
    """
    insertions: list[tuple[tuple[int, int, int], int, str]] = []
    for number, role in enumerate(ROLES):
        start, end = entities[role]["start"], entities[role]["end"]
        opening, closing = _signs(role, style, type_name(str(entities[role]["type"])) if typed else "")
        # where two marks meet, one closes before another opens, and the longer entity lies outside
        insertions.append(((start, 1, -end), 3 * number, opening))
        insertions.append(((end, 0, -start), 3 * number + 2, closing))
    spans = [(0, 0)] * 6
    marked = ""
    place = 0
    for (at, _, _), slot, sign in sorted(insertions):
        marked = _join(_join(marked, text[place:at]), sign)
        spans[slot] = (len(marked) - len(sign), len(marked))
        place = at
    for first in (0, 3):
        spans[first + 1] = (spans[first][1], spans[first + 2][0])
    return Marked(_join(marked, text[place:]), tuple(spans))


def _signs(role: str, style: Style, kind: str) -> tuple[str, str]:
    if style == "tokens":
        name = f"{_NAMES[role]}:{kind}" if kind else _NAMES[role]
        return f"<{name}>", f"</{name}>"
    outer, inner = _SIGNS[role]
    return f"{outer} {inner} {kind} {inner}" if kind else outer, outer


def _join(before: str, after: str) -> str:
    touching = before[-1:] + after[:1]
    apart = len(touching) == 2 and not any(character.isspace() for character in touching) and not has_han(touching)
    return f"{before} {after}" if apart else before + after
