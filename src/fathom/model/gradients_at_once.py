"""Which gradients there are at once, where a block's are freed by its update in the backward pass."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.model.flops import Place


@dataclass(frozen=True)
class GradientsAtOnce:
    """Bytes of gradients at two moments of the backward pass."""

    top: int
    """While the highest block runs: its own, those of what lies behind the blocks, and of a table read at both ends."""
    end: int
    """When the embeddings have theirs; nothing is kept for blocks any more."""


def gradients_at_once(by_place: Mapping[Place, int], *, tied: bool) -> GradientsAtOnce:
    """Return them.

    Args:
        by_place: Bytes of the gradients of each component.
        tied: Whether a table of the embeddings is read behind the blocks too: theirs are then there from the start.
    """
    blocks: Counter[int] = Counter()
    behind = embeddings = 0
    for (depth, component), count in by_place.items():
        if depth is not None:
            blocks[depth] += count
        elif component == "embeddings":
            embeddings += count
        else:
            behind += count
    ahead = embeddings if tied else 0
    return GradientsAtOnce(behind + ahead + max(blocks.values(), default=0), embeddings)


def is_tied(model: nn.Module, anatomy: Anatomy) -> bool:
    """Whether embeddings share a trained parameter with something behind them."""
    components: dict[nn.Parameter, set[str]] = defaultdict(set)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            components[parameter].add(anatomy.component_of(name)[1])
    return any("embeddings" in found and len(found) > 1 for found in components.values())
