"""Hyperparameters of the comparisons: equal on both sides, chosen once by short Trainer runs (see README.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hyperparameters:
    """What both sides train with; everything else is each program's own affair."""

    learning_rate: float
    epochs: float = 3.0
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    max_grad_norm: float = 1.0
    max_length: int = 512


HYPERPARAMETERS: dict[str, Hyperparameters] = {
    "wnut17": Hyperparameters(learning_rate=5e-4),
    "banking77": Hyperparameters(learning_rate=5e-4),
    "sentfin": Hyperparameters(learning_rate=2e-4),
    "xed": Hyperparameters(learning_rate=2e-4),
    "uner_zh_gsdsimp": Hyperparameters(learning_rate=5e-4),
    "sec_filings_ner": Hyperparameters(learning_rate=5e-4, epochs=5.0),
}

BERT_BASE_LEARNING_RATE = 5e-5
"""For the rows with random weights, where only speed is compared."""

THREADS = 2
"""Processor threads of every process, on both sides."""
