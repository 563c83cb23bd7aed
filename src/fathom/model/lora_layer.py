"""A layer of `peft`'s LoRA with one update beside a frozen projection, ready to run in one operation with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn

from fathom.model.compute import Compute, LinearLeaf


@dataclass(frozen=True)
class LoraLeaves:
    """The frozen projection, the two thin maps that learn beside it, and what `peft` says of them."""

    name: str
    """Of the adapter."""
    base: LinearLeaf
    first: LinearLeaf
    second: LinearLeaf
    scale: float
    rate: float
    """Of dropout on what enters the thin maps."""

    @classmethod
    def of(cls, layer: Any, compute: Compute) -> Self | None:
        """Return the leaves of a layer; None where it has several updates, none, or something else learns or is added.

        Args:
            layer: Of `peft`'s LoRA.
            compute: Of the blocks it is in.
        """
        names = layer.active_adapters
        if not isinstance(layer.lora_A, nn.ModuleDict):  # AdaLoRA's are parameters
            return None
        if len(names) != 1 or names[0] not in layer.lora_A:
            return None
        (name,) = names
        linears = (layer.base_layer, layer.lora_A[name], layer.lora_B[name])
        if not all(map(compute.has_leaf, linears)):
            return None
        base, first, second = map(compute.leaf_of, linears)
        learns = first.weight_slot is not None and second.weight_slot is not None
        if not learns or base.weight_slot is not None or second.module.bias is not None:
            return None
        drop = layer.lora_dropout[name]
        rate = float(drop.p) if isinstance(drop, nn.Dropout) else 0.0
        return cls(name, base, first, second, float(layer.scaling[name]), rate)


class OneUpdate(ABC):
    """The forward pass of such a layer; whatever else is asked of the layer, it does itself."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.names = list(layer.active_adapters)

    def __call__(self, input: Tensor, *rest: Any, **options: Any) -> Tensor:
        """Return what the layer makes of `[..., D]`: `[..., F]` in the type of the products."""
        layer = self.layer
        if rest or options or layer.disable_adapters or layer.merged or layer.active_adapters != self.names:
            output: Tensor = type(layer).forward(layer, input, *rest, **options)
            return output
        return self.run(input)

    @abstractmethod
    def run(self, input: Tensor) -> Tensor:
        """Return the projection with its update."""
