"""Pairs of answers from the dialogues: what the agent said, and what it said to another customer at that place."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.data.example import Example


def compare_answers(dialogues: Sequence[Example]) -> list[Example]:
    """Return a pair for each dialogue, at one of the agent's turns, the first, second ... by turns.

    The rejected answer is well written and beside the point: it is from the next dialogue of the same language in which
    the agent says something else at that place.
    """
    found: list[Example] = []
    for number, dialogue in enumerate(dialogues):
        turns = dialogue["messages"]
        places = _spoken(dialogue)
        chosen_at = places[number % len(places)]
        chosen = turns[chosen_at]["content"]
        later = (dialogues[(number + step) % len(dialogues)] for step in range(1, len(dialogues)))
        others = (
            said
            for other in later
            if other["language"] == dialogue["language"]
            and (said := _at(other, places.index(chosen_at))).strip() != chosen.strip()
        )
        rejected = next(others, None)
        if rejected is not None:
            shared = {"language": dialogue["language"], "where": dialogue["where"]}
            found.append({"messages": turns[:chosen_at], "chosen": chosen, "rejected": rejected, **shared})
    return found


def _spoken(dialogue: Example) -> list[int]:
    return [place for place, turn in enumerate(dialogue["messages"]) if turn["role"] == "assistant"]


def _at(dialogue: Example, number: int) -> str:
    """What the agent says as its n-th turn, or as its last where it has fewer."""
    places = _spoken(dialogue)
    said: str = dialogue["messages"][places[min(number, len(places) - 1)]]["content"]
    return said
