"""What stands beside a turn: the knowledge it draws on, and the calls that were made for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

KNOWLEDGE_KEYS = ("attrs", "knowledge")
CALL_KEYS = ("frames", "calls")
"""Usual keys of a turn that hold them (KdConv; Schema-Guided Dialogue): what is passed over is said."""

Call = tuple[str, str]
"""A call as JSON text, and what it gave."""


def read_facts(value: Any) -> list[str] | None:
    """Return the facts of a turn as lines; None where it is none.

    Args:
        value: A text, a list of texts, or KdConv's list of `{"name", "attrname", "attrvalue"}`.
    """
    if value is None or value == "":
        return []
    facts = []
    for given in value if isinstance(value, list) else [value]:
        if isinstance(given, Mapping):
            parts = [given.get(key) for key in ("name", "attrname", "attrvalue")]
            if not all(isinstance(part, str) for part in parts):
                return None
            facts.append(f"{parts[0]}, {parts[1]}: {parts[2]}")
        elif isinstance(given, str):
            facts.append(given)
        else:
            return None
    return [" ".join(fact.split()) for fact in facts if fact.strip()]


def read_calls(value: Any) -> list[Call] | None:
    """Return the calls of a turn and their results; None where one cannot be read.

    Args:
        value: A list of `{"name", "arguments", "result"}`, or Schema-Guided Dialogue's frames, of which those with a
            `service_call` count.
    """
    if value is None or value == "":
        return []
    found = []
    for given in value if isinstance(value, list) else [value]:
        if not isinstance(given, Mapping):
            return None
        if "service" in given and "service_call" not in given:
            continue
        call, result = given.get("service_call", given), given.get("service_results", given.get("result"))
        if not isinstance(call, Mapping):
            return None
        name, arguments = (_first(call, keys) for keys in (("name", "method"), ("arguments", "parameters")))
        if not isinstance(name, str) or not isinstance(arguments, Mapping) or result is None:
            return None
        text = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        found.append((text, result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)))
    return found


def passed_over(turns: Sequence[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    """Return under which usual keys turns hold knowledge and calls; None where they hold none."""
    knowledge = next((key for key in KNOWLEDGE_KEYS if any(read_facts(turn.get(key)) for turn in turns)), None)
    calls = next((key for key in CALL_KEYS if any(read_calls(turn.get(key)) for turn in turns)), None)
    return knowledge, calls


def _first(value: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((value[key] for key in keys if key in value), None)
