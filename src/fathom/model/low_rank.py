"""Low-rank updates beside frozen projections, in the same operation as the projection.

`peft` computes `base(x) + second(first(x)) * scale` step by step: of what a projection makes, the update, the scaled
update and the sum each pass the memory once more, forward and backward. Here the second product adds to the
projection's output in place, and the scale multiplies the thin sides. Thin products are made with the tokens along
their rows, `[R, T]`: two to five times as fast on a processor as `[T, R]` (rank 8, 1,016 tokens, AVX-512).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from fathom.model.compute import Compute, LinearLeaf, column_sums
from fathom.model.dropout import DropoutSource, apply_mask
from fathom.model.lora_layer import LoraLeaves, OneUpdate
from fathom.model.weight_decomposed import decomposed_update


@dataclass(frozen=True)
class Update:
    """The low-rank update of one adapter beside one projection."""

    first: LinearLeaf
    second: LinearLeaf
    scale: float
    rate: float = 0.0
    """Of dropout on what enters it."""
    source: DropoutSource | None = None

    def keep(self, rows_TD: Tensor) -> Tensor | None:
        """Draw the mask of what enters it, if it has dropout."""
        return None if self.source is None or self.rate == 0 else self.source.mask(rows_TD.shape, self.rate)


@dataclass
class ManyUpdates:
    """A frozen projection, and the updates of all adapters beside it."""

    base: LinearLeaf
    updates: dict[int, Update] = field(default_factory=dict)
    """By the adapter's number."""
    rows: tuple[tuple[int, slice], ...] = ()
    """Which adapter's rows lie where in the coming pass."""

    def active(self) -> list[tuple[slice, Update]]:
        """Return the updates of the coming pass with their rows."""
        return [(rows, self.updates[number]) for number, rows in self.rows if number in self.updates]


def fuse_updates(model: nn.Module, paths: Iterable[str], compute: Compute, dropout: DropoutSource | None) -> None:
    """Let the projections that LoRA or DoRA stands beside run together with their update, until `compute` is removed.

    Args:
        model: As it will be trained; under other strategies nothing is changed.
        paths: Of its blocks.
        compute: Of the same blocks.
        dropout: Where the masks of the updates' own dropout come from; None leaves an update with dropout as it is.
            DoRA with dropout is left so in any case.
    """
    if not any(name.endswith(".lora_A") for name, _ in model.named_modules()):
        return  # peft takes a second to import
    from peft.tuners.lora import LoraLayer

    for path in paths:
        for module in model.get_submodule(path).modules():
            if not isinstance(module, LoraLayer):
                continue
            update = plain_update(module, compute, dropout)
            if update is not None:
                compute.override(module, _Single(module, compute.leaf_of(module.base_layer), update))
            elif (decomposed := decomposed_update(module, compute)) is not None:
                compute.override(module, decomposed)


def plain_update(module: Any, compute: Compute, dropout: DropoutSource | None) -> Update | None:
    """Return the one low-rank update of a frozen projection; None where there is none, or something else beside it."""
    from peft.tuners.lora import LoraLayer

    leaves = LoraLeaves.of(module, compute) if isinstance(module, LoraLayer) else None
    if leaves is None or leaves.name in module.lora_variant or (leaves.rate and dropout is None):
        return None
    return Update(leaves.first, leaves.second, leaves.scale, leaves.rate, dropout)


class _Single(OneUpdate):
    """A projection with one plain update."""

    def __init__(self, layer: Any, base: LinearLeaf, update: Update) -> None:
        super().__init__(layer)
        everything = ((0, slice(None)),)
        self.learning = ManyUpdates(base, {0: update}, everything)
        self.scoring = ManyUpdates(base, {0: replace(update, rate=0.0)}, everything)

    def run(self, input: Tensor) -> Tensor:
        return updated_linear(self.learning if self.layer.training else self.scoring, input)


def updated_linear(projection: ManyUpdates, input: Tensor) -> Tensor:
    """Return what a projection and its active updates make of `[..., D]`: `[..., F]` in the type of the products."""
    active = projection.active()
    # the thin weights, and a bias that learns, are arguments only so that autograd knows the output depends on them
    learning = [leaf.module.weight for _, update in active for leaf in (update.first, update.second)]
    if projection.base.bias_slot is not None:
        learning.append(projection.base.module.bias)
    output: Tensor = _ManyLora.apply(input, projection.base, active, *learning)  # type: ignore[no-untyped-call]
    return output


class _ManyLora(torch.autograd.Function):
    """A linear map of all rows whose weight is frozen, and each adapter's `scale * second(first(rows))` on its own."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, base: LinearLeaf, active: Sequence[tuple[slice, Update]], *learning: Tensor
    ) -> Tensor:
        hidden_TD = input.reshape(-1, input.shape[-1]).to(base.dtype)
        output_TF = nn.functional.linear(hidden_TD, base.weight_FD, base.bias_F)
        kept, masks = [hidden_TD], []
        for rows, update in active:
            read_TD = hidden_TD[rows]
            keep = update.keep(read_TD)
            masks.append(keep is not None)
            if keep is not None:
                read_TD = apply_mask(read_TD, keep, update.rate)
                kept.append(keep)
            inner_RT = update.first.weight_FD @ read_TD.t()
            output_TF[rows].addmm_(inner_RT.t(), update.second.weight_FD.t(), alpha=update.scale)
            kept.append(inner_RT)
        ctx.save_for_backward(*kept)
        ctx.base, ctx.active, ctx.masks = base, active, masks
        ctx.shape, ctx.dtype, ctx.count = input.shape, input.dtype, len(learning)
        output: Tensor = torch.ops.aten._unsafe_view(output_TF, [*input.shape[:-1], output_TF.shape[-1]])
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        base: LinearLeaf = ctx.base
        hidden_TD, *kept = ctx.saved_tensors
        grad_TF = grad.reshape(-1, grad.shape[-1]).to(base.dtype)
        grad_TD = grad_TF @ base.weight_FD if ctx.needs_input_grad[0] else None
        if base.bias_slot is not None and base.bias_slot.learns:
            base.store.accumulate(base.bias_slot, column_sums(grad_TF))
        tensors = iter(kept)
        for (rows, update), masked in zip(ctx.active, ctx.masks, strict=True):
            keep = next(tensors) if masked else None
            inner_RT = next(tensors)
            own_TF = grad_TF[rows]
            scaled_RT = (update.second.weight_FD.t() @ own_TF.t()).mul_(update.scale)
            read_TD = hidden_TD[rows] if keep is None else apply_mask(hidden_TD[rows], keep, update.rate)
            update.second.accumulate((inner_RT.mul(update.scale) @ own_TF).t())
            update.first.accumulate(scaled_RT @ read_TD)
            if grad_TD is None:
                continue
            if keep is None:
                grad_TD[rows].addmm_(scaled_RT.t(), update.first.weight_FD)
            else:
                grad_TD[rows].add_(apply_mask(scaled_RT.t() @ update.first.weight_FD, keep, update.rate))
        input_grad = None if grad_TD is None else grad_TD.view(ctx.shape).to(ctx.dtype)
        return input_grad, None, None, *[None] * ctx.count
