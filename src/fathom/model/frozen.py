"""What never changes: the part of a model below the lowest block in which anything learns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from fathom.model.anatomy import Anatomy


@dataclass(frozen=True)
class FrozenPart:
    """The frozen bottom of a model.

    Attributes:
        first_block: The lowest block a training pass has to compute, counted from the input; the number of blocks where
            only what follows them learns, 0 where something learns in the lowest block or before it.
        modules: What runs below it: embeddings, whatever stands before the stack, and the blocks. Empty where
            `first_block` is 0.
    """

    first_block: int
    modules: tuple[nn.Module, ...] = ()

    def hold_still(self) -> None:
        """Switch dropout off in what never learns; call after `model.train()`."""
        for module in self.modules:
            module.eval()


NOTHING = FrozenPart(0)


def find_frozen(model: nn.Module, anatomy: Anatomy) -> FrozenPart:
    """Find what lies below the lowest parameter that learns; nothing in models of two stacks or of shared blocks.

    Args:
        model: Under its tuning strategy, `requires_grad` set.
        anatomy: Of this model.
    """
    if len(anatomy.stacks) != 1 or anatomy.stacks[0].repeats > 1:
        return NOTHING
    stack = anatomy.stacks[0]
    first = len(stack.blocks)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        block, component = anatomy.component_of(name)
        if block is not None:
            first = min(first, block)
        elif component not in ("head", "final"):
            return NOTHING
    if first == 0:
        return NOTHING
    below = [*before_stack(model, stack.path), *(model.get_submodule(block.path) for block in stack.blocks[:first])]
    return FrozenPart(first, tuple(below))


def before_stack(model: nn.Module, path: str) -> Iterator[nn.Module]:
    """Yield the modules that are registered before a stack of blocks, on every level that holds it."""
    module = model
    for name in path.split("."):
        for child_name, child in module.named_children():
            if child_name == name:
                module = child
                break
            yield child
