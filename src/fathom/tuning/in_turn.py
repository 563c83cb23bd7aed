"""What strategies have in common whose parts learn in turn."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.base import Tuning
from fathom.tuning.select import depth_scales, mark_trainable, under


class InTurn(Tuning):
    """A strategy that trains the whole model, but not all of it in every step; see `stages`."""

    keeps_prefix: ClassVar[bool] = False
    updates_apart: ClassVar[bool] = False
    trains_whole: ClassVar[bool] = True

    decay: float = Field(1.0, gt=0, le=1)
    """Factor on the learning rate from one block to the next below (1 / 2.6 in the paper on unfreezing)."""
    embeddings: Literal["frozen", "trained"] = "trained"
    """Whether the embeddings have their turn too."""

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Make all parameters trainable that will learn at some time."""
        frozen = anatomy.embeddings if self.embeddings == "frozen" else ()
        mark_trainable(model, lambda name: not under(name, frozen))
        return model

    def learning_rate_scales(self, model: nn.Module, anatomy: Anatomy) -> dict[str, float]:
        """Return `decay` to the power of the distance from the head."""
        return depth_scales(model, anatomy, self.decay)
