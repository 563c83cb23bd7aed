"""Dropout masks at the cost of a few vector instructions.

`bernoulli_` costs about 10 ns an element on a processor; it was the largest single item of a packed bf16 training
step. Here a fast generator fills 16-bit words, a compare turns each into all ones or all zeros, and the mask is applied
by a bitwise *and* on the number's bits. The rate is exact to 1/32768.

Masks are a pure function of (seed, step, micro-batch): a resumed or repeated step draws the same ones, and there is no
generator state to save.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

LEVELS = 1 << 15


class DropoutSource:
    """Draws masks for one forward pass after another."""

    def __init__(self) -> None:
        self._generator: np.random.SFC64 = np.random.SFC64(0)

    def start(self, seed: int, step: int, micro_batch: int) -> None:
        """Begin the forward pass of one micro-batch of one step."""
        self._generator = np.random.SFC64(np.random.SeedSequence([seed, step, micro_batch]))

    @property
    def state(self) -> dict[str, Any]:
        """Position within the pass; a recomputed block starts again from the one it had."""
        return dict(self._generator.state)

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._generator.state = state  # type: ignore[assignment]

    def recompute_contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Return the two contexts `torch.utils.checkpoint` wants: a recomputed block draws the masks it drew before."""
        entered: list[dict[str, Any]] = []

        @contextmanager
        def first() -> Iterator[None]:
            entered.append(self.state)
            yield

        @contextmanager
        def again() -> Iterator[None]:
            current = self.state
            self.state = entered[0]
            yield
            self.state = current

        return first(), again()

    def mask(self, shape: torch.Size | tuple[int, ...], rate: float) -> Tensor:
        """Return an int16 mask: -1 (all bits set) where kept, 0 where dropped.

        Args:
            shape: Of the tensor to drop from.
            rate: Probability of dropping an element.
        """
        count = int(np.prod(shape))
        words = np.asarray(self._generator.random_raw((count + 3) // 4), dtype=np.uint64).view(np.int16)[:count]
        bits = torch.from_numpy(words).bitwise_and_(LEVELS - 1)
        # uniform in [0, 32768): minus the number of kept levels it is negative where kept; the shift spreads the sign
        return bits.sub_(round((1.0 - rate) * LEVELS)).bitwise_right_shift_(15).view(shape)


def apply_mask(values: Tensor, keep: Tensor, rate: float) -> Tensor:
    """Zero the dropped values and scale the kept ones by `1 / (1 - rate)`.

    Args:
        values: bfloat16, float16 or float32.
        keep: From `DropoutSource.mask`, of the same shape.
        rate: The rate the mask was drawn with.
    """
    if values.dtype == torch.float32:
        kept = values.view(torch.int32).bitwise_and(keep.to(torch.int32)).view(torch.float32)
    else:
        kept = values.view(torch.int16).bitwise_and(keep).view(values.dtype)
    return kept.mul_(1.0 / (1.0 - rate))


class Dropout(torch.autograd.Function):
    """Dropout with a mask of a `DropoutSource`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, rate: float, source: DropoutSource) -> Tensor:
        """Return the dropped and scaled values."""
        keep = source.mask(values.shape, rate)
        ctx.save_for_backward(keep)
        ctx.rate = rate
        return apply_mask(values.contiguous(), keep, rate)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Drop and scale the gradient alike."""
        (keep,) = ctx.saved_tensors
        return apply_mask(grad.contiguous(), keep, ctx.rate), None, None
