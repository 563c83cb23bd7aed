"""AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Literal

import torch

from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters
from fathom.training.optimizers.base import LiveOptimizer, Optimizer, Places, Stretch, cut_stretches
from fathom.training.optimizers.torch_optim import TorchOptimizer

if TYPE_CHECKING:
    from fathom.training.settings import Training

MOMENTS = ("exp_avg", "exp_avg_sq")


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019); torch's fused kernel on flat groups."""

    kind: Literal["adamw"] = "adamw"

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """Two float32 moments."""
        return 8 * prod(shape)

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make the optimizer; moments are float32 zeros."""
        return open_adamw(parameters, settings, cut_stretches(parameters, settings, places))


def open_adamw(parameters: FlatParameters, settings: Training, stretches: Sequence[Stretch]) -> TorchOptimizer:
    """Make `torch.optim.AdamW(fused=True)` of some stretches."""
    make = partial(
        torch.optim.AdamW,
        lr=1.0,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        fused=True,
    )
    return TorchOptimizer(parameters, stretches, make, MOMENTS, decay="inside")
