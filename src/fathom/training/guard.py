"""The guard: a step whose loss or gradient is not finite, or whose loss leaps, never reaches weights and moments."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fathom.errors import TrainingError

Policy = Literal["retry", "skip", "abort"]

WINDOW = 64
"""Good losses the running median is taken over."""
FEWEST = 8
"""Good losses needed before a leap is judged."""


class Guard:
    """Judges each step before the optimizer sees it.

    The loop calls `check` when loss and gradient norm are known and the update is not yet made; on "bad" it asks
    `action` whether to compute the step again in fp32 or to leave it out, and in both cases makes no update with the
    numbers it has. A bad value never enters the running median, so one leap leaves no healthy step refused after it.

    Args:
        policy: "retry" once in fp32 and then skip, "skip", or "abort" at the first.
        max_skipped: Steps left out in a row before training stops.
        spike_factor: Times the running median at which a loss counts as bad; None judges finiteness only.
    """

    def __init__(self, policy: Policy, max_skipped: int, spike_factor: float | None = None) -> None:
        self.policy = policy
        self.max_skipped = max_skipped
        self.spike_factor = spike_factor
        self.reason = ""
        self.skipped_in_a_row = 0
        self.skipped_total = 0
        self._losses: deque[float] = deque(maxlen=WINDOW)

    def check(self, loss: float, grad_norm: float) -> Literal["ok", "bad"]:
        """Judge one step; `reason` then says what is wrong. A good loss enters the running median.

        Args:
            loss: Of the whole batch, as logged.
            grad_norm: Norm of all gradients before clipping.
        """
        self.reason = self._problem(loss, grad_norm)
        if self.reason:
            return "bad"
        self._losses.append(loss)
        self.skipped_in_a_row = 0
        return "ok"

    def action(self, step: int, places: Sequence[str] = (), *, retried: bool = False) -> Literal["retry", "skip"]:
        """Decide what becomes of the step just judged bad.

        Args:
            step: The step, counted from 1.
            places: Where the examples of its batch come from, e.g. "train.csv:17".
            retried: Whether it has been computed again already.

        Raises:
            TrainingError: The policy is "abort", or more than `max_skipped` steps in a row are bad.
        """
        if self.policy == "abort":
            raise TrainingError(self.describe(step, places), mend="look at these examples, or lower the learning rate")
        if self.policy == "retry" and not retried:
            return "retry"
        self.skipped_in_a_row += 1
        self.skipped_total += 1
        if self.skipped_in_a_row > self.max_skipped:
            raise TrainingError(
                f"{self.skipped_in_a_row} steps in a row are bad; the last: {self.describe(step, places)}",
                mend="lower the learning rate, or try precision: fp32; the weights before these steps are kept",
            )
        return "skip"

    def describe(self, step: int, places: Sequence[str] = ()) -> str:
        """Return one sentence: the step, what is wrong with it and where its examples come from."""
        shown = ", ".join(places[:8]) + (f" and {len(places) - 8} more" if len(places) > 8 else "")
        return f"step {step}: {self.reason}" + (f" (batch: {shown})" if shown else "")

    def state(self) -> dict[str, Any]:
        """Return JSON for a checkpoint."""
        return {
            "losses": list(self._losses),
            "skipped_in_a_row": self.skipped_in_a_row,
            "skipped_total": self.skipped_total,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave, so that a resumed run judges as an uninterrupted one."""
        self._losses = deque(state["losses"], maxlen=WINDOW)
        self.skipped_in_a_row = state["skipped_in_a_row"]
        self.skipped_total = state["skipped_total"]

    def _problem(self, loss: float, grad_norm: float) -> str:
        if not math.isfinite(loss):
            return f"the loss is {_spell(loss)}"
        if not math.isfinite(grad_norm):
            return f"the gradient norm is {_spell(grad_norm)}"
        if self.spike_factor is None or len(self._losses) < FEWEST:
            return ""
        median = statistics.median(self._losses)
        if loss > self.spike_factor * median > 0:
            return f"the loss {loss:.4g} is {loss / median:.3g} times its running median {median:.4g}"
        return ""


def _spell(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"
