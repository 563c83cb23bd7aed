"""DoRA's projections in one operation: a low-rank update, and the length of every output's weight vector apart.

`peft` makes the whole update and its sum with the frozen weight anew in every pass, for their norm alone, and sends
what the projection makes through the memory several times in float32. Here the norm comes from thin products,
`|w + s b A|^2 = |w|^2 + 2 s b (A w) + s^2 b (A A') b'` for the weight vector `w` of an output and its row `b`, and the
length multiplies the two weights before they meet the tokens: what is left of the pass is LoRA's.

Source: Liu et al., "DoRA", 2024 (arXiv 2402.09353); the norm is a constant in the backward pass, as in section 4.3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fathom.model.compute import Compute, column_sums
from fathom.model.lora_layer import LoraLeaves, OneUpdate


class Decomposed(OneUpdate):
    """A projection with one decomposed update.

    Args:
        layer: Of `peft`, with DoRA.
        leaves: Its own; without dropout.
    """

    def __init__(self, layer: Any, leaves: LoraLeaves) -> None:
        super().__init__(layer)
        self.base, self.first, self.second = leaves.base, leaves.first, leaves.second
        self.scale = leaves.scale
        self.magnitude: nn.Parameter = layer.lora_magnitude_vector[leaves.name].weight
        self.squares_F = self.whole_FD.square().sum(1)

    @property
    def whole_FD(self) -> Tensor:
        """The frozen weight in float32, `[out, in]`."""
        weight = self.base.module.weight.data
        return weight.t() if self.base.transposed else weight

    def ratio_F(self) -> Tensor:
        """Return each output's trained length over that of its weight vector, float32."""
        first_RD, second_FR = self.first.module.weight.data, self.second.module.weight.data
        crossed_FR = self.whole_FD @ first_RD.t()
        own_FR = second_FR @ (first_RD @ first_RD.t())
        added_F = crossed_FR.mul_(2).add_(own_FR, alpha=self.scale).mul_(second_FR).sum(1)
        return self.magnitude.data / added_F.mul_(self.scale).add_(self.squares_F).sqrt_()

    def run(self, input: Tensor) -> Tensor:
        """Return the projection with its update."""
        # what learns is an argument so that autograd knows the output depends on it
        learning = [self.magnitude, self.first.module.weight, self.second.module.weight]
        if self.base.bias_slot is not None:
            learning.append(self.base.module.bias)
        output: Tensor = _Decomposed.apply(input, self, *learning)  # type: ignore[no-untyped-call]
        return output


def decomposed_update(layer: Any, compute: Compute) -> Decomposed | None:
    """Return how a layer of `peft`'s LoRA runs in one operation; None without DoRA, with dropout, or over 4 bits.

    Args:
        layer: With whatever stands beside its projection.
        compute: Of the blocks it is in.
    """
    leaves = LoraLeaves.of(layer, compute)
    if leaves is None or leaves.rate or leaves.base.packed or leaves.name not in layer.lora_magnitude_vector:
        return None
    return Decomposed(layer, leaves)


class _Decomposed(torch.autograd.Function):
    """`ratio * (base(x) + scale * second(first(x))) + bias` of rows `[..., D]`, where the base weight is frozen."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, layer: Decomposed, *learning: Tensor) -> Tensor:
        base = layer.base
        ratio_F = layer.ratio_F()
        hidden_TD = input.reshape(-1, input.shape[-1]).to(base.dtype)
        output_TF = nn.functional.linear(hidden_TD, _scaled(layer.whole_FD, ratio_F, base.dtype), base.bias_F)
        inner_RT = layer.first.weight_FD @ hidden_TD.t()
        second_FR = _scaled(layer.second.module.weight.data, ratio_F, base.dtype)
        output_TF.addmm_(inner_RT.t(), second_FR.t(), alpha=layer.scale)
        output: Tensor = torch.ops.aten._unsafe_view(output_TF, [*input.shape[:-1], output_TF.shape[-1]])
        ctx.save_for_backward(hidden_TD, inner_RT, ratio_F, output)  # the output itself: autograd sees it changed
        ctx.layer, ctx.shape, ctx.dtype, ctx.rest = layer, input.shape, input.dtype, len(learning) - 1
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        layer: Decomposed = ctx.layer
        base, first, second = layer.base, layer.first, layer.second
        hidden_TD, inner_RT, ratio_F, output = ctx.saved_tensors
        grad_TF = grad.reshape(-1, grad.shape[-1]).to(base.dtype)
        output_TF, bias_F = output.reshape(grad_TF.shape), base.bias_F
        if bias_F is None:
            turned_TF = output_TF * grad_TF
        else:  # taken off before the sum: of two sums in low precision little is left where the bias is large
            turned_TF = (output_TF - bias_F).mul_(grad_TF)
            if base.bias_slot is not None and base.bias_slot.learns:
                base.store.accumulate(base.bias_slot, column_sums(grad_TF))
        length_F = column_sums(turned_TF).float()
        scaled_FR = _scaled(second.module.weight.data, ratio_F, base.dtype)
        scaled_RT = (scaled_FR.t() @ grad_TF.t()).mul_(layer.scale)
        second.accumulate((inner_RT.mul(layer.scale) @ grad_TF).t() * ratio_F[:, None])
        first.accumulate(scaled_RT @ hidden_TD)
        input_grad = None
        if ctx.needs_input_grad[0]:
            grad_TD = grad_TF @ _scaled(layer.whole_FD, ratio_F, base.dtype)
            input_grad = grad_TD.addmm_(scaled_RT.t(), first.weight_FD).view(ctx.shape).to(ctx.dtype)
        return input_grad, None, length_F / layer.magnitude.data, *[None] * ctx.rest


def _scaled(weight_FD: Tensor, ratio_F: Tensor, dtype: torch.dtype) -> Tensor:
    return (weight_FD * ratio_F[:, None]).to(dtype)
