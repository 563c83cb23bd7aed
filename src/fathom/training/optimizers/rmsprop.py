"""RMSProp."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters
from fathom.training.optimizers.base import LiveOptimizer, Optimizer, Places, cut_stretches
from fathom.training.optimizers.torch_optim import TorchOptimizer

if TYPE_CHECKING:
    from fathom.training.settings import Training


class RmsProp(Optimizer):
    """RMSProp (Tieleman & Hinton, 2012) with decoupled weight decay, as torch has it."""

    kind: Literal["rmsprop"] = "rmsprop"
    alpha: float = Field(0.99, ge=0, lt=1)
    """Decay of the mean square."""
    epsilon: float = Field(1e-8, gt=0)
    """Added to the root of the mean square."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Share of the last update that is kept."""
    centered: bool = False
    """Divide by the variance in the place of the mean square (Graves, 2013)."""

    @property
    def learning_rate_scale(self) -> float:
        """Below AdamW: without its correction for the zero start, the first steps are 1 / sqrt(1 - alpha) as long."""
        return 0.5 * (1 - self.momentum)

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """A float32 mean square; a momentum and a mean, where there are."""
        return 4 * prod(shape) * len(self._names)

    def update_bytes(self, shape: Sequence[int], place: Place) -> int:
        """Operation by operation."""
        return 3 * super().update_bytes(shape, place)

    @property
    def _names(self) -> tuple[str, ...]:
        momentum = ("momentum_buffer",) if self.momentum else ()
        return ("square_avg", *momentum, *(("grad_avg",) if self.centered else ()))

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make the optimizer; everything it keeps is zero at first."""
        make = partial(
            torch.optim.RMSprop,
            lr=1.0,
            alpha=self.alpha,
            eps=self.epsilon,
            momentum=self.momentum,
            centered=self.centered,
        )
        stretches = cut_stretches(parameters, settings, places)
        return TorchOptimizer(parameters, stretches, make, self._names, decay="before")
