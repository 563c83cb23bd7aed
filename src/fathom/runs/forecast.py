"""What a run will take, said before it starts and compared with what it took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fathom.data.batch import cut
from fathom.data.sampler import Sampler
from fathom.model.ledger import Ledger, build_ledger
from fathom.model.memory import MicroBatch, Setting
from fathom.recipe import Recipe
from fathom.runs.prepare import PreparedData, PreparedModel


@dataclass(frozen=True)
class Forecast:
    """The ledger of the run's largest micro-batch."""

    ledger: Ledger

    @property
    def peak_memory_bytes(self) -> int:
        """Forecast peak of the process."""
        return self.ledger.memory.total

    def to_json(self) -> dict[str, Any]:
        """Return what is compared with the measurement, and by what it was made up."""
        return {
            "peak_memory_bytes": self.peak_memory_bytes,
            "trainable": self.ledger.trainable,
            "memory": self.ledger.memory.to_json(),
        }

    def judge(self, peak_memory_bytes: int, trainable: int) -> dict[str, Any]:
        """Return the errors of the forecast; shares of the measured value."""
        return {
            "peak_memory_bytes": peak_memory_bytes,
            "trainable": trainable,
            "memory_error": self.peak_memory_bytes / peak_memory_bytes - 1.0,
            "trainable_error": self.ledger.trainable - trainable,
        }


def forecast(recipe: Recipe, data: PreparedData, prepared: PreparedModel) -> Forecast:
    """Forecast a run from its model, strategy and the lengths of its very sequences."""
    work, settings = prepared.work, recipe.training
    largest = largest_micro_batch(data, settings.batch_size, settings.seed, work.most_tokens)
    compact = any(slot.rows is not None for slot in work.parameters.slots.values())
    setting = Setting(
        precision="bf16" if settings.precision == "bf16" else "fp32",
        stream="bf16" if work.packed.stream_dtype is not None else "fp32",
        checkpointing=settings.activation_checkpointing,
        trainable_vocabulary=len(work.store.used_ids()) if compact else None,
    )
    return Forecast(build_ledger(prepared.model, largest, setting))


def largest_micro_batch(data: PreparedData, batch_size: int, seed: int, most_tokens: int | None) -> MicroBatch:
    """Return the micro-batch with the most padded positions in the first epoch's order."""
    store = data.stores["train"]
    sampler = Sampler(len(store), batch_size, seed)
    lengths = store.lengths
    best: np.ndarray[Any, Any] = lengths[:1]
    for step in range(sampler.steps_per_epoch):
        batch = lengths[sampler.batch(step)]
        for part in cut(batch, most_tokens):
            candidate = batch[part]
            if candidate.sum() * 8 + candidate.max() * len(candidate) > best.sum() * 8 + best.max() * len(best):
                best = candidate
    return MicroBatch.of([int(length) for length in best])
