"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Literal

import torch

from fathom.errors import ConfigError
from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters
from fathom.training.optimizers.adamw import MOMENTS
from fathom.training.optimizers.base import LiveOptimizer, Optimizer, Places, cut_stretches
from fathom.training.optimizers.torch_optim import TorchOptimizer

if TYPE_CHECKING:
    from fathom.training.settings import Training


class Adam(Optimizer):
    """Adam (Kingma & Ba, 2015); weight decay is L2 regularisation, added to the gradient.

    With `weight_decay: 0` it is AdamW. L2 through the moments changes every row of an embedding at every step, so
    tables are not kept compact where they are decayed.
    """

    kind: Literal["adam"] = "adam"

    def allows_compact_rows(self, settings: Training) -> bool:
        """Only where embeddings are not decayed."""
        return settings.weight_decay == 0 or not settings.decay_embeddings

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """Two float32 moments."""
        return 8 * prod(shape)

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make the optimizer; moments are float32 zeros.

        Raises:
            ConfigError: A decayed embedding table was made compact.
        """
        stretches = cut_stretches(parameters, settings, places)
        if any(slot.rows is not None and stretch.weight_decay for stretch in stretches for slot in stretch.slots):
            raise ConfigError(
                "adam's weight decay reaches every row of the embeddings, and they are kept compact",
                where="training.optimizer",
                mend="use adamw, or set training.weight_decay: 0 or training.decay_embeddings: false",
            )
        make = partial(
            torch.optim.Adam,
            lr=1.0,
            betas=(settings.adam_beta1, settings.adam_beta2),
            eps=settings.adam_epsilon,
            fused=True,
        )
        return TorchOptimizer(parameters, stretches, make, MOMENTS, decay="coupled")
