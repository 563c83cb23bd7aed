"""What a conversation is, and its turns as one text."""

from __future__ import annotations

from collections.abc import Iterable

from fathom.data.example import Example

Turn = dict[str, str]
"""One turn: `role` is `system`, `user`, `assistant` or `tool`; `content` is its text."""


ANSWERS = ("chosen", "rejected", "completion")
"""Keys of answers that are compared or judged, in examples of preferences."""


def has_answer(example: Example) -> bool:
    """Whether a conversation has a turn of the assistant."""
    return any(turn["role"] == "assistant" for turn in example["messages"])


def speak(turns: Iterable[Turn]) -> str:
    """Return turns as one text, a line for each, for messages and comparisons."""
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def text_of(example: Example) -> str:
    """Return the text of an example; of a conversation, its turns; of an image or sound, the digest of its bytes.

    Answers that are compared follow their prompt.
    """
    if "digest" in example:
        return str(example["digest"])
    if "messages" not in example:
        return str(example["text"])
    answers = [f"{name}: {example[name]}" for name in ANSWERS if name in example]
    return "\n".join([speak(example["messages"]), *answers])
