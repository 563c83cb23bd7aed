"""Two entities in a text and the relation between them: marked texts, names of "no relation", pairs of a whole text."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fathom.data.example import Example

NO_RELATION = "no-relation"
"""The label of pairs that a fully annotated text relates in no way."""
NEGATIVE_NAMES = frozenset(
    {
        "no-relation",
        "norelation",
        "none",
        "na",
        "n/a",
        "other",
        "unknown",
        "nil",
        "unrelated",
        "无关系",
        "无",
        "没有关系",
    }
)
"""What data sets call "no relation", compared by `is_negative`."""

_TAG = re.compile(r"[<\[](/?)(e1|e2|head|tail|subj|obj)[>\]]", re.IGNORECASE)
_HEADS = frozenset({"e1", "head", "subj"})


def is_negative(label: str) -> bool:
    """Whether a label says by its name that there is no relation (`Other`, `no_relation`, `NA` ...)."""
    return label.strip().casefold().replace("_", "-").replace(" ", "-") in NEGATIVE_NAMES


def is_tagged(text: str) -> bool:
    """Whether a text marks two entities as `<e1>..</e1>` and `<e2>..</e2>` do."""
    return isinstance(read_tagged(text), tuple)


def read_tagged(text: str) -> tuple[str, dict[str, Any], dict[str, Any]] | str:
    """Take the marks out of a text such as `the <e1>audits</e1> were about <e2>waste</e2>`.

    `[E1]`, `<head>`/`<tail>` and `<subj>`/`<obj>` are read alike. White space between a mark and its entity goes.

    Returns:
        The text, head and tail as `{"start", "end"}`; or what is wrong with the marks.
    """
    plain = ""
    place = 0
    opened: dict[str, int] = {}
    found: dict[str, dict[str, Any]] = {}
    trimming = False
    for match in _TAG.finditer(text):
        between = text[place : match.start()]
        plain += between.lstrip() if trimming else between
        place = match.end()
        closes, role = bool(match[1]), "head" if match[2].lower() in _HEADS else "tail"
        trimming = not closes
        if not closes:
            if role in opened or role in found:
                return f"two entities are marked {match[0]}"
            opened[role] = len(plain)
            continue
        if role not in opened:
            return f"{match[0]} closes nothing"
        stripped = plain.rstrip()
        start = opened.pop(role)
        if len(stripped) <= start:
            return f"nothing stands before {match[0]}"
        # "a<e1> b </e1>c" keeps its words apart, "<e1> b </e1>." and "<e1> b </e1> c" need no second blank
        apart = len(stripped) < len(plain) and text[place : place + 1].isalnum()
        found[role] = {"start": start, "end": len(stripped)}
        plain = stripped + (" " if apart else "")
    plain += text[place:]
    if opened:
        return "an entity's mark is never closed"
    if set(found) != {"head", "tail"}:
        return (
            "the text does not mark two entities"
            if not found
            else f"no {'tail' if 'head' in found else 'head'} is marked"
        )
    return plain, found["head"], found["tail"]


def pair_problem(text: str, head: Mapping[str, Any], tail: Mapping[str, Any]) -> str | None:
    """Say what is wrong with two entities of a text; one inside the other is fine."""
    for role, entity in (("head", head), ("tail", tail)):
        start, end = entity["start"], entity["end"]
        if not 0 <= start < end <= len(text):
            return f"the {role} {start}-{end} is not inside the text of {len(text)} characters"
        if not text[start:end].strip():
            return f"the {role} {start}-{end} covers only white space"
    (start, end), (other, last) = (head["start"], head["end"]), (tail["start"], tail["end"])
    if (start, end) == (other, last):
        return f"head and tail are the same characters {start}-{end}"
    if start < other < end < last or other < start < last < end:
        return f"head {start}-{end} and tail {other}-{last} overlap in part"
    return None


def pair_examples(
    example: Example,
    entities: Sequence[Mapping[str, Any]],
    relations: Mapping[tuple[int, int], str],
    types: Collection[tuple[str, str]],
) -> list[Example]:
    """Return an example for each pair of entities whose types may be related, and for each that is.

    Args:
        example: The text and `where` it is from.
        entities: Each with `start`, `end` and `type`.
        relations: Labels by (head, tail), positions in `entities`; other pairs are labelled `NO_RELATION`.
        types: (head type, tail type) pairs that a relation may hold between.
    """
    found = []
    for head, tail in sorted({*candidate_pairs(entities, types), *relations}):
        pair = {"head": dict(entities[head]), "tail": dict(entities[tail])}
        found.append({**example, **pair, "label": relations.get((head, tail), NO_RELATION)})
    return found


def candidate_pairs(entities: Sequence[Mapping[str, Any]], types: Collection[tuple[str, str]]) -> list[tuple[int, int]]:
    """Return the ordered pairs of entities, as positions, that a relation may hold between by their types."""
    places = range(len(entities))
    return [
        (head, tail)
        for head in places
        for tail in places
        if head != tail
        and (entities[head]["type"], entities[tail]["type"]) in types
        and apart(entities[head], entities[tail])
    ]


def apart(head: Mapping[str, Any], tail: Mapping[str, Any]) -> bool:
    """Whether two entities share no character."""
    return bool(head["end"] <= tail["start"] or tail["end"] <= head["start"])
