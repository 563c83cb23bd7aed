"""A side network that learns beside frozen blocks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.model.ladder import MODULE, LadderSpec, attach
from fathom.tuning.adapted import Adapted, trained_heads
from fathom.tuning.select import mark_trainable, under


class Ladder(Adapted):
    """Train the head, and a narrow network that reads the output of every block and adds to that of the last.

    Nothing is computed backward through the blocks, and nothing of them is kept for it. A rung takes the block's output
    down to `width`, mixes it with the rung below by a gate that learns, and runs a small feed-forward network; the last
    rung is taken up again and begins by adding nothing. The paper's rungs are narrow transformer blocks; these have no
    attention, as the blocks they read have mixed the tokens already.

    Source: Sung, Cho, Bansal, "LST: Ladder Side-Tuning", 2022 (arXiv 2206.06522).
    """

    keeps_prefix: ClassVar[bool] = False

    kind: Literal["ladder"] = "ladder"
    width: int = Field(96, ge=1)
    """Of the side network."""
    inner: int = Field(192, ge=1)
    """Of its feed-forward networks."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 1e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Put the side network beside the blocks.

        Raises:
            ModelError: The model has two stacks, or blocks that share their weights.
        """
        stack = anatomy.stacks[-1]
        if len(anatomy.stacks) > 1 or stack.repeats > 1:
            what = "blocks that share their weights" if stack.repeats > 1 else "an encoder and a decoder"
            raise ModelError(
                f"tuning 'ladder' stands beside one stack of blocks, each run once; {type(model).__name__} has {what}",
                mend="use tuning 'lora'",
            )
        heads = tuple(trained_heads(model, anatomy))
        top = stack.blocks[-1]
        layers = [model.get_submodule(path) for path in (top.feed_forward or top.attention)[-1:]]
        if not layers:
            message = f"the blocks of {type(model).__name__} have no linear layer that tells their width"
            raise ModelError(message, mend="use tuning 'lora'")
        paths = tuple(block.path for block in stack.blocks)
        attach(model, LadderSpec(paths, _outputs(layers[0]), self.width, self.inner, heads))
        mark_trainable(model, lambda name: under(name, (MODULE, *heads)))
        return model

    def learning_rate_scales(self, model: nn.Module, anatomy: Anatomy) -> dict[str, float]:
        """Return `head_scale` for the parameters of the head, the side network aside."""
        scales = super().learning_rate_scales(model, anatomy)
        return {name: scale for name, scale in scales.items() if not under(name, (MODULE,))}


def _outputs(module: nn.Module) -> int:
    first, second = module.get_parameter("weight").shape
    return int(second if type(module).__name__ == "Conv1D" else first)
