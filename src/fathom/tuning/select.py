"""Choosing parameters by where they stand in a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.model.fixed import fixed_parameters


def under(name: str, paths: Iterable[str]) -> bool:
    """Whether a parameter or module name is one of `paths` or lies below one."""
    return any(name == path or name.startswith(f"{path}.") for path in paths)


def is_bias(name: str) -> bool:
    """Whether a parameter is a bias, `q_bias` and `in_proj_bias` included."""
    leaf = name.rpartition(".")[2]
    return leaf == "bias" or leaf.endswith("_bias")


def mark_trainable(model: nn.Module, wanted: Callable[[str], bool]) -> int:
    """Set `requires_grad` of every parameter; returns how many numbers will learn.

    A tensor that has two names (tied weights) learns when either name is wanted, so a tied head stays trainable. What
    the model's own class keeps fixed (sinusoids) never learns.
    """
    named = model.named_parameters(remove_duplicate=False)
    chosen = {id(tensor) for name, tensor in named if wanted(name)} - fixed_parameters(model)
    count = 0
    for tensor in model.parameters():
        tensor.requires_grad_(id(tensor) in chosen)
        count += tensor.numel() if id(tensor) in chosen else 0
    return count


def depth_scales(model: nn.Module, anatomy: Anatomy, decay: float) -> dict[str, float]:
    """Return `decay` to the power of each parameter's distance from the head; the head and the norms before it have 1.

    The top block of every stack is one step away, the embeddings one more than the lowest block of the deepest stack.
    """
    below_top = {
        block.index: place for stack in anatomy.stacks for place, block in enumerate(reversed(stack.blocks), start=1)
    }
    deepest = max(below_top.values()) + 1
    scales = {}
    for name, _ in model.named_parameters():
        depth, component = anatomy.component_of(name)
        if depth is not None:
            scales[name] = decay ** below_top[depth]
        elif component == "embeddings":
            scales[name] = decay**deepest
    return scales
