"""The top blocks and the head learn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.tuning.base import Tuning
from fathom.tuning.select import mark_trainable, under


class TopLayers(Tuning):
    """Train the top blocks of every stack, the norms after them and the head.

    What lies below the lowest trained block never changes, so its output can be computed once and kept.
    """

    kind: Literal["top-layers"] = "top-layers"
    layers: int = Field(2, ge=1)
    """How many blocks learn, counted from the top."""
    embeddings: Literal["frozen", "trained"] = "frozen"
    """Whether the embeddings learn too; trained ones need a backward pass through every block."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for the scores it was chosen by."""
        return 5e-4

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Freeze what lies below the top blocks.

        Raises:
            ModelError: More blocks are asked for than a stack has.
        """
        paths = [*anatomy.head, *anatomy.final]
        for stack in anatomy.stacks:
            if self.layers > len(stack.blocks):
                raise ModelError(
                    f"{self.layers} layers are to learn, and the {stack.name} has {len(stack.blocks)} blocks",
                    where="tuning.layers",
                    mend=f"choose 1 to {len(stack.blocks)}, or tuning 'full'",
                )
            paths += [block.path for block in stack.blocks[-self.layers :]]
        if self.embeddings == "trained":
            paths += anatomy.embeddings
        mark_trainable(model, lambda name: under(name, paths))
        return model
