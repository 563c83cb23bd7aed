"""Summarize: say in few words what a source says."""

from __future__ import annotations

from typing import ClassVar, Literal

from fathom.tasks.writing import WritingTask


class Summarization(WritingTask):
    """Summaries and titles, judged by ROUGE; of several references the best counts.

    Source: See et al., "Get To The Point", 2017 (arXiv 1704.04368); the prompt of decoders is that of GPT-2.
    """

    decoder_prompt: ClassVar[str] = "{source}\nTL;DR:"

    kind: Literal["summarization"] = "summarization"
    """Catalog name."""

    @property
    def writing_metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics of generated texts."""
        return ("rouge", "length-ratio", "copy-rate")

    @property
    def writing_score(self) -> str:
        """The score of generated texts that chooses the best model."""
        return "rouge_l"
