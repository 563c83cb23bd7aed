"""Lion."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters
from fathom.training.optimizers.base import FlatOptimizer, LiveOptimizer, Optimizer, Places, Stretch, cut_stretches

if TYPE_CHECKING:
    from fathom.training.settings import Training

CHUNK = 1 << 18
"""Numbers worked on at once on a processor: values, gradient, momentum and direction then stay in its cache."""


class Lion(Optimizer):
    """Lion: the sign of a momentum, every weight moving equally far (Chen et al., 2023); decoupled weight decay."""

    kind: Literal["lion"] = "lion"
    beta1: float = Field(0.9, ge=0, lt=1)
    """Share of the momentum in the direction of a step."""
    beta2: float = Field(0.99, ge=0, lt=1)
    """Decay of the momentum."""

    @property
    def learning_rate_scale(self) -> float:
        """The paper takes a third to a tenth of AdamW's rate."""
        return 0.2

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """One float32 momentum."""
        return 4 * prod(shape)

    def update_bytes(self, shape: Sequence[int], place: Place) -> int:
        """Operation by operation, a chunk at a time."""
        return round(1.6 * super().update_bytes(shape, place))

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make the optimizer; the momentum is zero at first, so a row without gradients has no sign and only decays."""
        return LiveLion(parameters, cut_stretches(parameters, settings, places), (self.beta1, self.beta2))


class LiveLion(FlatOptimizer):
    """Lion over flat stretches."""

    def __init__(self, parameters: FlatParameters, stretches: Sequence[Stretch], betas: tuple[float, float]) -> None:
        super().__init__(parameters, stretches, ("exp_avg",))
        self._betas = betas

    def update(self, learning_rate: float, gradient_scale: float) -> None:
        """Move every weight by the rate, against the sign of the mixed momentum."""
        beta1, beta2 = self._betas
        for stretch, state in zip(self.stretches, self.states, strict=True):
            rate = learning_rate * stretch.learning_rate_scale
            factor = self.note_decay(stretch, rate)
            flat = (self.values(stretch), self.gradients(stretch), state["exp_avg"])
            size = CHUNK if flat[0].device.type == "cpu" else len(flat[0])
            for values, gradient, momentum in zip(*(part.split(size) for part in flat), strict=True):
                if gradient_scale != 1.0:
                    gradient.mul_(gradient_scale)
                direction = torch.lerp(momentum, gradient, 1.0 - beta1).sign_()
                values.mul_(factor).add_(direction, alpha=-rate)
                momentum.lerp_(gradient, 1.0 - beta2)
