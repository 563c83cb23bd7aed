"""Counter-based random numbers: every draw is a pure function of seed, step, sequence and place.

What is masked in a sequence must not depend on the batch it is in, on how the batch is cut, or on what was drawn
before; then a resumed run, a run cut into other passes and a run on another machine draw the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Words = np.ndarray[Any, np.dtype[np.uint64]]
Uniform = np.ndarray[Any, np.dtype[np.float64]]

EVALUATION = 2**62
"""The step of every evaluation: what is masked in a validation sequence stays the same throughout a run."""
PREDICTION = EVALUATION + 1
"""The step of a model that answers: nothing is judged, so nothing is left out of a batch."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Draw:
    """The random numbers of one (part of a) batch.

    Attributes:
        seed: Of the run.
        step: Counted from 0; `EVALUATION` when a model is scored.
        rows: Which sequences of the store the batch holds.
    """

    seed: int
    step: int
    rows: np.ndarray[Any, Any]

    @property
    def training(self) -> bool:
        """Whether the batch is trained on, not judged or answered."""
        return self.step < EVALUATION

    def uniform(self, stream: int, places_BL: np.ndarray[Any, Any]) -> Uniform:
        """Return numbers in [0, 1) for the places of each sequence; equal places of a sequence get equal numbers.

        Args:
            stream: Tells draws for different purposes apart.
            places_BL: Integers by sequence, e.g. positions, or the index of the word a position belongs to.
        """
        keys_B = self._keys(stream)
        bits_BL = mix(keys_B[:, None] ^ mix(places_BL.astype(np.uint64) + np.uint64(1)))
        return (bits_BL >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def generator(self, index: int, stream: int) -> np.random.Generator:
        """Return a generator for the sequence at a place of the batch, for draws that follow one another."""
        return np.random.Generator(np.random.Philox(key=int(self._keys(stream)[index])))

    def _keys(self, stream: int) -> Words:
        with np.errstate(over="ignore"):
            state = mix(np.array([self.seed], dtype=np.uint64))
            for word in (self.step, stream):
                state = mix(state ^ mix(np.array([word], dtype=np.uint64) + _GOLDEN))
            return mix(state ^ mix(np.asarray(self.rows).astype(np.uint64) + _GOLDEN))


def mix(words: Words) -> Words:
    """Scramble 64-bit words: the finalizer of SplitMix64 (Steele, Lea & Flood, 2014)."""
    with np.errstate(over="ignore"):
        mixed = words + _GOLDEN
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
        return mixed ^ (mixed >> np.uint64(31))
