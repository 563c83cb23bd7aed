"""Words of a text and their tags: what token classification is trained on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fathom.data.helpdesk.grammar import Piece

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]")


def join(pieces: Sequence[Piece]) -> tuple[str, list[dict[str, Any]]]:
    """Join pieces into a text and its entities, each `{"start", "end", "label", "text"}`.

    Runs of blanks become one; a blank is put between a value and a Latin letter or digit that would touch it.
    """
    text = ""
    entities: list[dict[str, Any]] = []
    after_value = False
    for piece in pieces:
        part = piece.text
        if piece.label is None:
            part = re.sub(r"\s+", " ", part)
            if text.endswith(" ") or not text:
                part = part.lstrip(" ")
        touches = bool(text and part) and _is_latin(text[-1]) and _is_latin(part[0])
        if touches and (after_value or piece.label is not None):
            text += " "
        if piece.label is not None:
            entities.append({"start": len(text), "end": len(text) + len(part), "label": piece.label, "text": part})
        text += part
        after_value = piece.label is not None if part else after_value
    return text.rstrip(), entities


def tag(text: str, entities: Sequence[dict[str, Any]]) -> tuple[list[tuple[int, int]], list[str]]:
    """Cut a text into words (Chinese: characters) and give each its IOB2 tag."""
    words = [match.span() for match in _WORD.finditer(text)]
    tags = ["O"] * len(words)
    place = 0
    for entity in entities:
        while words[place][0] < entity["start"]:
            place += 1
        mark = "B-"
        while place < len(words) and words[place][0] < entity["end"]:
            tags[place] = mark + entity["label"]
            mark = "I-"
            place += 1
    return words, tags


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
