"""Which sequences make up each step: a pure function of seed and step, so that a resumed run needs two integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Indices = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Sampler:
    """Shuffles anew in each epoch and cuts the order into batches; the last batch of an epoch may be smaller.

    Attributes:
        size: Sequences in the split.
        batch_size: Sequences in a step.
        seed: Of the order.
    """

    size: int
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the split."""
        return -(-self.size // self.batch_size)

    def batch(self, step: int) -> Indices:
        """Return the sequences of a step (counted from 0)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = permutation(self.size, self.seed, epoch)
        return order[position * self.batch_size : (position + 1) * self.batch_size]


@lru_cache(maxsize=4)
def permutation(size: int, seed: int, epoch: int) -> Indices:
    """Return the order of one epoch, from a counter-based generator keyed by seed and epoch."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, epoch]))).permutation(size)
