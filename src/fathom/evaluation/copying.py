"""How long written texts are beside their references, and how much of them stands in their source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.units import TextUnits, cut


class LengthRatio(Metric):
    """Units of all texts over those of their references; 1 is as long as they are."""

    gives = ("length_ratio", "num_empty")

    units: TextUnits = "english"
    """What is counted: words, or characters."""

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return LengthRatioAccumulator(self.units)


class LengthRatioAccumulator(Accumulator):
    """Sums of lengths. A pair is `(text, {"source": text, "references": [texts]})`."""

    def __init__(self, units: TextUnits) -> None:
        self.units = units
        self.written = self.empty = 0
        self.wanted = 0.0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one text; of several references their mean length counts."""
        length = len(cut(prediction, self.units))
        lengths = [len(cut(text, self.units)) for text in reference["references"]]
        self.written += length
        self.empty += length == 0
        self.wanted += sum(lengths) / len(lengths)

    def compute(self) -> dict[str, Any]:
        """`length_ratio`, and how many texts are empty under `num_empty` if any are."""
        empty = {"num_empty": self.empty} if self.empty else {}
        return {"length_ratio": self.written / self.wanted if self.wanted else 0.0, **empty}


class CopyRate(Metric):
    """The share of a text's units that stand in its source, and of texts that are their source, 0 to 1.

    The first is the coverage of Grusky et al., "Newsroom", 2018 (arXiv 1804.11283), over all texts together.
    """

    gives = ("copy_rate", "identical_to_source")

    units: TextUnits = "english"
    """What is counted: words, or characters."""

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return CopyRateAccumulator(self.units)


class CopyRateAccumulator(Accumulator):
    """Sums of units. A pair is `(text, {"source": text, "references": [texts]})`."""

    def __init__(self, units: TextUnits) -> None:
        self.units = units
        self.written = self.copied = self.count = self.whole = 0

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one text."""
        units, source = cut(prediction, self.units), cut(reference["source"], self.units)
        there = set(source)
        self.written += len(units)
        self.copied += sum(unit in there for unit in units)
        self.whole += units == source
        self.count += 1

    def compute(self) -> dict[str, Any]:
        """`copy_rate` and `identical_to_source`."""
        return {
            "copy_rate": self.copied / self.written if self.written else 0.0,
            "identical_to_source": self.whole / self.count if self.count else 0.0,
        }
