"""Scores of translations by sacreBLEU: BLEU, chrF and TER, each with the signature that makes it comparable."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from fathom.errors import MissingExtraError
from fathom.evaluation.base import Accumulator, Metric
from fathom.evaluation.units import TextUnits

TOKENIZERS = {"english": "13a", "words": "13a", "chinese": "zh", "characters": "char"}
"""sacreBLEU's name of the tokenization of each kind of text."""


class SacreMetric(Metric):
    """A metric of the package sacrebleu, as a corpus score."""

    score_name: ClassVar[str]

    units: TextUnits = "english"
    """What a text is made of."""

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting.

        Raises:
            MissingExtraError: The extra `generation` is not installed.
        """
        try:
            import sacrebleu
        except ImportError:
            raise MissingExtraError("sacrebleu", "generation") from None
        return SacreAccumulator(self.score_name, self.counter(sacrebleu))

    @abstractmethod
    def counter(self, sacrebleu: Any) -> Any:
        """Return sacrebleu's own metric."""


class Bleu(SacreMetric):
    """BLEU by sacreBLEU, 0 to 100: n-grams shared with the references, brevity penalised.

    Source: Papineni et al., 2002; Post, "A Call for Clarity in Reporting BLEU Scores", 2018 (arXiv 1804.08771).
    """

    score_name = "bleu"
    gives = ("bleu",)

    def counter(self, sacrebleu: Any) -> Any:
        """Return BLEU with the tokenization of the text: 13a for words, zh for Chinese."""
        return sacrebleu.BLEU(tokenize=TOKENIZERS[self.units])


class ChrF(SacreMetric):
    """ChrF by sacreBLEU, 0 to 100: F-score of character n-grams.

    Source: Popović, "chrF: character n-gram F-score for automatic MT evaluation", 2015.
    """

    score_name = "chrf"
    gives = ("chrf",)

    def counter(self, sacrebleu: Any) -> Any:
        """Return chrF2, without word n-grams."""
        return sacrebleu.CHRF()


class Ter(SacreMetric):
    """Translation edit rate by sacreBLEU, in percent: edits and moves for each word of the reference; lower is better.

    Source: Snover et al., "A Study of Translation Edit Rate with Targeted Human Annotation", 2006.
    """

    score_name = "ter"
    gives = ("ter",)

    def counter(self, sacrebleu: Any) -> Any:
        """Return TER; Chinese and Japanese characters count as words of their own."""
        apart = self.units in ("chinese", "characters")
        return sacrebleu.TER(normalized=apart, asian_support=apart)


class SacreAccumulator(Accumulator):
    """Sums sacrebleu's statistics of each text. A pair is `(text, {"source": text, "references": [texts]})`.

    A corpus score is a function of the sums, so nothing but those is kept.
    """

    def __init__(self, name: str, counter: Any) -> None:
        self.name, self.counter = name, counter
        self.sums: list[float] = []
        self.reference_counts: set[int] = set()

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one text."""
        references = reference["references"]
        self.reference_counts.add(len(references))
        (found,) = self.counter._extract_corpus_statistics([prediction], [[text] for text in references])
        self.sums = [a + b for a, b in zip(self.sums, found, strict=True)] if self.sums else list(found)

    def compute(self) -> dict[str, Any]:
        """The score, and its signature under `<name>_signature`."""
        if not self.sums:
            return {}
        score = float(self.counter._aggregate_and_compute([self.sums]).score)
        # the counter only knows the last text's number of references
        self.counter.num_refs = next(iter(self.reference_counts)) if len(self.reference_counts) == 1 else -1
        return {self.name: score, f"{self.name}_signature": str(self.counter.get_signature())}
