"""A run that is left before its end because its time is up, to go on another time as if it had not been left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fathom.errors import FathomError
from fathom.training.loop import Loop, LoopState


class LeftError(FathomError):
    """A run is left between two steps, where that is asked from outside: it has not failed, and can go on.

    Raised by what the loop asks after each step; no checkpoint is written.
    """

    def __init__(self) -> None:
        super().__init__("left between two steps")


PauseAsked = Callable[[int], bool] | None
"""What a loop asks after each step; see `Hooks`."""
Leave = Callable[[str, int], bool]
"""Asked with the output of a run and its step: whether to save it and leave it. Raises `LeftError` to leave it as it
stands."""


@dataclass(frozen=True)
class Pause:
    """Where a run stands.

    Attributes:
        step: Steps done.
        total_steps: Of its plan.
        score: Of the weights as they are, on validation; None without such a split.
        best_score: The best evaluation so far, this one not counted.
    """

    step: int
    total_steps: int
    score: float | None
    best_score: float | None


def pause_at(deadline: float | None) -> Callable[[int], bool] | None:
    """Return what the loop asks after each step: whether a time of the monotonic clock has come."""
    return None if deadline is None else lambda step: time.monotonic() >= deadline


def pause_of(loop: Loop, state: LoopState, evaluate: Callable[[], dict[str, Any]] | None) -> Pause:
    """Score a run that has just been saved and left.

    The score is neither logged nor judged: the run that goes on must not know that it was looked at.
    """
    score = None
    if evaluate is not None:
        loop.work.model.eval()
        score = float(evaluate()[loop.metric])
    return Pause(state.step, loop.plan.total_steps, score, state.best_score)
