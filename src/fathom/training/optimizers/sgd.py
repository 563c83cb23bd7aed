"""Stochastic gradient descent, plain, with momentum, or with Nesterov's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, model_validator

from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters
from fathom.training.optimizers.base import LiveOptimizer, Optimizer, Places, cut_stretches
from fathom.training.optimizers.torch_optim import TorchOptimizer

if TYPE_CHECKING:
    from fathom.training.settings import Training

PLAIN_SCALE = 100.0
"""Times AdamW's rate for plain SGD; with momentum m a gradient counts 1 / (1 - m) times."""


class Sgd(Optimizer):
    """Stochastic gradient descent (Robbins & Monro, 1951) with decoupled weight decay; torch's fused kernel."""

    kind: Literal["sgd"] = "sgd"
    momentum: float = Field(0.0, ge=0, lt=1)
    """Share of the last update that is kept (Polyak, 1964); 0.9 is usual."""
    nesterov: bool = False
    """Look ahead along the momentum (Nesterov, 1983; Sutskever et al., 2013)."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Sgd:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0, for example 0.9")
        return self

    @property
    def learning_rate_scale(self) -> float:
        """Far above AdamW: an update is as small as its gradient."""
        return PLAIN_SCALE * (1 - self.momentum)

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """A float32 momentum, where there is one."""
        return 4 * prod(shape) if self.momentum else 0

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make the optimizer; the momentum is zero at first."""
        make = partial(torch.optim.SGD, lr=1.0, momentum=self.momentum, nesterov=self.nesterov, fused=True)
        names = ("momentum_buffer",) if self.momentum else ()
        stretches = cut_stretches(parameters, settings, places)
        return TorchOptimizer(parameters, stretches, make, names, decay="before", counts=False)
