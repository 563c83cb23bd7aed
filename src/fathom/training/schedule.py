"""Learning-rate schedules: a multiplier for every step, a pure function of the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

from fathom.config import Part


class Schedule(Part, ABC):
    """A schedule: warmup from zero, then the shape of the class."""

    kind: str

    @abstractmethod
    def shape(self, progress: float) -> float:
        """Return the multiplier at a share (0 to 1) of the steps after warmup."""

    def multiplier(self, step: int, warmup_steps: int, total_steps: int) -> float:
        """Return the multiplier of an update.

        Args:
            step: Updates made before this one, counted from 0, as transformers counts.
            warmup_steps: Updates over which the rate rises linearly from 0.
            total_steps: Updates of the whole run.
        """
        if step < warmup_steps:
            return step / max(1, warmup_steps)
        return self.shape(min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps)))


class Linear(Schedule):
    """Falls linearly to zero."""

    kind: Literal["linear"] = "linear"

    def shape(self, progress: float) -> float:
        """Return 1 - progress."""
        return 1.0 - progress


class Cosine(Schedule):
    """Falls to zero along half a cosine."""

    kind: Literal["cosine"] = "cosine"

    def shape(self, progress: float) -> float:
        """Return (1 + cos(pi progress)) / 2."""
        return 0.5 * (1.0 + math.cos(math.pi * progress))


class Constant(Schedule):
    """Stays at its peak after warmup."""

    kind: Literal["constant"] = "constant"

    def shape(self, progress: float) -> float:
        """Return 1."""
        return 1.0
