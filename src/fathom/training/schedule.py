"""Learning-rate schedules: a multiplier for every step, a pure function of the step."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

from pydantic import AliasChoices, Field

from fathom.config import Part

Fall = Literal["linear", "cosine", "1-sqrt"]
"""How a rate falls: along a line, half a cosine, or one minus the root of the progress."""


def least_rate() -> float:
    """The option every schedule that ends above zero has."""
    least: float = Field(0.0, ge=0, lt=1, validation_alias=AliasChoices("min_lr_rate", "min_lr_ratio"))
    return least


class Schedule(Part, ABC):
    """A schedule: warmup from zero, then the shape of the class."""

    kind: str

    @abstractmethod
    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return the multiplier of an update after warmup.

        Args:
            step: Updates made since warmup ended, from 0.
            warmup_steps: Updates that warmup took.
            steps: Updates from the end of warmup to the end of the run.
        """

    def multiplier(self, step: int, warmup_steps: int, total_steps: int) -> float:
        """Return the multiplier of an update.

        Args:
            step: Updates made before this one, counted from 0, as transformers counts.
            warmup_steps: Updates over which the rate rises linearly from 0.
            total_steps: Updates of the whole run.
        """
        if step < warmup_steps:
            return step / max(1, warmup_steps)
        return self.after(step - warmup_steps, warmup_steps, total_steps - warmup_steps)


def progress_of(step: int, steps: int) -> float:
    """Return the share of the steps that is done, at most 1."""
    return min(1.0, step / max(1, steps))


def fall(shape: Fall, progress: float) -> float:
    """Return how much is left of a rate that falls from 1 to 0."""
    if shape == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    return 1.0 - progress if shape == "linear" else 1.0 - math.sqrt(progress)


class Linear(Schedule):
    """Falls linearly to zero."""

    kind: Literal["linear"] = "linear"

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return 1 - progress."""
        return fall("linear", progress_of(step, steps))


class Cosine(Schedule):
    """Falls along half a cosine (Loshchilov & Hutter, 2017)."""

    kind: Literal["cosine"] = "cosine"
    min_lr_rate: float = least_rate()
    """Share of the peak rate it ends at; 0.1 is usual in pretraining."""

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return (1 + cos(pi progress)) / 2, between the least rate and 1."""
        return raised(fall("cosine", progress_of(step, steps)), self.min_lr_rate)


class CosineWithRestarts(Schedule):
    """Several half cosines, each starting at the peak again (Loshchilov & Hutter, 2017)."""

    kind: Literal["cosine-with-restarts"] = "cosine-with-restarts"
    num_cycles: int = Field(2, ge=1)
    """Half cosines from the end of warmup to the end of the run."""
    min_lr_rate: float = least_rate()
    """Share of the peak rate each of them ends at."""

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return the cosine of the progress within its cycle."""
        progress = progress_of(step, steps)
        within = 1.0 if progress >= 1.0 else (self.num_cycles * progress) % 1.0
        return raised(fall("cosine", within), self.min_lr_rate)


class Constant(Schedule):
    """Stays at its peak after warmup."""

    kind: Literal["constant"] = "constant"

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return 1."""
        return 1.0


class Polynomial(Schedule):
    """Falls as a power of what is left."""

    kind: Literal["polynomial"] = "polynomial"
    power: float = Field(1.0, gt=0)
    """1 is linear; 2 falls fast at first and ends gently."""
    min_lr_rate: float = least_rate()
    """Share of the peak rate it ends at."""

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return (1 - progress) ** power, between the least rate and 1."""
        return raised((1.0 - progress_of(step, steps)) ** self.power, self.min_lr_rate)


class InverseSquareRoot(Schedule):
    """Falls as one over the root of the step (Vaswani et al., 2017; T5); has no end, so a run can be prolonged."""

    kind: Literal["inverse-square-root"] = "inverse-square-root"
    timescale: int | None = Field(None, gt=0)
    """Steps s in sqrt(s / (s + steps since warmup)); left out, the steps of warmup, or 10,000 without any."""

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return sqrt(timescale / (timescale + step))."""
        timescale = self.timescale or warmup_steps or 10_000
        return 1.0 / math.sqrt((timescale + step) / timescale)


class Step(Schedule):
    """Falls by a factor, every so many steps."""

    kind: Literal["step"] = "step"
    gamma: float = Field(0.1, gt=0, lt=1)
    """The factor."""
    every: int | None = Field(None, gt=0, validation_alias=AliasChoices("every", "step_size"))
    """Steps between two falls; left out, a third of the steps after warmup."""

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return gamma ** (falls so far)."""
        every = self.every or max(1, math.ceil(steps / 3))
        return float(self.gamma ** (step // every))


class WarmupStableDecay(Schedule):
    """Stays at its peak and falls at the end of the run (Hu et al., 2024; Haegele et al., 2024).

    A run that is stopped before it falls can be prolonged: the long stretch does not know where the end is.
    """

    kind: Literal["warmup-stable-decay"] = "warmup-stable-decay"
    decay_ratio: float = Field(0.2, ge=0, le=1)
    """Share of the run's steps in which the rate falls."""
    decay_type: Fall = "1-sqrt"
    """How it falls."""
    min_lr_rate: float = least_rate()
    """Share of the peak rate it ends at."""

    def after(self, step: int, warmup_steps: int, steps: int) -> float:
        """Return 1 until the last steps, then the fall."""
        falling = min(steps, round(self.decay_ratio * (warmup_steps + steps)))
        progress = progress_of(max(0, step - (steps - falling)), falling)
        return raised(fall(self.decay_type, progress), self.min_lr_rate)


def raised(multiplier: float, least: float) -> float:
    """Return a multiplier between 0 and 1, mapped to between `least` and 1."""
    return multiplier * (1.0 - least) + least
