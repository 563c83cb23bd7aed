"""AdamW with moments of one byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from fathom.model.flops import Place
from fathom.model.four_bit import load_bitsandbytes
from fathom.model.parameters import FlatParameters, Slot
from fathom.training.optimizers.adamw import open_adamw
from fathom.training.optimizers.base import FlatOptimizer, LiveOptimizer, Optimizer, Places, Stretch, cut_stretches

if TYPE_CHECKING:
    from fathom.training.settings import Training

BLOCK = 256
"""Numbers that share one scale."""
FEWEST = 4096
"""Smaller parameters keep float32 moments, as bitsandbytes does."""


class Adam8Bit(Optimizer):
    """AdamW whose moments are kept in 8 bits, block by block (Dettmers et al., 2022), by bitsandbytes.

    Embeddings, vectors and small matrices keep float32 moments, as in the paper and in transformers' Trainer.
    """

    kind: Literal["adam-8bit"] = "adam-8bit"

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """Two bytes and two scales for each block; eight bytes where moments stay float32."""
        count = prod(shape)
        return 2 * count + 8 * ceil(count / BLOCK) if is_quantized(shape, place) else 8 * count

    def update_bytes(self, shape: Sequence[int], place: Place) -> int:
        """A code is looked up for each number."""
        return (6 if is_quantized(shape, place) else 1) * super().update_bytes(shape, place)

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make both optimizers.

        Raises:
            MissingExtraError: bitsandbytes is not installed.
        """
        functional = load_bitsandbytes("training.optimizer").functional

        def quantized(slot: Slot) -> bool:
            return is_quantized(slot.shape, places[slot.name])

        rest = cut_stretches(parameters, settings, places, lambda slot: not quantized(slot))
        matrices = cut_stretches(parameters, settings, places, quantized)
        return LiveAdam8Bit(parameters, matrices, (functional, settings), open_adamw(parameters, settings, rest))


def is_quantized(shape: Sequence[int], place: Place) -> bool:
    """Whether a parameter's moments are kept in 8 bits."""
    return len(shape) > 1 and prod(shape) >= FEWEST and place[1] != "embeddings"


@dataclass(frozen=True)
class Moments:
    """Both moments of one parameter: a code for each number, a scale for each block."""

    exp_avg: Tensor
    exp_avg_sq: Tensor
    exp_avg_scale: Tensor
    exp_avg_sq_scale: Tensor

    @classmethod
    def zeros(cls, like: Tensor, code_of_zero: tuple[int, int]) -> Moments:
        """Moments of a parameter before its first step."""
        codes = [torch.full_like(like, code, dtype=torch.uint8) for code in code_of_zero]
        scales = [like.new_zeros(ceil(like.numel() / BLOCK)) for _ in range(2)]
        return cls(*codes, *scales)


class LiveAdam8Bit(FlatOptimizer):
    """bitsandbytes' blockwise Adam, matrix by matrix, and AdamW for the rest."""

    def __init__(
        self,
        parameters: FlatParameters,
        matrices: Sequence[Stretch],
        parts: tuple[Any, Training],
        rest: LiveOptimizer,
    ) -> None:
        super().__init__(parameters, matrices, ())
        self._functional, self._settings = parts
        self._rest = rest
        self.counts = [torch.zeros(())]
        device = parameters.values[0].device
        self._maps = [self._functional.create_dynamic_map(signed=signed).to(device) for signed in (True, False)]
        zeros = tuple(int(codes.abs().argmin()) for codes in self._maps)
        self._moments = {
            slot.name: Moments.zeros(values, (zeros[0], zeros[1]))
            for stretch in self.stretches
            for slot, values in stretch.views(self.values(stretch))
        }

    def update(self, learning_rate: float, gradient_scale: float) -> None:
        """Update the rest, then each matrix; clipping happens inside the kernel."""
        self._rest.update(learning_rate, gradient_scale)
        self.counts[0] += 1
        settings, step = self._settings, int(self.counts[0])
        for stretch in self.stretches:
            rate = learning_rate * stretch.learning_rate_scale
            self.note_decay(stretch, rate)
            flat = zip(stretch.views(self.values(stretch)), stretch.views(self.gradients(stretch)), strict=True)
            for (slot, values), (_, gradient) in flat:
                moments = self._moments[slot.name]
                self._functional.optimizer_update_8bit_blockwise(
                    "adam", gradient, values, moments.exp_avg, moments.exp_avg_sq,
                    settings.adam_beta1, settings.adam_beta2, 0.0, 0.0, settings.adam_epsilon, step, rate,
                    *self._maps, moments.exp_avg_scale, moments.exp_avg_sq_scale,
                    weight_decay=stretch.weight_decay, gnorm_scale=gradient_scale,
                )  # fmt: skip

    def state_tensors(self) -> dict[str, Tensor]:
        """Return codes (uint8) and scales of each quantized parameter, the state of the rest, and `step`."""
        found = {f"{name}/{key}": value for name, state in self._moments.items() for key, value in vars(state).items()}
        return {**self._rest.state_tensors(), **super().state_tensors(), **found}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Copy the state back."""
        self._rest.load_state_tensors(tensors)
        for name, value in self.state_tensors().items():
            value.copy_(tensors[name])
