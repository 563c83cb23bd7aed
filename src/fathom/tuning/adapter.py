"""Small networks behind or beside the sub-layers of each block."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy, Block
from fathom.model.bottleneck import Activation, BottleneckSpec, Place, attach
from fathom.model.stacked import attach_lower, open_lower
from fathom.tuning.adapted import Adapted, trained_heads
from fathom.tuning.select import mark_trainable, under


class Adapter(Adapted):
    """Train bottleneck adapters: down to a few numbers, an activation, and up again, added to what a sub-layer makes.

    `houlsby` puts one behind the attention and one behind the feed-forward of every block, before their residual sums;
    `pfeiffer` only behind the feed-forward, at half the cost; `parallel` beside the feed-forward, reading what it
    reads. All begin by adding nothing. An adapter computes a non-linear function and cannot be merged into a weight.

    Source: Houlsby et al. 2019 (arXiv 1902.00751); Pfeiffer et al. 2020 (arXiv 2005.00247); parallel: He et al. 2022
    (arXiv 2110.04366).
    """

    kind: Literal["adapter"] = "adapter"
    placement: Literal["houlsby", "pfeiffer", "parallel"] = "pfeiffer"
    """Where the adapters stand."""
    size: int = Field(48, ge=1)
    """Width of the bottleneck."""
    activation: Activation = "relu"
    """Function in the bottleneck."""
    scale: float = Field(1.0, gt=0)
    """Of what an adapter adds; the paper on parallel adapters uses 4."""
    above: str | None = None
    """Folder of an earlier run with `adapter` over the same base model: its adapters stay as they are, and the new ones
    read what they make (a task's above a language's)."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 1e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Put the adapters into the model, which stays what it was otherwise.

        Raises:
            ModelError: Its blocks have no projection where the adapters would stand, or the adapters they are to stand
                above are none, or of another base model.
            ArtifactError: A file of those is damaged.
        """
        places = [place for block in anatomy.blocks for place in self._places(block)]
        heads = tuple(trained_heads(model, anatomy))
        spec = BottleneckSpec(tuple(places), self.size, self.activation, self.scale, heads)
        lower = [] if self.above is None else attach_lower(model, open_lower(self.above))
        attach(model, spec)
        mark_trainable(model, lambda name: ".adapter_" in name or under(name, heads))
        for tensor in lower:
            tensor.requires_grad_(False)
        return model

    def _places(self, block: Block) -> list[Place]:
        if not block.feed_forward or (self.placement == "houlsby" and not block.attention):
            raise ModelError(
                "the block has no linear layer that makes its feed-forward's or attention's output (experts are no "
                "such layers)",
                where=block.path,
                mend="use tuning 'lora' with targets: attention",
            )
        last = block.feed_forward[-1]
        if self.placement == "parallel":
            return [Place(last, block.feed_forward[0])]
        return [Place(block.attention[-1]), Place(last)] if self.placement == "houlsby" else [Place(last)]
