"""Optimizers that torch has, run on flat stretches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fathom.model.parameters import FlatParameters
from fathom.training.optimizers.base import FlatOptimizer, Stretch

Groups = list[dict[str, Any]]

Decay = Literal["inside", "before", "coupled"]
"""Who decays: torch's kernel decoupled, this class before it, or torch's kernel through the gradient (L2)."""


class TorchOptimizer(FlatOptimizer):
    """A `torch.optim` optimizer over one tensor per stretch.

    Args:
        parameters: In flat groups.
        stretches: What is updated; may be empty.
        make: Makes torch's optimizer of its parameter groups.
        names: Of its state tensors, as torch calls them.
        decay: How weights are decayed.
        counts: Whether it keeps a `step`.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        stretches: Sequence[Stretch],
        make: Callable[[Groups], torch.optim.Optimizer],
        names: Sequence[str],
        *,
        decay: Decay,
        counts: bool = True,
    ) -> None:
        super().__init__(parameters, stretches, names)
        self._decay = decay
        self._leaves = [nn.Parameter(self.values(stretch)) for stretch in stretches]
        for leaf, stretch in zip(self._leaves, stretches, strict=True):
            leaf.grad = self.gradients(stretch)
        self._torch = make([{"params": [leaf]} for leaf in self._leaves]) if stretches else None
        if self._torch is None:
            return
        self._fused = bool(self._torch.defaults.get("fused"))
        for leaf, state in zip(self._leaves, self.states, strict=True):
            known: dict[str, Tensor] = dict(state)
            if counts:
                # fused kernels count on the device, the others on the processor
                known["step"] = torch.zeros((), device=leaf.device if self._fused else "cpu")
                self.counts.append(known["step"])
            self._torch.state[leaf] = known
        for group, stretch in zip(self._torch.param_groups, stretches, strict=True):
            group["weight_decay"] = 0.0 if decay == "before" else stretch.weight_decay

    def update(self, learning_rate: float, gradient_scale: float) -> None:
        """Update every stretch; where the kernel is fused, clipping happens inside it."""
        if self._torch is None:
            return
        for stretch, leaf, group in zip(self.stretches, self._leaves, self._torch.param_groups, strict=True):
            rate = group["lr"] = learning_rate * stretch.learning_rate_scale
            if self._decay != "coupled":
                factor = self.note_decay(stretch, rate)
                if self._decay == "before" and factor != 1.0:
                    leaf.data.mul_(factor)
            if gradient_scale != 1.0 and not self._fused:
                self.gradients(stretch).mul_(gradient_scale)
        if gradient_scale != 1.0 and self._fused:
            # the fused kernel divides by this scale while it reads the gradient: clipping without a pass of its own
            vars(self._torch)["grad_scale"] = torch.tensor(1.0 / gradient_scale)
        self._torch.step()
        vars(self._torch).pop("grad_scale", None)
