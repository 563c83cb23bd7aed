"""Exact match and F1 of answers, and the threshold from which a passage is said to hold none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.squad import Rule, cmrc, squad, squad_v2

SCORES = ("exact_match", "f1")
OF_KINDS = tuple(f"{name}_{kind}" for kind in ("has_answer", "no_answer") for name in SCORES)
WITH_THRESHOLD = (*SCORES, *OF_KINDS, *(f"best_{name}" for name in SCORES))


class Answered(NamedTuple):
    """What a model says to a question."""

    text: str
    """The answer it gives; empty where it says there is none."""
    span: str
    """The best passage it found, whether it gives it or not."""
    margin: float
    """How much higher it scores that there is no answer than that span."""


class Squad(Metric):
    """Exact match and F1 by SQuAD v1.1: every question has an answer."""

    gives = SCORES

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return AnswerAccumulator(squad)


class SquadV2(Metric):
    """Exact match and F1 by SQuAD v2.0, apart for questions with and without an answer, and the best threshold."""

    gives = WITH_THRESHOLD

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return ThresholdAccumulator(squad_v2)


class Cmrc(Metric):
    """Exact match and F1 by CMRC 2018: Chinese characters and English words, the longest run in common."""

    gives = SCORES

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return AnswerAccumulator(cmrc)


class CmrcV2(Metric):
    """CMRC 2018's rule where passages may hold no answer, with the best threshold as SQuAD v2.0 finds it."""

    gives = WITH_THRESHOLD

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return ThresholdAccumulator(cmrc)


class AnswerAccumulator(Accumulator):
    """Sums of exact match and F1."""

    sums_to = "f1"

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.exact = self.f1 = 0.0
        self.num_questions = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one question: what `Answered` names, and the accepted answers (none where there is no answer)."""
        exact, overlap = self.rule(Answered(*prediction).text, reference)
        self.exact += exact
        self.f1 += overlap
        self.num_questions += 1

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return the F1 of one question, and its weight."""
        return (self.rule(Answered(*prediction).text, reference)[1], 1.0)

    def compute(self) -> dict[str, Any]:
        """`exact_match` and `f1`."""
        return {"exact_match": _share(self.exact, self.num_questions), "f1": _share(self.f1, self.num_questions)}


class ThresholdAccumulator(AnswerAccumulator):
    """Keeps four numbers of each question: its margin, whether it has an answer, what its span adds to both scores."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self.rows: list[tuple[float, bool, float, float]] = []
        self.by_kind: dict[bool, list[float]] = {True: [0.0, 0.0, 0.0], False: [0.0, 0.0, 0.0]}

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one question; see `AnswerAccumulator.update`."""
        super().update(prediction, reference)
        answered = Answered(*prediction)
        exact, overlap = self.rule(answered.text, reference)
        sums = self.by_kind[bool(reference)]
        sums[0] += exact
        sums[1] += overlap
        sums[2] += 1
        exact, overlap = self.rule(answered.span, reference)
        if not reference:  # as the official script has it: any span is wrong where there is no answer
            exact = overlap = -float(bool(answered.span))
        self.rows.append((answered.margin, bool(reference), exact, overlap))

    def compute(self) -> dict[str, Any]:
        """Add the scores of both kinds of questions, and the best scores over all thresholds, with the threshold.

        `best_f1_threshold` is the margin up to which a span is given.
        """
        scores = super().compute()
        for has_answer, name in ((True, "has_answer"), (False, "no_answer")):
            exact, overlap, count = self.by_kind[has_answer]
            if count:
                scores |= {f"exact_match_{name}": exact / count, f"f1_{name}": overlap / count}
        for place, name in ((2, "exact_match"), (3, "f1")):
            held_back = sum(not row[1] for row in self.rows)
            best, threshold = best_threshold([(row[0], row[place]) for row in self.rows], held_back)
            scores |= {f"best_{name}": _share(best, self.num_questions), f"best_{name}_threshold": threshold}
        return scores


def best_threshold(rows: Sequence[tuple[float, float]], held_back: float) -> tuple[float, float]:
    """Return the best sum of scores over all thresholds, and the lowest threshold that has it.

    Where giving no span at all is best it lies below every margin; the official script has 0 there, for its margins
    are probabilities.

    Args:
        rows: Margin of each question, and what giving its span adds to the sum. A span is given where its margin is at
            most the threshold.
        held_back: The sum where no span is given.
    """
    total = best = float(held_back)
    ordered = sorted(rows, key=lambda row: row[0])
    threshold = min(0.0, ordered[0][0] - 1.0) if ordered else 0.0
    for margin, gain in ordered:
        total += gain
        if total > best:
            best, threshold = total, margin
    return best, threshold


def _share(total: float, count: int) -> float:
    return total / count if count else 0.0
