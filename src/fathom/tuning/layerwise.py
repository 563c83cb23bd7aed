"""Every parameter learns, the lower the slower."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.base import Tuning
from fathom.tuning.select import depth_scales, mark_trainable


class Layerwise(Tuning):
    """Train every parameter with a learning rate that falls from the head to the embeddings.

    The top block has the full rate times `decay`, the one below it `decay` squared, and so on; the embeddings have one
    step more than the lowest block. What lies lower is more general and is changed less.

    Source: Howard, Ruder, "Universal Language Model Fine-tuning", 2018 (arXiv 1801.06146), who call it discriminative
    fine-tuning; as used in ELECTRA, Clark et al. 2020 (arXiv 2003.10555).
    """

    trains_whole: ClassVar[bool] = True

    kind: Literal["layerwise"] = "layerwise"
    decay: float = Field(0.8, gt=0, le=1)
    """Factor from one block to the next below."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 5e-4

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Make all parameters trainable."""
        mark_trainable(model, lambda name: True)
        return model

    def learning_rate_scales(self, model: nn.Module, anatomy: Anatomy) -> dict[str, float]:
        """Return `decay` to the power of the distance from the head; the head and the norms before it have 1."""
        return depth_scales(model, anatomy, self.decay)
