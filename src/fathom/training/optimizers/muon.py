"""Muon."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor

from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters, Slot
from fathom.training.optimizers.adamw import open_adamw
from fathom.training.optimizers.base import FlatOptimizer, LiveOptimizer, Optimizer, Places, Stretch, cut_stretches

if TYPE_CHECKING:
    from fathom.training.settings import Training

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration: the steepest at zero (Jordan, 2024)."""
LEAST_NORM = 1e-7
MOST_NUMBERS = 1 << 24
"""Numbers orthogonalised in one batch of equal matrices."""


class Muon(Optimizer):
    """Muon: the orthogonalised momentum of the blocks' matrices (Jordan et al., 2024); AdamW for everything else.

    Embeddings, the head, biases, norms and whatever is not a matrix take AdamW with the `training` section's numbers.
    The mathematics of `torch.optim.Muon`.
    """

    kind: Literal["muon"] = "muon"
    momentum: float = Field(0.95, ge=0, lt=1)
    """Decay of the momentum."""
    nesterov: bool = True
    """Look ahead along the momentum."""
    ns_steps: int = Field(5, ge=1, le=99)
    """Newton-Schulz iterations; after five, singular values lie between about 0.7 and 1.2."""
    learning_rate_adjustment: Literal["match_rms_adamw", "original"] = Field(
        "match_rms_adamw", validation_alias="adjust_lr_fn"
    )
    """`match_rms_adamw` makes updates as large as AdamW's, 0.2 sqrt(max(rows, columns)), so that one rate serves both
    (Liu et al., 2025); `original` multiplies by sqrt(max(1, rows / columns))."""
    matrix_scale: float = Field(1.0, gt=0)
    """The matrices' rate as a multiple of AdamW's; `original` wants about 50."""
    arithmetic: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the iteration; auto is the run's precision."""

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """One float32 momentum of a block's matrix, AdamW's two of anything else."""
        return (4 if is_block_matrix(len(shape), place) else 8) * prod(shape)

    def update_flops(self, shape: Sequence[int], place: Place) -> int:
        """A Gram matrix, its square and one more product in every iteration."""
        if not is_block_matrix(len(shape), place):
            return 0
        small, large = min(shape), max(shape)
        return self.ns_steps * (4 * small * small * large + 2 * small**3)

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make both optimizers."""

        def matrix(slot: Slot) -> bool:
            return is_block_matrix(len(slot.shape), places[slot.name])

        rest = cut_stretches(parameters, settings, places, lambda slot: not matrix(slot))
        matrices = cut_stretches(parameters, settings, places, matrix)
        precision = settings.precision if self.arithmetic == "auto" else self.arithmetic
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        return LiveMuon(parameters, matrices, (self, dtype), open_adamw(parameters, settings, rest))


def is_block_matrix(dimensions: int, place: Place) -> bool:
    """Whether Muon takes a parameter: a matrix of a block."""
    return dimensions == 2 and place[0] is not None and place[1] != "embeddings"


class LiveMuon(FlatOptimizer):
    """Muon over the matrices' stretches, and the optimizer of the rest."""

    def __init__(
        self,
        parameters: FlatParameters,
        matrices: Sequence[Stretch],
        options: tuple[Muon, torch.dtype],
        rest: LiveOptimizer,
    ) -> None:
        super().__init__(parameters, matrices, ("momentum_buffer",))
        self._options, self._dtype = options
        self._rest = rest

    def update(self, learning_rate: float, gradient_scale: float) -> None:
        """Update the rest, then the matrices, equal shapes together."""
        self._rest.update(learning_rate, gradient_scale)
        options = self._options
        for stretch, state in zip(self.stretches, self.states, strict=True):
            rate = learning_rate * stretch.learning_rate_scale * options.matrix_scale
            factor = self.note_decay(stretch, rate)
            values, gradient, momentum = self.values(stretch), self.gradients(stretch), state["momentum_buffer"]
            if gradient_scale != 1.0:
                gradient.mul_(gradient_scale)
            momentum.lerp_(gradient, 1.0 - options.momentum)
            if factor != 1.0:
                values.mul_(factor)
            for targets, gradients, momenta in _batches(stretch, values, gradient, momentum):
                direction_NRC = torch.stack(momenta)
                if options.nesterov:
                    direction_NRC = torch.lerp(torch.stack(gradients), direction_NRC, options.momentum)
                updates_NRC = orthogonalize(direction_NRC.to(self._dtype), options.ns_steps)
                alpha = -rate * _adjustment(options.learning_rate_adjustment, targets[0].shape)
                for target, update in zip(targets, updates_NRC, strict=True):
                    target.add_(update, alpha=alpha)

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the momentum of the matrices and the state of the rest."""
        return {**self._rest.state_tensors(), **super().state_tensors()}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Copy both states back."""
        self._rest.load_state_tensors(tensors)
        super().load_state_tensors(tensors)


def orthogonalize(matrices_NRC: Tensor, steps: int) -> Tensor:
    """Bring the singular values of matrices near 1 by Newton-Schulz iterations, in the type they have.

    Args:
        matrices_NRC: A batch of equal shape.
        steps: Iterations.

    Returns:
        About U V^T of each; singular values between about 0.7 and 1.2 after five steps.
    """
    a, b, c = COEFFICIENTS
    upright = matrices_NRC.shape[-2] > matrices_NRC.shape[-1]
    x = matrices_NRC.mT if upright else matrices_NRC  # the smaller Gram matrix
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=LEAST_NORM)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if upright else x


def _adjustment(name: str, shape: torch.Size) -> float:
    rows, columns = shape
    return 0.2 * sqrt(max(rows, columns)) if name == "match_rms_adamw" else sqrt(max(1.0, rows / columns))


def _batches(stretch: Stretch, *flat: Tensor) -> Iterator[list[tuple[Tensor, ...]]]:
    """Yield matrices of equal shape, as many at once as memory should hold: of each flat tensor their views."""
    by_shape: dict[torch.Size, list[tuple[Tensor, ...]]] = {}
    for views in zip(*(stretch.views(tensor) for tensor in flat), strict=True):
        by_shape.setdefault(views[0][0].shape, []).append(tuple(view for _, view in views))
    for shape, matrices in by_shape.items():
        size = max(1, MOST_NUMBERS // shape.numel())
        for begin in range(0, len(matrices), size):
            yield list(zip(*matrices[begin : begin + size], strict=True))
