"""Low-rank updates of the direction of each weight, and its length apart, through `peft`."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

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
            ModelError: A named target is none of its projections, or the rank is above a
                matrix's smaller side.
        """
        from peft import LoraConfig

        return _multiply_directly(wrap(model, LoraConfig(**self.lora_options(model, anatomy), use_dora=True)))


def _multiply_directly(model: nn.Module) -> nn.Module:
    """Let every layer multiply its two thin matrices.

    PEFT sends an identity matrix as wide as the layer through them, for the sake of sharded training: in a small
    encoder that is more work and memory than the layer itself. What comes out is used for a norm without gradient only.
    """
    from peft.tuners.lora.dora import DoraLinearLayer

    for module in model.modules():
        if isinstance(module, DoraLinearLayer):
            vars(module)["get_lora_weight"] = _product
    return model


@torch.no_grad()
def _product(lora_A: nn.Module, lora_B: nn.Module, adapter_name: str | None = None) -> Tensor:
    return lora_B.get_parameter("weight") @ lora_A.get_parameter("weight")
