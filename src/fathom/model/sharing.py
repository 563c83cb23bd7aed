"""Models of one base whose equal weights are kept in memory once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fathom.model.anatomy import find_anatomy

WRAPPED = (".base_layer.", ".original_module.")
"""What PEFT, and adapters of Fathom's own, put into the name of a weight they stand beside."""


class SharedTensors:
    """Keeps the first tensor of every name; models that are given later read it wherever theirs is equal.

    Compared by value, not by where it was read: a weight that an adapter changes (a bias that it trained, a matrix that
    PiSSA took directions out of) stays the model's own.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def share(self, model: nn.Module) -> None:
        """Let a model's tensors be the kept ones where they are equal; its copies are freed."""
        for name, parameter in inside(model):
            kept = self._kept.setdefault(plain_name(name), parameter.data)
            if equal(parameter, kept):
                parameter.data = kept


def share_frozen(model: nn.Module, base: nn.Module) -> None:
    """Let the frozen tensors of an adapter's model be those of the base wherever they are equal; the copies are freed.

    Args:
        model: Under LoRA, ready to be trained.
        base: The transformers model without adapters.
    """
    own = dict(base.named_parameters())
    for name, parameter in inside(model):
        twin = own.get(plain_name(name))
        if twin is not None and not parameter.requires_grad and equal(parameter, twin):
            parameter.data = twin.data


def inside(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters of the transformers model within a wrapper, by their names in it."""
    prefix = find_anatomy(model).prefix
    for name, parameter in model.named_parameters():
        yield name.removeprefix(prefix), parameter


def plain_name(name: str) -> str:
    """Return the name a weight has in the base model."""
    for mark in WRAPPED:
        name = name.replace(mark, ".")
    return name


def equal(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are alike in shape, type and every number."""
    same = first.shape == second.shape and first.dtype == second.dtype and first.device == second.device
    return same and torch.equal(first, second)
