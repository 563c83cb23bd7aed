"""AdaGrad."""

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


class Adagrad(Optimizer):
    """AdaGrad (Duchi, Hazan & Singer, 2011) with decoupled weight decay; torch's fused kernel."""

    kind: Literal["adagrad"] = "adagrad"
    epsilon: float = Field(1e-10, gt=0)
    """Added to the root of the sum of squares."""

    @property
    def learning_rate_scale(self) -> float:
        """Above AdamW: its steps shrink with the root of their number."""
        return 10.0

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """The float32 sum of squares."""
        return 4 * prod(shape)

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make the optimizer; the sum is zero at first."""
        make = partial(torch.optim.Adagrad, lr=1.0, eps=self.epsilon, fused=True)
        stretches = cut_stretches(parameters, settings, places)
        return TorchOptimizer(parameters, stretches, make, ("sum",), decay="before")
