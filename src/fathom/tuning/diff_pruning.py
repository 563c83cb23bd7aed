"""A sparse difference from the base model, its places learned."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from fathom.model.anatomy import Anatomy
from fathom.model.sparse_update import GatedEntries, fold_updates
from fathom.tuning.adapted import Targeted, trained_heads
from fathom.tuning.select import mark_trainable, under


class DiffPruning(Targeted):
    """Train a difference for every entry of the blocks' projections behind gates that learn to shut; keep the largest.

    The expected number of open gates is added to the loss. After the share 1 - `final` of all steps the `share` of
    entries with the largest differences stays open and all others shut for good; the rest of the steps trains what is
    left. Values, gates and their moments take six times the memory of the projections. All other entries are bit for
    bit the base model's afterwards. The model is saved whole.

    Source: Guo, Rush, Kim, "Parameter-Efficient Transfer Learning with Diff Pruning", 2021 (arXiv 2012.07463); the
    gates are the hard concrete distribution of Louizos et al. 2018 (arXiv 1712.01312), one for each entry.
    """

    saves_adapter: ClassVar[bool] = False  # the differences are written into the weights
    updates_apart: ClassVar[bool] = False

    kind: Literal["diff-pruning"] = "diff-pruning"
    share: float = Field(0.005, gt=0, lt=1)
    """Of the entries of all targets together, those that differ in the end."""
    final: float = Field(0.3, ge=0, lt=1)
    """Share of all steps that trains what is left."""
    sparsity_weight: float = Field(1.25e-7, ge=0)
    """What an open gate adds to the loss."""
    gate_scale: float = Field(100.0, gt=0)
    """The gates' learning rate is this many times that of the differences."""
    gate_logit: float = 5.0
    """What the gates begin with; at 0 half of the draws are above one half."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 5e-4

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Put differences and gates beside the target projections.

        Raises:
            ModelError: A named target is none of its projections.
        """
        for path in self.target_paths(anatomy):
            model.set_submodule(path, GatedEntries(model.get_submodule(path), self.gate_logit))
        heads = trained_heads(model, anatomy)
        mark_trainable(model, lambda name: ".diff_" in name or under(name, heads))
        return model

    def learning_rate_scales(self, model: nn.Module, anatomy: Anatomy) -> dict[str, float]:
        """Return `gate_scale` for the gates and `head_scale` for the head."""
        gates = {name: self.gate_scale for name, _ in model.named_parameters() if name.endswith(".diff_gates")}
        return super().learning_rate_scales(model, anatomy) | gates

    def penalty(self, model: nn.Module) -> Tensor | None:
        """Return the expected number of open gates times its weight."""
        if self.sparsity_weight == 0:
            return None
        return self.sparsity_weight * torch.stack([layer.open_gates() for layer in gated(model)]).sum()

    def after_step(self, model: nn.Module, step: int, total_steps: int) -> bool:
        """Shut all but the largest when it is time; the gates then say that it has been done."""
        layers = gated(model)
        if step < total_steps - int(self.final * total_steps) or all(layer.settled for layer in layers):
            return False
        keep_largest(layers, self.share)
        return True

    def fold(self, model: nn.Module) -> None:
        """Write the differences into the weights, no more of them than are wanted: the best may be an early step's."""
        layers = gated(model)
        if not all(layer.settled for layer in layers):
            keep_largest(layers, self.share)
        model.eval()
        fold_updates(model)


def gated(model: nn.Module) -> list[GatedEntries]:
    """Return the projections with gates."""
    return [module for module in model.modules() if isinstance(module, GatedEntries)]


def keep_largest(layers: list[GatedEntries], share: float) -> None:
    """Leave the largest differences of all layers together open, at most that share of the entries."""
    total = sum(layer.diff_values.numel() for layer in layers)
    left = max(1, round(share * total))
    threshold = _smallest_kept(layers, total, left)
    left -= sum(int((layer.certain_update().abs_() > threshold).sum()) for layer in layers)
    for layer in layers:
        size = layer.certain_update().abs_()
        kept = size > threshold
        ties = (size == threshold).nonzero()[:, 0][:left]
        kept[ties] = True
        left -= len(ties)
        layer.keep(kept)


def _smallest_kept(layers: list[GatedEntries], total: int, count: int) -> float:
    """Return the smallest of the so many largest differences; in one vector, where `torch.topk` takes five."""
    sizes = layers[0].diff_values.new_empty(total)
    begin = 0
    for layer in layers:
        found = layer.certain_update().abs_()
        sizes[begin : begin + len(found)] = found
        begin += len(found)
    if sizes.is_cuda:
        return float(torch.topk(sizes, count).values[-1])
    ordered = sizes.detach().numpy()
    ordered.partition(total - count)
    return float(ordered[total - count])
