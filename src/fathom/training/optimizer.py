"""Optimizers over flat parameter groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from fathom.config import Part
from fathom.model.parameters import FlatParameters, Slot
from fathom.training.settings import Training


class Optimizer(Part, ABC):
    """An optimizer by name; its numbers are the recipe's `training` section."""

    kind: str

    @abstractmethod
    def open(self, parameters: FlatParameters, settings: Training) -> LiveOptimizer:
        """Make the optimizer of these parameters."""


class LiveOptimizer(ABC):
    """An optimizer at work."""

    @abstractmethod
    def step(self, learning_rate: float, gradient_scale: float) -> None:
        """Update every parameter.

        Args:
            learning_rate: Of this step, before a group's own multiplier.
            gradient_scale: What gradients are multiplied by (clipping); 1 leaves them.
        """

    @abstractmethod
    def state_tensors(self) -> dict[str, Tensor]:
        """Return the state by `<parameter>/<name>` (views), and `step`."""

    @abstractmethod
    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave."""


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019); torch's fused kernel on flat groups."""

    kind: Literal["adamw"] = "adamw"

    def open(self, parameters: FlatParameters, settings: Training) -> LiveOptimizer:
        """Make the optimizer; moments are float32 zeros."""
        return LiveAdamW(parameters, settings)


class LiveAdamW(LiveOptimizer):
    """`torch.optim.AdamW(fused=True)` over one tensor per group."""

    def __init__(self, parameters: FlatParameters, settings: Training) -> None:
        self._parameters = parameters
        self._leaves = [nn.Parameter(values) for values in parameters.values]
        for leaf, gradient in zip(self._leaves, parameters.gradients, strict=True):
            leaf.grad = gradient
        groups = [
            {"params": [leaf], "weight_decay": settings.weight_decay if key.decayed else 0.0}
            for leaf, key in zip(self._leaves, parameters.keys, strict=True)
        ]
        self._adam = torch.optim.AdamW(
            groups,
            lr=1.0,
            betas=(settings.adam_beta1, settings.adam_beta2),
            eps=settings.adam_epsilon,
            fused=True,
        )
        for leaf in self._leaves:
            self._adam.state[leaf] = {
                "step": torch.zeros((), dtype=torch.float32, device=leaf.device),
                "exp_avg": torch.zeros_like(leaf),
                "exp_avg_sq": torch.zeros_like(leaf),
            }

    def step(self, learning_rate: float, gradient_scale: float) -> None:
        """Update every group; clipping happens inside the kernel."""
        for index, key in enumerate(self._parameters.keys):
            group = self._adam.param_groups[index]
            group["lr"] = learning_rate * key.learning_rate_scale
            self._parameters.note_decay(index, 1.0 - group["lr"] * group["weight_decay"])
        if gradient_scale != 1.0:
            # the fused kernel divides by this scale while it reads the gradient: clipping without a pass of its own
            vars(self._adam)["grad_scale"] = torch.tensor(1.0 / gradient_scale)
        self._adam.step()
        vars(self._adam).pop("grad_scale", None)
        self._parameters.refresh_shadows()

    def state_tensors(self) -> dict[str, Tensor]:
        """Return `<parameter>/exp_avg`, `<parameter>/exp_avg_sq` (float32, the parameter's shape) and `step`."""
        tensors = {"step": self._adam.state[self._leaves[0]]["step"]}
        for slot in self._parameters.slots.values():
            for name in ("exp_avg", "exp_avg_sq"):
                tensors[f"{slot.name}/{name}"] = self._view(slot, name)
        return tensors

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Copy the moments and the step count back."""
        for leaf in self._leaves:
            self._adam.state[leaf]["step"].copy_(tensors["step"])
        for slot in self._parameters.slots.values():
            for name in ("exp_avg", "exp_avg_sq"):
                self._view(slot, name).copy_(tensors[f"{slot.name}/{name}"])

    def _view(self, slot: Slot, name: str) -> Tensor:
        flat: Tensor = self._adam.state[self._leaves[slot.group]][name]
        return flat[slot.start : slot.stop].view(slot.shape)
