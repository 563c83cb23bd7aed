"""A random fixed share of the entries of every matrix learns."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.model.sparse_update import ChosenEntries, fold_updates
from fathom.tuning.adapted import Targeted, on_meta, trained_heads
from fathom.tuning.select import mark_trainable, under


class RandomMask(Targeted):
    """Train a random share of the entries of every projection of the blocks, drawn once, and the head.

    Only the chosen entries have gradients and moments, so memory is that of a small adapter; the backward pass computes
    the gradient of a whole matrix to take them from. All other entries are bit for bit the base model's afterwards. The
    model is saved whole.

    Source: Xu, Zhang, "Random Masking Finds Winning Tickets for Parameter Efficient Fine-tuning", 2024 (arXiv
    2405.02596), who find that a smaller share wants a higher rate.
    """

    saves_adapter: ClassVar[bool] = False  # the entries are written into the weights

    kind: Literal["random-mask"] = "random-mask"
    share: float = Field(0.01, gt=0, lt=1)
    """Of the entries of each matrix, those that learn."""
    mask_seed: int = Field(0, ge=0)
    """Of the choice."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 3e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Put the entries that learn beside the target projections.

        Raises:
            ModelError: A named target is none of its projections, or the share of a matrix is
                less than one entry.
        """
        for number, path in enumerate(self.target_paths(anatomy)):
            layer = model.get_submodule(path)
            size = layer.get_parameter("weight").numel()
            count = round(self.share * size)
            if count == 0:
                raise ModelError(
                    f"a share of {self.share:g} of the {size:,} entries of '{path}' is none",
                    where="tuning.share",
                    mend=f"choose at least {1 / size:.1g}",
                )
            model.set_submodule(path, ChosenEntries(layer, self._choose(model, size, count, number)))
        heads = trained_heads(model, anatomy)
        mark_trainable(model, lambda name: name.endswith(".sparse_values") or under(name, heads))
        return model

    def fold(self, model: nn.Module) -> None:
        """Write the entries into the weights."""
        fold_updates(model)

    def _choose(self, model: nn.Module, size: int, count: int, number: int) -> torch.Tensor:
        if on_meta(model):
            return torch.empty(count, dtype=torch.long, device="meta")
        chosen = np.random.default_rng([self.mask_seed, number]).choice(size, count, replace=False, shuffle=False)
        return torch.from_numpy(np.sort(chosen)).to(next(model.parameters()).device)
