"""A strategy tried on a model that has shapes and no numbers."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from fathom.model.anatomy import find_anatomy
from fathom.tuning.base import Tuning


def try_on_meta(tuning: Tuning, model: nn.Module) -> nn.Module:
    """Apply a strategy to a model on the meta device, where what it adds takes no memory either.

    Raises:
        ModelError: The model cannot take the strategy.
        ConfigError: The strategy's options do not go together.
    """
    # advice on saving is for a model that will be saved
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):
        return tuning.apply(model, find_anatomy(model))
