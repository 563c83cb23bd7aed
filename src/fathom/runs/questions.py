"""Questions to a saved model: mappings, JSON, or a question and a passage as two texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from fathom.errors import DataError

KEYS = ("question", "context", "text", "where")
_MEND = 'write {"question": ..., "context": ...}, or give a question and a passage as two arguments'


def read_questions(inputs: Iterable[str | Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return questions as mappings a predictor takes.

    Args:
        inputs: Mappings with `question` and `context` (or `text`), such mappings as JSON, or exactly two texts: a
            question and a passage. A line of a file comes as `{"text": line, "where": place}`.

    Raises:
        DataError: Something else; says which input.
    """
    given = list(inputs)
    if len(given) == 2 and all(isinstance(item, str) and not item.lstrip().startswith("{") for item in given):
        return [{"question": given[0], "text": given[1], "where": "input 1"}]
    found: list[Mapping[str, Any]] = []
    for number, item in enumerate(given, start=1):
        where = str(item["where"]) if isinstance(item, Mapping) and "where" in item else f"input {number}"
        text = item["text"] if isinstance(item, Mapping) and item.keys() == {"text", "where"} else item
        value = _as_object(text, where) if isinstance(text, str) else text
        found.append({"where": where, **value})
    return found


def _as_object(text: str, where: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise DataError("a text alone is no question on a passage", where=where, mend=_MEND)
    return {key: item for key, item in value.items() if key in KEYS}
