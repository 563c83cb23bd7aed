"""Low-rank updates of the direction of each weight, and its length apart, through `peft`."""

from __future__ import annotations

from typing import Literal

from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.adapted import wrap
from fathom.tuning.low_rank import LowRank


class Dora(LowRank):
    """Train the length of every output's weight vector by itself, and its direction by LoRA.

    The weight is `m * (W + s B A) / norm(W + s B A)`, the norm taken over the inputs of each output and held constant
    in the backward pass. Learns more like full fine-tuning than LoRA does, for one more vector a matrix and a slower
    step: the norm is computed anew in every pass.

    Source: Liu et al., "DoRA", 2024 (arXiv 2402.09353).
    """

    kind: Literal["dora"] = "dora"

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 1e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Wrap the target projections; returns a `peft.PeftModel`.

        Raises:
            ModelError: The model has no head, a named target is none of its projections, or the rank is above a
                matrix's smaller side.
        """
        from peft import LoraConfig

        return wrap(model, LoraConfig(**self.lora_options(model, anatomy), use_dora=True))
