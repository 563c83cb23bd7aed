"""A projection whose weight is the frozen one plus an update: of chosen entries, or of all with gates before them.

The sum is made in every pass and in no other place: the frozen weight stays as it is until `fold` writes the update
into it, and only entries whose update is not zero change there, in their last bit too.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

LOWER, UPPER = -1.5, 1.5
"""Ends the gates are stretched to before they are cut at 0 and 1."""
OPEN, SHUT = 30.0, -30.0
"""Logits of a gate that no draw moves any more."""


class UpdatedProjection(nn.Module, ABC):
    """A linear layer (nn.Linear, or GPT-2's transposed Conv1D) with an update of its weight.

    Args:
        base_layer: The projection; its weight and bias stay frozen.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.transposed = isinstance(base_layer, Conv1D)

    @property
    def weight(self) -> Tensor:
        """The frozen weight, for models that look at it."""
        return self.base_layer.get_parameter("weight")

    @property
    def bias(self) -> Tensor | None:
        """The frozen bias."""
        return self.base_layer.bias if isinstance(self.base_layer.bias, Tensor) else None

    @abstractmethod
    def update(self) -> Tensor:
        """Return the update as autograd sees it: of the chosen entries, or of all, flat."""

    @abstractmethod
    def add(self, update: Tensor) -> Tensor:
        """Return the frozen weight with an update, float32, in the weight's own shape."""

    @abstractmethod
    def pick(self, gradient: Tensor) -> Tensor:
        """Return the update's part of a gradient of the whole weight."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the projection of `[..., inputs]` by the updated weight, in the type of what comes in."""
        output: Tensor = _Project.apply(hidden, self.update(), self)  # type: ignore[no-untyped-call]
        return output

    @torch.no_grad()
    def fold(self) -> nn.Module:
        """Write the update into the weight; returns the projection it then is."""
        weight = self.weight
        changed = self.add(self.update())
        weight.data.copy_(torch.where(changed == weight, weight, changed))  # -0.0 plus nothing is 0.0
        return self.base_layer


class ChosenEntries(UpdatedProjection):
    """Only some entries of the weight learn.

    Args:
        base_layer: The projection.
        indices_N: Places of the entries in the flat weight, no place twice.
    """

    def __init__(self, base_layer: nn.Module, indices_N: Tensor) -> None:
        super().__init__(base_layer)
        self.register_buffer("sparse_indices", indices_N, persistent=False)
        self.sparse_values = nn.Parameter(self.weight.new_zeros(len(indices_N)))

    def update(self) -> Tensor:
        """The values that learn, `[N]`."""
        return self.sparse_values

    def add(self, update: Tensor) -> Tensor:
        """Add them in their places."""
        weight = self.weight.detach()
        return weight.flatten().index_add(0, self.get_buffer("sparse_indices"), update.detach()).view_as(weight)

    def pick(self, gradient: Tensor) -> Tensor:
        """Take the gradient from their places."""
        return gradient.flatten()[self.get_buffer("sparse_indices")].float()


class GatedEntries(UpdatedProjection):
    """All entries learn, each behind a gate that learns to shut (the hard concrete distribution).

    Args:
        base_layer: The projection.
        gate_logit: What the gates begin with.
    """

    def __init__(self, base_layer: nn.Module, gate_logit: float) -> None:
        super().__init__(base_layer)
        count = self.weight.numel()
        self.diff_values = nn.Parameter(self.weight.new_zeros(count))
        self.diff_gates = nn.Parameter(self.weight.new_full((count,), gate_logit))

    def update(self) -> Tensor:
        """Values times gates; gates are drawn in training and certain otherwise."""
        logits: Tensor = self.diff_gates
        if self.training:
            noise = torch.rand_like(logits).clamp_(1e-6, 1 - 1e-6)
            logits = logits + noise.log() - (1 - noise).log()
        return self.diff_values * _gates(logits)

    @torch.no_grad()
    def certain_update(self) -> Tensor:
        """Values times gates without a draw, a new tensor."""
        return self.diff_values * _gates(self.diff_gates)

    @property
    def settled(self) -> bool:
        """Whether every gate is open or shut for good; momentum may still move their logits a little."""
        return bool((self.diff_gates.detach().abs() > OPEN / 2).all())

    def add(self, update: Tensor) -> Tensor:
        """Add the whole update; where it is zero the weight keeps every bit."""
        weight = self.weight.detach()
        return weight + update.detach().view_as(weight)

    def pick(self, gradient: Tensor) -> Tensor:
        """The whole gradient."""
        return gradient.flatten().float()

    def open_gates(self) -> Tensor:
        """Return the expected number of gates that are not shut, a scalar."""
        return torch.sigmoid(self.diff_gates - math.log(-LOWER / UPPER)).sum()

    @torch.no_grad()
    def keep(self, kept: Tensor) -> None:
        """Leave some entries open for good with the update they have, and shut all others."""
        self.diff_values.copy_(torch.where(kept, self.certain_update(), 0.0))
        self.diff_gates.copy_(torch.where(kept, OPEN, SHUT))


def _gates(logits: Tensor) -> Tensor:
    return (torch.sigmoid(logits) * (UPPER - LOWER) + LOWER).clamp(0, 1)


class _Project(torch.autograd.Function):
    """Keeps what came in only: the updated weight is made again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, update: Tensor, layer: UpdatedProjection) -> Tensor:
        weight = _rows_first(layer, update, hidden.dtype)
        ctx.layer = layer
        ctx.save_for_backward(hidden, update)
        bias = layer.bias
        return nn.functional.linear(hidden, weight, None if bias is None else bias.to(hidden.dtype))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        hidden, update = ctx.saved_tensors
        layer: UpdatedProjection = ctx.layer
        grad_TF, hidden_TD = grad.flatten(0, -2), hidden.flatten(0, -2)
        grad_hidden = grad_update = None
        if ctx.needs_input_grad[0]:
            grad_hidden = (grad_TF @ _rows_first(layer, update, grad.dtype)).view_as(hidden)
        if ctx.needs_input_grad[1]:
            product = hidden_TD.t() @ grad_TF if layer.transposed else grad_TF.t() @ hidden_TD
            grad_update = layer.pick(product)
        return grad_hidden, grad_update, None


def _rows_first(layer: UpdatedProjection, update: Tensor, dtype: torch.dtype) -> Tensor:
    """The updated weight in a type, `[outputs, inputs]`."""
    weight = layer.add(update).to(dtype)
    return weight.t() if layer.transposed else weight


def updated_projections(model: nn.Module) -> dict[str, UpdatedProjection]:
    """Return a model's projections with updates, by path."""
    return {path: module for path, module in model.named_modules() if isinstance(module, UpdatedProjection)}


def fold_updates(model: nn.Module) -> None:
    """Write every update into its weight: an ordinary model is left."""
    for path, module in updated_projections(model).items():
        model.set_submodule(path, module.fold())
