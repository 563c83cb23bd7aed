"""ROUGE: what a summary shares with its references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fathom.errors import MissingExtraError
from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.units import TextUnits, UnitTokenizer

KEYS = {"rouge1": "rouge1", "rouge2": "rouge2", "rougeL": "rouge_l"}
"""The package's names and ours."""
STATED = {
    "english": "words of a-z and 0-9, Porter stemmer",
    "words": "words, not stemmed",
    "chinese": "Chinese by character, other words whole",
    "characters": "characters",
}


class Rouge(Metric):
    """ROUGE-1, ROUGE-2 and ROUGE-L by the package rouge-score: F1, 0 to 1, mean over texts.

    Of several references the best counts, for each of the three. Source: Lin, "ROUGE", 2004.
    """

    gives = tuple(KEYS.values())

    units: TextUnits = "english"
    """What is compared: stemmed English words (the package's own), words, or characters."""

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting.

        Raises:
            MissingExtraError: The extra `generation` is not installed.
        """
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError:
            raise MissingExtraError("rouge-score", "generation") from None
        own = None if self.units == "english" else UnitTokenizer(self.units)
        return RougeAccumulator(RougeScorer(list(KEYS), use_stemmer=True, tokenizer=own), STATED[self.units])


class RougeAccumulator(Accumulator):
    """Means over texts. A pair is `(text, {"source": text, "references": [texts]})`."""

    sums_to = "rouge_l"

    def __init__(self, scorer: Any, stated: str) -> None:
        self.scorer, self.stated = scorer, stated
        self.sums = dict.fromkeys(KEYS.values(), 0.0)
        self.count = 0
        self._last: tuple[Any, Any, dict[str, float]] = ("", (), {})

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one text."""
        for name, value in self._scores(prediction, reference["references"]).items():
            self.sums[name] += value
        self.count += 1

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return ROUGE-L of one text, and its weight."""
        return (self._scores(prediction, reference["references"])["rouge_l"], 1.0)

    def compute(self) -> dict[str, Any]:
        """`rouge1`, `rouge2`, `rouge_l`, and what was compared under `rouge_units`."""
        if not self.count:
            return {}
        return {**{name: value / self.count for name, value in self.sums.items()}, "rouge_units": self.stated}

    def _scores(self, prediction: str, references: Sequence[str]) -> dict[str, float]:
        if self._last[0] != prediction or self._last[1] != references or not self._last[2]:
            found = self.scorer.score_multi(references, prediction)
            scores = {own: float(found[name].fmeasure) for name, own in KEYS.items()}
            self._last = (prediction, references, scores)
        return self._last[2]
