"""The time of a Trainer's training, and the real tokens or samples it saw."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.peers.process import peak_resident_bytes

Batch = dict[str, Any]


class Counted:
    """A collator that also counts what is real in its batches."""

    def __init__(self, collator: Callable[[list[Any]], Any], count: Callable[[Any], int]) -> None:
        self._collator, self._count = collator, count
        self.units: list[int] = []

    def __call__(self, features: list[Any]) -> Any:
        batch = self._collator(features)
        self.units.append(self._count(batch))
        return batch


def masked_tokens(batch: Batch) -> int:
    """Return the tokens of a batch that are not padding, whatever its texts are called."""
    return sum(int(mask.sum()) for name, mask in batch.items() if name.endswith("attention_mask"))


def tokens_and_labels(batch: Batch) -> int:
    """Return the real tokens of sources and targets."""
    return masked_tokens(batch) + int((batch["labels"] != -100).sum())


def samples(batch: Batch) -> int:
    """Return the images or sounds of a batch."""
    return len(batch["labels"])


def train(trainer: Any, counted: Counted) -> dict[str, Any]:
    """Train, and return the figures; batches that were fetched and not trained on do not count."""
    began = time.perf_counter()
    outcome = trainer.train()
    seconds = time.perf_counter() - began
    steps = trainer.state.global_step
    units = sum(counted.units[:steps])
    return {
        "train_seconds": seconds,
        "real_units": units,
        "real_units_per_s": units / seconds,
        "steps": steps,
        "train_loss": float(outcome.training_loss),
        "peak_memory_bytes": peak_resident_bytes(),
    }


def predict(trainer: Any, rows: Any) -> Any:
    """Return the predictions of rows in their order, which a Trainer that groups by length would not keep."""
    trainer.args.train_sampling_strategy = "sequential"
    return trainer.predict(rows).predictions
