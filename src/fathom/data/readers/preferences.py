"""Comparisons of answers: rows of a prompt with a better and a worse answer, or with one answer and a verdict on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fathom.data.conversation import Turn
from fathom.data.example import Example
from fathom.data.readers.columns import Layout
from fathom.data.readers.messages import (
    BadRowError,
    ConversationRows,
    as_turns,
    check_order,
    check_text,
    system_turns,
)
from fathom.data.readers.problems import Problems
from fathom.data.readers.rows import as_json
from fathom.data.section import DataSection

PAIR = ("chosen", "rejected")
VERDICTS = {
    "desirable": frozenset({"true", "1", "1.0", "yes", "good", "desirable", "chosen", "是", "好"}),
    "undesirable": frozenset({"false", "0", "0.0", "-1", "no", "bad", "undesirable", "rejected", "否", "差"}),
}
"""What a row may say of its answer, compared without case."""
_SPOKEN = re.compile(r"(?:\A|\n\n)\s*(Human|Assistant|H|A): ?")
"""Turns within a text, as Anthropic's HH-RLHF writes them."""
_EQUAL_MEND = "a pair of equal answers teaches nothing: remove the row, or leave such rows out: data.on_error=skip"


class PreferenceRows(ConversationRows):
    """Checks rows one by one and collects the comparisons; see `ConversationRows`."""

    def __init__(self, layout: Layout, options: DataSection, problems: Problems) -> None:
        super().__init__(layout, options, problems)
        self._shared = 0

    def add(self, line: int, values: Mapping[str, Any]) -> None:
        """Check one row: its values by role of the column."""
        self._column = self.layout.names[0]
        try:
            if "completion" in values and not set(PAIR) & set(values):
                example = self._single(values)
            elif "messages" in values and not set(PAIR) & set(values):
                example = self._judged_conversation(values)
            else:
                example = self._pair_of(values)
        except BadRowError as error:
            self.problems.add(error.message, error.mend, line=line, column=self._column)
            return
        self.examples.append({**example, "where": f"{self.problems.path}:{line}"})

    def finish(self, num_rows: int) -> tuple[list[Example], list[str]]:
        """Return the comparisons and what was noticed; `num_rows` counts all rows of the file, bad ones too.

        Raises:
            DataError: Problems were found (and are not skipped), or there is no comparison.
        """
        notes = list(self.problems.finish(num_rows))
        if not self.examples:
            raise self.problems.fail("no rows", "the file needs at least one row of data besides a header")
        pairs = sum("chosen" in example for example in self.examples)
        wanted = sum(example.get("label") == "desirable" for example in self.examples)
        told = [f"{pairs:,} pairs of answers"] if pairs else []
        if len(self.examples) > pairs:
            told.append(f"{len(self.examples) - pairs:,} single answers, {wanted:,} of them desirable")
        notes.append("comparisons: " + "; ".join(told))
        if self._shared:
            notes.append(f"{self._shared:,} prompts were told from the turns both answers begin with")
        return self.examples, notes

    def _pair_of(self, values: Mapping[str, Any]) -> Example:
        for side in PAIR:
            if side not in values:
                raise BadRowError(f"no '{side}' answer", f"name its column: data.columns.{side}=NAME")
        sides = [self._side(side, values[side]) for side in PAIR]
        self._column = self._name("prompt", "messages")
        prompt = self._prompt(values)
        if prompt is None:
            prompt = _shared_turns(*sides)
            self._shared += 1
        self._column = self.layout.name("chosen")
        answers = [_answer_after(prompt, side, name) for side, name in zip(sides, PAIR, strict=True)]
        _check_prompt(prompt)
        if answers[0].strip() == answers[1].strip():
            raise BadRowError(f"chosen and rejected are equal: {answers[0].strip()[:40]!r}", _EQUAL_MEND)
        return {"messages": prompt, "chosen": answers[0], "rejected": answers[1]}

    def _single(self, values: Mapping[str, Any]) -> Example:
        self._column = self.layout.name("completion")
        side = self._side("completion", values["completion"])
        self._column = self._name("prompt", "messages")
        prompt = self._prompt(values)
        prompt = side[:-1] if prompt is None else prompt
        self._column = self.layout.name("completion")
        answer = _answer_after(prompt, side, "completion")
        _check_prompt(prompt)
        return {"messages": prompt, "completion": answer, **self._verdict(values)}

    def _judged_conversation(self, values: Mapping[str, Any]) -> Example:
        """A whole conversation and a verdict on its last turn."""
        self._column = self.layout.name("messages")
        turns = self._turns(values["messages"])
        turns = [*system_turns(values.get("system")), *turns] if turns[0]["role"] != "system" else turns
        check_order(turns)
        if turns[-1]["role"] != "assistant":
            raise BadRowError("the last turn is not the assistant's", "end the conversation with the judged answer")
        return {"messages": turns[:-1], "completion": turns[-1]["content"], **self._verdict(values)}

    def _verdict(self, values: Mapping[str, Any]) -> dict[str, str]:
        if "label" not in values:
            return {}
        self._column = self.layout.name("label")
        said = str(values["label"]).strip().lower()
        found = next((label for label, words in VERDICTS.items() if said in words), None)
        if found is None:
            raise BadRowError(f"{values['label']!r} is no verdict"[:120], "write true or false")
        return {"label": found}

    def _prompt(self, values: Mapping[str, Any]) -> list[Turn] | None:
        """The turns before the answers, by their own column; None where there is none."""
        if values.get("messages") is not None:
            turns = self._turns(values["messages"])
        elif values.get("prompt") is not None:
            said = _spoken(values["prompt"])
            given = {key: values[key] for key in ("input", "system") if key in values}
            turns = self._turns(said) if isinstance(said, list) else self._pair({"prompt": said, **given})
        else:
            return None
        return [*system_turns(values.get("system")), *turns] if turns[0]["role"] != "system" else turns

    def _side(self, name: str, value: Any) -> list[Turn]:
        """The turns of an answer: one of the assistant, or a conversation that ends with it."""
        self._column = self.layout.name(name)
        value = _spoken(as_json(value) if isinstance(value, str) and value.lstrip().startswith("{") else value)
        if isinstance(value, Mapping):
            value = [value]
        if isinstance(value, list):
            turns = self._turns(value)
            if turns[-1]["role"] != "assistant":
                raise BadRowError(f"the last turn of {name} is not the assistant's", "end it with the answer")
            return turns
        return [{"role": "assistant", "content": check_text(value, f"the {name} answer")}]

    def _name(self, *roles: str) -> str:
        return next((self.layout.name(role) for role in roles if role in self.layout.roles), self.layout.names[0])


def _answer_after(prompt: list[Turn], side: list[Turn], name: str) -> str:
    """The one turn that follows the prompt, which the side may repeat."""
    rest = side[len(prompt) :] if len(side) > len(prompt) and _alike(side[: len(prompt)], prompt) else side
    spoken = [turn for turn in prompt if turn["role"] != "system"]
    if len(rest) > 1 and len(rest) > len(spoken) and _alike(rest[: len(spoken)], spoken):
        rest = rest[len(spoken) :]  # the side leaves out the system turn
    if len(rest) != 1:
        raise BadRowError(
            f"{name} has {len(rest)} turns after the prompt, and one answer is compared",
            "let the prompt hold everything but the last answer",
        )
    return rest[0]["content"]


def _alike(first: list[Turn], second: list[Turn]) -> bool:
    return all(
        one["role"] == other["role"] and one["content"].strip() == other["content"].strip()
        for one, other in zip(first, second, strict=True)
    )


def _shared_turns(chosen: list[Turn], rejected: list[Turn]) -> list[Turn]:
    """The turns both sides begin with, up to the last of either."""
    most = min(len(chosen), len(rejected)) - 1
    same = next((place for place in range(most) if not _alike([chosen[place]], [rejected[place]])), most)
    return chosen[:same]


def _check_prompt(prompt: list[Turn]) -> None:
    if not prompt:
        raise BadRowError("no prompt before the answers", "name its column: data.columns.prompt=NAME")
    check_order([*prompt, {"role": "assistant", "content": "."}])


def _spoken(value: Any) -> Any:
    """Turns that are written into one text (`Human: ... Assistant: ...`); anything else as it is."""
    value = as_turns(value)
    if not isinstance(value, str) or _SPOKEN.match(value) is None:
        return value
    parts = _SPOKEN.split(value)[1:]
    roles = ["user" if name in {"Human", "H"} else "assistant" for name in parts[::2]]
    turns = [{"role": role, "content": text.strip()} for role, text in zip(roles, parts[1::2], strict=True)]
    return turns[:-1] if len(turns) > 1 and not turns[-1]["content"] and turns[-1]["role"] == "assistant" else turns
