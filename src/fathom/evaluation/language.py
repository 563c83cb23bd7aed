"""Scores of a language model: how well it foresees text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fathom.evaluation.base import Accumulator, Metric

MOST_NATS = 700.0
"""Losses beyond it count as it: their perplexity would be no number."""


class Perplexity(Metric):
    """Loss, perplexity, bits per byte and per token, and the share of tokens foreseen.

    Bits per byte compares models of different tokenizers, perplexity only models of the same one.
    """

    gives = ("loss", "perplexity", "bits_per_token", "token_accuracy", "bits_per_byte")

    def open(self, labels: Sequence[str]) -> Accumulator:
        """Start counting."""
        return PerplexityAccumulator()


class PerplexityAccumulator(Accumulator):
    """Sums over tokens. A pair is `((nll_sum, tokens, correct), bytes)`.

    `nll_sum` is the negative log-likelihood of an example's tokens in nats, `tokens` how many of them were scored,
    `correct` how many of them the model gave the highest probability, `bytes` the UTF-8 bytes of their text; None
    where that is not known (0 is known: the end of a document has no bytes).
    """

    sums_to = "loss"

    def __init__(self) -> None:
        self.nats, self.tokens, self.correct, self.bytes = 0.0, 0, 0, 0
        self.bytes_known = True

    def update(self, prediction: Any, reference: Any) -> None:
        """Count one example."""
        nats, tokens, correct = prediction
        self.nats += float(nats)
        self.tokens += int(tokens)
        self.correct += int(correct)
        self.bytes += int(reference or 0)
        self.bytes_known &= reference is not None

    def counts(self, prediction: Any, reference: Any) -> tuple[float, ...]:
        """Return nats and tokens of one example."""
        nats, tokens, _ = prediction
        return (float(nats), float(tokens))

    def compute(self) -> dict[str, Any]:
        """`loss` (nats per token), `perplexity`, `bits_per_token`, `token_accuracy`, and `bits_per_byte` if known."""
        loss = self.nats / max(self.tokens, 1)
        scores = {
            "loss": loss,
            "perplexity": math.exp(min(loss, MOST_NATS)),
            "bits_per_token": loss / math.log(2),
            "token_accuracy": self.correct / max(self.tokens, 1),
        }
        if self.bytes_known and self.bytes > 0:
            scores["bits_per_byte"] = self.nats / math.log(2) / self.bytes
        return scores
