"""Several corpora as one: how often each is read in an epoch, in an order that is a function of seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from fathom.data.example import Features
from fathom.data.sampler import Indices, permutation
from fathom.data.sequences import Sequences
from fathom.errors import ConfigError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class JoinedWindows:
    """The windows of several corpora one after another, as one set of sequences."""

    parts: tuple[Sequences, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Windows of each corpus."""
        return tuple(len(part) for part in self.parts)

    @cached_property
    def lengths(self) -> Array:
        """Tokens of each window, int64; made once, for every step reads it."""
        return np.concatenate([part.lengths for part in self.parts])

    @property
    def num_tokens(self) -> int:
        """Tokens of all windows, each counted once."""
        return sum(part.num_tokens for part in self.parts)

    @property
    def owners(self) -> Array:
        """Every window is its own example."""
        return np.arange(len(self))

    def used_ids(self) -> Array:
        """Return the token ids that occur, ascending."""
        return np.unique(np.concatenate([part.used_ids() for part in self.parts]))

    def __getitem__(self, index: int) -> Features:
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(index)


@dataclass(frozen=True)
class MixtureSampler:
    """Which windows make up each step of a mixture: a pure function of seed and step, like `Sampler`.

    An epoch takes `round(weight * size)` windows of each corpus. Successive epochs go on where the one before stopped,
    so with weight 0.5 two epochs see every window of a corpus once, and with weight 2 one epoch sees each twice.

    Attributes:
        sizes: Windows of each corpus.
        weights: Passes over each corpus in one epoch.
        batch_size: Windows in a step.
        seed: Of the order.
    """

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if len(self.sizes) != len(self.weights):
            raise ConfigError(
                f"{len(self.weights)} weights for {len(self.sizes)} corpora", mend="give each one a weight"
            )
        if any(not 0 <= weight < float("inf") for weight in self.weights) or not self.size:
            raise ConfigError(
                f"the weights {list(self.weights)} take no window",
                mend="a weight is the number of passes over its corpus in one epoch: 1, 0.5, 3 ...",
            )

    @property
    def counts(self) -> tuple[int, ...]:
        """Windows of each corpus in one epoch."""
        return tuple(round(weight * size) for weight, size in zip(self.weights, self.sizes, strict=True))

    @property
    def size(self) -> int:
        """Windows of one epoch."""
        return sum(self.counts)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch; the last may be smaller."""
        return -(-self.size // self.batch_size)

    def batch(self, step: int) -> Indices:
        """Return the windows of a step (counted from 0), as indices into the joined corpora."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = _epoch(self.sizes, self.counts, self.seed, epoch)
        return order[position * self.batch_size : (position + 1) * self.batch_size]


@lru_cache(maxsize=2)
def _epoch(sizes: Sequence[int], counts: Sequence[int], seed: int, epoch: int) -> Indices:
    """Return the order of one epoch."""
    taken = []
    first = 0
    for place, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        begin, end = epoch * count, (epoch + 1) * count
        while begin < end:
            turn, inside = divmod(begin, size)
            stop = min(size, inside + end - begin)
            # Every corpus has its own order in every pass over it.
            taken.append(first + permutation(size, seed + 1_000_003 * (place + 1), turn)[inside:stop])
            begin += stop - inside
        first += size
    chosen = np.concatenate(taken)
    return chosen[permutation(len(chosen), seed, epoch)]
