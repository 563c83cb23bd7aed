"""Tag schemes: which one a file uses, and its conversion to IOB2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

_TAG = re.compile(r"([BIESMLU])(?:[-_](.+))?\Z", re.DOTALL)
_ROLE = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S"}
UNTYPED = "entity"
"""Type of entities whose tags are bare `B` and `I`."""


@lru_cache(maxsize=4096)
def parse_tag(tag: str) -> tuple[str, str] | None:
    """Split a tag into its role (`B`, `I`, `E`, `S`, `O`) and type; None when it is no tag."""
    if tag == "O":
        return "O", ""
    match = _TAG.match(tag)
    return (_ROLE[match[1]], match[2] or UNTYPED) if match else None


@dataclass
class Schemed:
    """Sentences in IOB2 and how they came to be.

    Attributes:
        sentences: One list of tags per sentence.
        scheme: What the file used: `iob1`, `iob2`, `bioes`, `io` or `none` (no entity at all).
        repairs: Tags that broke the scheme, by kind.
        places: (sentence, word) of the first repaired ones.
    """

    sentences: list[list[str]]
    scheme: str
    repairs: Counter[str] = field(default_factory=Counter)
    places: list[tuple[int, int]] = field(default_factory=list)

    def repair(self, kind: str, sentence: int, word: int) -> None:
        """Count one repair."""
        self.repairs[kind] += 1
        if len(self.places) < 5:
            self.places.append((sentence, word))


def detect_scheme(sentences: Sequence[Sequence[str]]) -> str:
    """Tell IOB1, IOB2 and BIOES (BMES, BILOU) apart; every tag must parse."""
    used = {tag for tags in sentences for tag in tags}
    prefixes = {tag[0] for tag in used if tag != "O"}
    if not prefixes:
        return "none"
    if prefixes - {"B", "I"}:
        return "bioes"
    free_begin = inside_start = 0
    for tags in sentences:
        before = ""
        for tag in tags:
            if tag == "O":
                before = ""
                continue
            role, kind = parse_tag(tag) or ("O", "")
            if kind != before:
                if role == "I":
                    inside_start += 1
                else:
                    free_begin += 1
            before = kind
    return "iob1" if inside_start > free_begin else "iob2"


def to_iob2(sentences: Sequence[Sequence[str]], scheme: str = "auto") -> Schemed:
    """Convert tags to IOB2; what breaks the scheme is repaired and counted.

    Args:
        sentences: Tags that all parse (see `parse_tag`), or bare types for the scheme `io`.
        scheme: Of the file; `auto` detects it.
    """
    if scheme == "io":
        return Schemed([_from_bare(tags) for tags in sentences], "io")
    found = detect_scheme(sentences) if scheme == "auto" else scheme
    result = Schemed([], found)
    for number, tags in enumerate(sentences):
        if any(tag != "O" for tag in tags):
            result.sentences.append(_convert(tags, found, number, result))
        else:
            result.sentences.append(list(tags))
    return result


def _convert(tags: Sequence[str], scheme: str, number: int, result: Schemed) -> list[str]:
    converted: list[str] = []
    open_type = ""
    closed = True
    last = len(tags) - 1
    for place, tag in enumerate(tags):
        role, kind = parse_tag(tag) or ("O", "")
        continues = role in {"I", "E"} and kind == open_type
        if role in {"I", "E"} and not continues and scheme != "iob1":
            result.repair(f"{role}- that continues nothing begins an entity", number, place)
        if role == "B" and scheme == "iob1" and kind != open_type:
            result.repair("B- where IOB1 writes I-", number, place)
        if scheme == "bioes" and not closed and not continues:
            result.repair("an entity without its last tag ends where the next begins", number, place - 1)
        converted.append("O" if role == "O" else f"I-{kind}" if continues else f"B-{kind}")
        closed = role in {"E", "S", "O"}
        open_type = "" if scheme == "bioes" and closed else kind
        if scheme == "bioes" and not closed and place == last:
            result.repair("an entity without its last tag ends where the next begins", number, place)
    return converted


def _from_bare(types: Sequence[str]) -> list[str]:
    converted = []
    before = "O"
    for kind in types:
        converted.append("O" if kind == "O" else f"I-{kind}" if kind == before else f"B-{kind}")
        before = kind
    return converted
