"""Two vectors beside each weight, between random matrices that all of them share, through `peft`."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.adapted import Targeted, are_conv1d, task_type, trained_heads, wrap


class Vera(Targeted):
    """Train two scaling vectors for each projection; the random matrices between them are shared and never learn.

    The update of a weight is `diag(b) B diag(d) A` with A and B drawn once from `projection_seed`. Tens of times fewer
    trainable numbers than LoRA; the random matrices are saved with the adapter, so that no other machine draws them
    differently.

    Source: Kopiczko, Blankevoort, Asano, "VeRA", 2023 (arXiv 2310.11454).
    """

    kind: Literal["vera"] = "vera"
    head_scale: float = Field(1.0, gt=0)
    """The head's learning rate is this many times that of the added parameters; a new head wants about 0.01."""
    rank: int = Field(256, ge=1)
    """Columns of the shared random matrices; may be above a projection's sides, as nothing of that size is trained."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on what enters the random matrices."""
    d_initial: float = Field(0.1, gt=0)
    """What the inner vector begins with; the outer one begins with zeros."""
    projection_seed: int = Field(0, ge=0)
    """Of the random matrices."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 1e-2

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Wrap the target projections; returns a `peft.PeftModel`.

        Raises:
            ModelError: A named target is none of its projections.
        """
        from peft import VeraConfig

        paths = self.target_paths(anatomy)
        config = VeraConfig(
            task_type=task_type(model),
            r=self.rank,
            vera_dropout=self.dropout,
            d_initial=self.d_initial,
            projection_prng_key=self.projection_seed,
            save_projection=True,
            target_modules=list(paths),
            modules_to_save=trained_heads(model, anatomy),
            fan_in_fan_out=are_conv1d(model, paths),
        )
        with torch.device("cpu"):  # its generator draws on no other device, the meta device of `inspect` included
            return wrap(model, config)
