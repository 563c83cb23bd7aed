"""Every parameter learns."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.base import Tuning
from fathom.tuning.select import mark_trainable, under


class Full(Tuning):
    """Train every parameter, or all but the embeddings."""

    trains_whole: ClassVar[bool] = True

    kind: Literal["full"] = "full"
    freeze_embeddings: bool = False
    """Keep the token, position and type embeddings as they were pretrained: less memory, and words that the training
    data lacks keep their meaning. Embeddings tied to a trained head learn all the same."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for the scores it was chosen by."""
        return 2e-4

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Make all parameters trainable, without the embeddings where they are to stay."""
        frozen = anatomy.embeddings if self.freeze_embeddings else ()
        mark_trainable(model, lambda name: not under(name, frozen))
        return model
