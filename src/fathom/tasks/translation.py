"""Translate: say in another language what a source says."""

from __future__ import annotations

from typing import ClassVar, Literal

from fathom.tasks.writing import WritingTask


class Translation(WritingTask):
    """Translation, judged by BLEU, chrF and TER.

    Source: Sutskever et al., "Sequence to Sequence Learning with Neural Networks", 2014 (arXiv 1409.3215).
    """

    decoder_prompt: ClassVar[str] = "{source}\n"

    kind: Literal["translation"] = "translation"
    """Catalog name."""

    @property
    def writing_metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics of generated texts."""
        return ("bleu", "chrf", "ter", "length-ratio", "copy-rate")

    @property
    def writing_score(self) -> str:
        """The score of generated texts that chooses the best model."""
        return "bleu"
