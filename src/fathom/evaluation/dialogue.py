"""Scores of what a model answers in a conversation: how varied it is, whether it is right, whether its calls are."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.units import TextUnits, cut

_FINAL = re.compile(r"#### (-?[0-9.,]+)")
"""Before the final number of a worked answer, as GSM8K's own script looks for it."""
_CALL_MARKS = re.compile(r"</?tool_call>|```(?:json)?")


class Distinct(Metric):
    """The share of words, and of pairs of words, that are different, over all answers together, 0 to 1.

    Source: Li et al., "A Diversity-Promoting Objective Function for Neural Conversation Models", 2016 (arXiv
    1510.03055).
    """

    gives = ("distinct_1", "distinct_2")

    units: TextUnits = "english"
    """What is counted: words, or characters."""

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return DistinctAccumulator(self.units)


class DistinctAccumulator(Accumulator):
    """Keeps every different n-gram once. A pair is `(text, {"references": [texts]})`; the references are not read."""

    def __init__(self, units: TextUnits) -> None:
        self.units = units
        self.seen: dict[int, set[tuple[str, ...]]] = {1: set(), 2: set()}
        self.counts_of = dict.fromkeys(self.seen, 0)

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one answer."""
        units = cut(prediction, self.units)
        for size, seen in self.seen.items():
            grams = list(zip(*(units[start:] for start in range(size)), strict=False))
            seen.update(grams)
            self.counts_of[size] += len(grams)

    def compute(self) -> dict[str, Any]:
        """`distinct_1` and `distinct_2`; 0 where there is no n-gram."""
        return {f"distinct_{size}": len(seen) / max(self.counts_of[size], 1) for size, seen in self.seen.items()}


class ExactAnswer(Metric):
    """The share of answers that are right to the letter, or, of worked answers, in their final number.

    A reference that ends in `#### 42` asks for that number behind the same marks, and thousands' commas do not count:
    the rule of GSM8K (Cobbe et al., "Training Verifiers to Solve Math Word Problems", 2021, arXiv 2110.14168). Any
    other is compared as a whole, without regard to case and white space. Of several references one is enough.
    """

    gives = ("exact_answer",)

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return ExactAnswerAccumulator()


class ExactAnswerAccumulator(Accumulator):
    """Counts answers. A pair is `(text, {"references": [texts]})`."""

    sums_to: ClassVar[str | None] = "exact_answer"

    def __init__(self) -> None:
        self.right = self.count = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one answer."""
        self.right += any(is_exact(prediction, wanted) for wanted in reference["references"])
        self.count += 1

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return whether one answer is right, and its weight."""
        return (float(any(is_exact(prediction, wanted) for wanted in reference["references"])), 1.0)

    def compute(self) -> dict[str, Any]:
        """`exact_answer`."""
        return {"exact_answer": self.right / self.count} if self.count else {}


def is_exact(answer: str, reference: str) -> bool:
    """Whether an answer is right by the rule of `ExactAnswer`."""
    wanted = final_number(reference)
    if wanted is not None:
        return final_number(answer) == wanted
    return answer.casefold().split() == reference.casefold().split()


def final_number(text: str) -> str | None:
    """Return the final number of a worked answer, without commas; None where `#### ` and a number stand nowhere."""
    found = _FINAL.search(text)
    return None if found is None else found[1].strip().replace(",", "")


class Calls(Metric):
    """Whether calls of tools, written as JSON text, are right: the whole of an answer's calls, and their arguments.

    A call is `{"name": ..., "arguments": {...}}`, one a line, or a list of them; marks such as `<tool_call>` are passed
    over. Answers without a call on either side do not count.
    """

    gives = ("call_accuracy", "slot_accuracy")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return CallsAccumulator()


class CallsAccumulator(Accumulator):
    """Counts answers with calls, and arguments. A pair is `(text, {"references": [texts]})`; the first is the truth."""

    sums_to: ClassVar[str | None] = "call_accuracy"

    def __init__(self) -> None:
        self.right = self.count = self.found = self.slots = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one answer."""
        written, wanted = read_calls(prediction), read_calls(reference["references"][0])
        if not written and not wanted:
            return
        self.count += 1
        self.right += Counter(map(_text, written)) == Counter(map(_text, wanted))
        slots = _slots(wanted)
        self.slots += slots.total()
        self.found += (slots & _slots(written)).total()

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...] | None:
        """Return whether the calls of one answer are right, and its weight; None of one without calls."""
        written, wanted = read_calls(prediction), read_calls(reference["references"][0])
        if not written and not wanted:
            return None
        return (float(Counter(map(_text, written)) == Counter(map(_text, wanted))), 1.0)

    def compute(self) -> dict[str, Any]:
        """`call_accuracy` (name and arguments of all calls of an answer, in any order) and `slot_accuracy`.

        The second is the share of the wanted arguments that are given, with their value, to a call of the same name.
        Neither where nothing is called.
        """
        calls = {"call_accuracy": self.right / self.count} if self.count else {}
        return {**calls, "slot_accuracy": self.found / self.slots} if self.slots else calls


def read_calls(text: str) -> list[dict[str, Any]]:
    """Return the calls that a text holds, each with `name` and `arguments`; lines that are none are passed over."""
    text = _CALL_MARKS.sub("\n", text).strip()
    whole = _as_calls(text)
    return whole or [call for line in text.splitlines() for call in _as_calls(line)]


def _as_calls(text: str) -> list[dict[str, Any]]:
    if text.lstrip()[:1] not in ("{", "["):
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    given = value if isinstance(value, list) else [value]
    calls = []
    for call in given:
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            return []
        if not {"arguments", "parameters"} & call.keys():
            return []  # a person's name is no call
        arguments = call.get("arguments", call.get("parameters"))
        if arguments is not None and not isinstance(arguments, Mapping):
            return []
        calls.append({"name": call["name"], "arguments": dict(arguments or {})})
    return calls


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _slots(calls: Sequence[Mapping[str, Any]]) -> Counter[tuple[str, str, str]]:
    return Counter((call["name"], name, _text(value)) for call in calls for name, value in call["arguments"].items())
