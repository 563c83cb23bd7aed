"""Only biases and the head learn."""

from __future__ import annotations

from typing import Literal

from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.tuning.base import Tuning
from fathom.tuning.select import is_bias, mark_trainable, under


class BitFit(Tuning):
    """Train the biases of the blocks, of the norms after them, and the head.

    Source: Ben Zaken, Goldberg, Ravfogel, "BitFit", 2021 (arXiv 2106.10199).
    """

    kind: Literal["bitfit"] = "bitfit"

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for the scores it was chosen by."""
        return 3e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Freeze every weight that is no bias.

        Raises:
            ModelError: The blocks have no biases (Llama, Qwen3 and ModernBERT are such families).
        """
        blocks = [block.path for stack in anatomy.stacks for block in stack.blocks]
        names = [name for name, _ in model.named_parameters()]
        if not any(is_bias(name) and under(name, blocks) for name in names):
            raise ModelError(
                f"tuning 'bitfit' trains biases, and the blocks of {type(model).__name__} have none",
                mend="use tuning 'lora', which adds weights of its own",
            )
        within = [*blocks, *anatomy.final]
        mark_trainable(model, lambda name: under(name, anatomy.head) or (is_bias(name) and under(name, within)))
        return model
