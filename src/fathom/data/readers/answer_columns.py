"""Which columns hold compared or judged answers."""

from __future__ import annotations

from collections.abc import Callable, Container

ANSWER_NAMES: dict[str, tuple[str, ...]] = {
    "chosen": (
        "chosen",
        "chosen_response",
        "response_chosen",
        "preferred",
        "accepted",
        "better",
        "win",
        "偏好",
        "优选",
    ),
    "rejected": ("rejected", "rejected_response", "response_rejected", "dispreferred", "worse", "lose", "拒绝", "劣选"),
    "completion": ("completion", "response", "output", "answer", "reply", "回答", "回复", "答案", "输出"),
    "verdict": ("label", "kto_tag", "desirable", "is_desirable", "thumbs_up", "verdict", "标签", "评价"),
}
"""Usual names of their columns by role, the most telling first."""
ANSWERS_NEEDED = tuple(map(frozenset, ({"chosen", "rejected"}, {"completion"}, {"messages", "label"})))
"""Roles that must have a column; one of the sets is enough."""
ANSWERS_WANTED = (
    "data.columns.prompt=NAME (or messages) data.columns.chosen=NAME data.columns.rejected=NAME, or "
    "data.columns.completion=NAME data.columns.label=NAME"
)
"""What a recipe has to say where they cannot be told."""


def guess_answers(roles: Container[str], find: Callable[[str], None]) -> None:
    """Find two answers beside a prompt or the conversation before them; else one, or a conversation that ends so.

    Args:
        roles: Those that have a column; `find` adds to them.
        find: Looks for the column of a role.
    """
    find("chosen")
    find("rejected")
    if not ("chosen" in roles or "rejected" in roles):
        find("completion")
        find("label")
    answers = any(role in roles for role in ("chosen", "rejected", "completion"))
    for role in ("prompt", "messages") if answers else ("messages", "prompt"):
        if not ("prompt" in roles or "messages" in roles):
            find(role)
    if "prompt" in roles:
        find("input")
    find("system")
