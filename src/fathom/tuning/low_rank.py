"""Options that every member of the LoRA family has."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.adapted import Targeted, are_conv1d, check_rank, task_type, trained_heads


class LowRank(Targeted):
    """A product of two thin matrices beside each target, and the head whole."""

    rank: int = Field(8, ge=1)
    """Columns of the two thin matrices."""
    alpha: float = Field(16.0, gt=0)
    """The update is multiplied by alpha / rank (alpha / sqrt(rank) with `rslora`)."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on what enters the thin matrices."""
    bias: Literal["none", "all", "lora_only"] = "none"
    """Which biases learn too: none, all, or those of the target projections."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank), which keeps large ranks learning."""

    def lora_options(self, model: nn.Module, anatomy: Anatomy) -> dict[str, Any]:
        """Return the keywords of `peft.LoraConfig`.

        Raises:
            ModelError: A target that is none of the projections, or a rank above a target's smaller side.
        """
        paths = self.target_paths(anatomy)
        check_rank(model, paths, self.rank)
        return {
            "task_type": task_type(model),
            "r": self.rank,
            # PEFT's field is an integer by type only; a whole number is written as one.
            "lora_alpha": int(self.alpha) if float(self.alpha).is_integer() else self.alpha,
            "lora_dropout": self.dropout,
            "bias": self.bias,
            "use_rslora": self.rslora,
            "target_modules": list(paths),
            "modules_to_save": trained_heads(model, anatomy),
            "fan_in_fan_out": are_conv1d(model, paths),
        }
