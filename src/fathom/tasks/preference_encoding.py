"""Prompts with two answers each as tokens: both sides see the same prompt, whatever has to be left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fathom.data.conversation import Turn
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.errors import DataError
from fathom.log import get_console
from fathom.tasks.chat import last_exchanges
from fathom.tasks.labels import place
from fathom.tokenization.chat import ChatTemplate, Encoded

TooLong = Literal["cut", "refuse"]
PER_ANSWER = ("input_ids", "labels", "reference")
"""Fields that run along a sequence and belong to its answers."""


@dataclass(frozen=True)
class Judged:
    """What a sequence of the store is made of.

    Attributes:
        example: Index of the example.
        prompt: The turns before the answer.
        answers: Two of them.
        own: How many of the answers belong to the prompt; the rest are cut to what room there is.
        desirable: Whether the first is wanted.
        where: For messages.
    """

    example: int
    prompt: list[Turn]
    answers: tuple[str, str]
    own: int
    desirable: bool
    where: str


def judged_pairs(examples: Sequence[Example], first_index: int) -> list[Judged]:
    """Return a sequence for each pair.

    Raises:
        DataError: An example is none.
    """
    found = []
    for index, example in enumerate(examples, first_index):
        if "chosen" not in example:
            raise DataError(
                "the row holds one answer, and the model compares two",
                where=place(example),
                mend="give chosen and rejected",
            )
        answers = (example["chosen"], example["rejected"])
        found.append(Judged(index, example["messages"], answers, 2, True, place(example)))
    return found


def judged_singly(examples: Sequence[Example], first_index: int) -> list[Judged]:
    """Return a sequence for each answer, a pair giving two: beside it stands the next answer to another prompt."""
    units: list[tuple[int, str, bool]] = []
    for index, example in enumerate(examples):
        if "chosen" in example:
            units += [(index, example["chosen"], True), (index, example["rejected"], False)]
        else:
            units.append((index, example["completion"], example.get("label", "desirable") == "desirable"))
    found = []
    for number, (index, answer, desirable) in enumerate(units):
        prompt = examples[index]["messages"]
        later = (units[(number + step) % len(units)] for step in range(1, len(units)))
        other = next((text for own, text, _ in later if examples[own]["messages"] != prompt), answer)
        found.append(Judged(first_index + index, prompt, (answer, other), 1, desirable, place(examples[index])))
    return found


class AnswerEncoder:
    """Writes prompts with their answers by a chat template.

    Args:
        template: Of the model's tokenizer.
        max_length: Tokens of the longest side.
        too_long: What happens to longer ones.
    """

    def __init__(self, template: ChatTemplate, max_length: int, too_long: TooLong) -> None:
        self.template = template
        self.max_length = max_length
        self.too_long = too_long

    def encode(self, judged: Sequence[Judged]) -> list[Features]:
        """Encode sequences: two conversations one after the other, told apart by `segment`; `labels` are the answers.

        Raises:
            DataError: The template refuses a conversation, or it is too long and the policy is to refuse.
        """
        both = self._encode([(item, item.prompt) for item in judged])
        long = {
            number
            for number, item in enumerate(judged)
            if max(len(side.ids) for side in both[number][: item.own]) > self.max_length
        }
        if long and self.too_long == "refuse":
            first = judged[min(long)]
            tokens = max(len(side.ids) for side in both[min(long)][: first.own])
            raise DataError(
                f"prompt and answer have {tokens:,} tokens, and max_length is {self.max_length:,}",
                where=first.where,
                mend="raise data.max_length, or let the first exchanges be left out: task.too_long=cut",
            )
        for number in long:
            both[number] = self._encode([(judged[number], self._shorter(judged[number], both[number]))])[0]
        features = [self._feature(item, sides) for item, sides in zip(judged, both, strict=True)]
        if long:
            cut = sum(int(feature["truncated"]) for feature in features)
            get_console().info(
                f"{len(long):,} of {len(judged):,} prompts with their answers are longer than {self.max_length:,} "
                f"tokens: first exchanges are left out, the same for both answers"
                + (f"; {cut:,} have a last exchange that is too long, and are cut within it" if cut else "")
            )
        return features

    def _encode(self, given: Sequence[tuple[Judged, list[Turn]]]) -> list[list[Encoded]]:
        rendered = [
            self.template.render([*prompt, _answer(text)], item.where)
            for item, prompt in given
            for text in item.answers
        ]
        encoded = self.template.encode(rendered)
        return [encoded[number : number + 2] for number in range(0, len(encoded), 2)]

    def _shorter(self, item: Judged, sides: Sequence[Encoded]) -> list[Turn]:
        """Return the end of a prompt with which the longer of its own answers fits, if any does."""
        longest = max(range(item.own), key=lambda side: len(sides[side].ids))
        turns = [*item.prompt, _answer(item.answers[longest])]
        return last_exchanges(self.template, turns, self.max_length, item.where)[:-1]

    def _feature(self, item: Judged, sides: Sequence[Encoded]) -> Features:
        own = sides[: item.own]
        begin = _left_out([len(side.ids) for side in own], min(_first(side) for side in own), self.max_length)
        kept = slice(begin, begin + self.max_length)
        ids = [side.ids[kept] for side in sides]
        cut = any(len(side.ids) > self.max_length for side in own)
        numbers: dict[str, Any] = {"example": item.example, "truncated": cut}
        numbers |= {"desirable": item.desirable} if item.own == 1 else {}
        return {
            "input_ids": np.concatenate(ids),
            "labels": np.concatenate([_labels(side)[kept] for side in sides]),
            "segment": np.repeat(np.arange(2, dtype=np.int32), [len(own) for own in ids]),
            **{name: np.array(value, dtype=np.int64) for name, value in numbers.items()},
        }


def split_answers(features: Features) -> list[Features]:
    """Return the two conversations of a sequence, each by itself."""
    ends = np.flatnonzero(np.diff(features["segment"])) + 1
    split = {name: np.split(features[name], ends) for name in PER_ANSWER if name in features}
    return [{name: parts[number] for name, parts in split.items()} for number in range(len(ends) + 1)]


def _left_out(lengths: Sequence[int], first: int, max_length: int) -> int:
    """Return how many tokens a prompt loses at its beginning: what is too much, while half of the room is left to it.

    Args:
        lengths: Of the conversations with each answer.
        first: Where the answers begin.
        max_length: Room for a conversation.
    """
    return max(0, min(max(lengths) - max_length, first - max_length // 2))


def _first(side: Encoded) -> int:
    return side.answers[-1][0]


def _answer(text: str) -> Turn:
    return {"role": "assistant", "content": text}


def _labels(side: Encoded) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The tokens of the last answer; a sequence's first token is predicted nowhere."""
    labels = np.full(len(side.ids), IGNORED_LABEL, dtype=np.int32)
    first, end = side.answers[-1]
    labels[max(first, 1) : end] = side.ids[max(first, 1) : end]
    return labels
