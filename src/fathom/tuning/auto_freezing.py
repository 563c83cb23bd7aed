"""Blocks stop learning from the bottom once they hardly change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.in_turn import InTurn
from fathom.tuning.stages import Stages


class AutoFreezing(InTurn):
    """Train everything, and freeze the embeddings and the blocks from the bottom when their gradients settle.

    The run is cut into intervals. After each, a part's gradient norm is compared with that of the interval before; the
    lowest parts whose norm changed least (by the share of it, within the `percentile` of all parts that still learn)
    stop learning for good, and the backward pass ends above them. The head and the top block never stop.

    Source: Liu et al., "AutoFreeze", 2021 (arXiv 2102.01386). The paper takes the norm of an interval's summed
    gradient, which needs a copy of the model; here it is the root mean square of the norms of its steps, one number.
    """

    kind: Literal["auto-freezing"] = "auto-freezing"
    intervals: int = Field(5, ge=2)
    """Parts the run is cut into; after each from the second on something may stop."""
    percentile: float = Field(50.0, ge=0, le=100)
    """A part is settled when its change is within this percentile of those of all parts that learn."""

    @property
    def default_learning_rate(self) -> float:
        """That of `full`, which it is at first."""
        return 2e-4

    def stages(self, model: nn.Module, anatomy: Anatomy) -> Stages:
        """Return the parts, and when they stop."""
        return Freezing(model, anatomy, self)


class Freezing(Stages):
    """Which part is the lowest that learns, and the gradient norms that decide the next."""

    def __init__(self, model: nn.Module, anatomy: Anatomy, options: AutoFreezing) -> None:
        super().__init__(model, anatomy)
        learning = {stage for name, stage in self.by_name.items() if model.get_parameter(name).requires_grad}
        count = len(self.labels)
        self._options = options
        self._last_to_stop = count - 3
        """The block below the top one; negative where there is one block only."""
        self._lowest = min(learning)
        self._squares = torch.zeros(count, dtype=torch.float64)
        self._before = torch.full((count,), math.nan, dtype=torch.float64)
        self._steps = torch.zeros((), dtype=torch.int64)

    def lowest(self, step: int, total_steps: int) -> int:
        """Return the lowest stage that has not stopped."""
        return self._lowest

    def after_step(self, gradient_norms: Mapping[int, float], step: int, total_steps: int) -> None:
        """Add up an interval's gradients; at its end stop what has settled."""
        for stage, norm in gradient_norms.items():
            self._squares[stage] += norm**2
        self._steps += 1
        if int(self._steps) < max(total_steps // self._options.intervals, 1):
            return
        norms = (self._squares / self._steps).sqrt()
        changes = {stage: _change(float(self._before[stage]), float(norms[stage])) for stage in gradient_norms}
        self._lowest = first_unsettled(changes, self._options.percentile, self._lowest, self._last_to_stop)
        self._before = norms
        self._squares.zero_()
        self._steps.zero_()

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the lowest stage, the interval's sums and the norms of the one before (NaN where there is none)."""
        return {
            "lowest": torch.tensor(self._lowest),
            "squares": self._squares,
            "before": self._before,
            "steps": self._steps,
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put them back."""
        self._lowest = int(tensors["lowest"])
        self._squares, self._before, self._steps = (tensors[name].clone() for name in ("squares", "before", "steps"))


def first_unsettled(changes: Mapping[int, float], percentile: float, lowest: int, last: int) -> int:
    """Return the lowest stage that goes on learning.

    Args:
        changes: Of the gradient norm of each stage that learns; NaN where nothing is known yet.
        percentile: Of the changes, within which a stage is settled.
        lowest: Stage that learned so far.
        last: The last stage that may stop.
    """
    known = [change for change in changes.values() if not math.isnan(change)]
    if not known:
        return lowest
    limit = float(torch.quantile(torch.tensor(known, dtype=torch.float64), percentile / 100))
    while lowest <= last and changes.get(lowest, 0.0) <= limit:
        lowest += 1
    return lowest


def _change(before: float, now: float) -> float:
    return math.inf if before == 0 else abs(before - now) / before
