"""How long a run took, and on what."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass
class Clock:
    """Seconds spent on what, by this process."""

    began: float = 0.0
    ended: float | None = None
    evaluate_seconds: float = 0.0
    save_seconds: float = 0.0
    tokens: int = 0
    """Real tokens of the steps made."""
    steps: int = 0
    """Made by this process."""
    seconds_to_first_step: float | None = None
    """From the start of the process to the end of its first step."""

    held: float | None = None
    """When it was held; None while it counts."""

    @property
    def train_seconds(self) -> float:
        """Time of the loop without evaluating and saving, and without what it was held."""
        end = time.perf_counter() if self.ended is None else self.ended
        if self.held is not None:
            end = self.held
        return end - self.began - self.evaluate_seconds - self.save_seconds

    def hold(self) -> None:
        """Stop counting: the machine works for another run."""
        self.held = time.perf_counter()

    def go_on(self, worked_seconds: float) -> None:
        """Count on, as if so much time had passed since it was held."""
        assert self.held is not None
        self.began += time.perf_counter() - self.held - worked_seconds
        self.held = None

    def stop(self) -> None:
        """The loop is done."""
        self.ended = time.perf_counter()
