"""Faster leaves: linear, embedding and dropout modules that compute in bf16 and write gradients in place, and others
that run as one operation (`fused_leaves`).

`Compute` changes how the leaf modules of a model run while it is installed, and nothing else: weights stay where they
are, in float32, under their own names, and `remove` gives the model back. Beside autocast it saves the cast of every
weight in every pass, the allocation of every gradient, and the price of `bernoulli_`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fathom.model.dropout import Dropout, DropoutSource
from fathom.model.four_bit import four_bit, unpack
from fathom.model.fused_leaves import fused_forward
from fathom.model.parameters import FlatParameters, Slot
from fathom.model.sparse_update import updated_projections


class Compute:
    """Runs the leaves of a model's blocks in a chosen precision.

    Args:
        model: The model as it will be trained.
        parameters: Its trainable parameters.
        block_paths: Paths of the blocks; linear maps outside them (the head) stay float32.
        embedding_paths: Paths of embedding tables whose gradients are written in place.
        dropout: Where masks come from; None leaves dropout as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: FlatParameters,
        block_paths: Iterable[str],
        *,
        embedding_paths: Iterable[str] = (),
        dropout: DropoutSource | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.parameters = parameters
        self.dtype = dtype
        self.direct: set[str] = set()
        """Names of the parameters whose gradients are written in place."""
        self._changed: list[nn.Module] = []
        self._leaves: dict[nn.Module, LinearLeaf] = {}
        updated = {layer.base_layer for layer in updated_projections(model).values()}  # read with their update only
        for path in block_paths:
            for module in model.get_submodule(path).modules():
                if module in updated:
                    continue
                if type(module) in (nn.Linear, Conv1D) or four_bit(module) is not None:
                    self._leaves[module] = LinearLeaf(module, self)
                    self.override(module, partial(_linear_forward, self._leaves[module]))
                elif (fused := fused_forward(module)) is not None:
                    self.override(module, fused)
        for path in embedding_paths:
            module = model.get_submodule(path)
            assert isinstance(module, nn.Embedding)
            slot = parameters.slot_of(module.weight)
            if slot is not None and module.max_norm is None and not module.scale_grad_by_freq:
                self.direct.add(slot.name)
                self.override(module, partial(_embedding_forward, EmbeddingLeaf(module, slot, parameters)))
        if dropout is not None:
            for module in model.modules():
                if type(module) is nn.Dropout and module.p > 0:
                    self.override(module, partial(_dropout_forward, module, dropout))

    def override(self, module: nn.Module, forward: Any) -> None:
        """Let a module run otherwise until `remove`."""
        module.forward = forward
        self._changed.append(module)

    def has_leaf(self, module: nn.Module) -> bool:
        """Whether a module is a linear map of the blocks."""
        return module in self._leaves

    def leaf_of(self, module: nn.Module) -> LinearLeaf:
        """Return how a linear map of the blocks computes."""
        return self._leaves[module]

    def share_copies(self, other: Compute) -> None:
        """Read the other's low-precision copies of those frozen weights that are the same tensors."""
        copies = {leaf.module.weight.data_ptr(): leaf for leaf in other._leaves.values()}
        for leaf in self._leaves.values():
            twin = copies.get(leaf.module.weight.data_ptr())
            if twin is not None:
                leaf.share_copies(twin)

    def remove(self) -> None:
        """Let every module run as its class says again."""
        for module in self._changed:
            del module.forward
        self._changed.clear()
        self._leaves.clear()


class LinearLeaf:
    """A linear map (nn.Linear, or GPT-2's transposed Conv1D) with its low-precision weight and gradient slots.

    Of a weight in 4 bits there is no copy: it is made for each product.
    """

    def __init__(self, module: nn.Linear | Conv1D, compute: Compute) -> None:
        self.packed = four_bit(module) is not None
        self.transposed = isinstance(module, Conv1D)
        self.module = module
        self.compute = compute
        self.store = compute.parameters
        self.weight_slot = self._slot(module.weight, compute)
        self.bias_slot = self._slot(module.bias, compute) if module.bias is not None else None
        copied = self.weight_slot is None and not self.packed
        self._frozen_weight = module.weight.data.to(compute.dtype) if copied else None
        self._frozen_bias = (
            module.bias.data.to(compute.dtype) if module.bias is not None and self.bias_slot is None else None
        )

    @property
    def dtype(self) -> torch.dtype:
        """The compute type of this pass."""
        return self.compute.dtype

    @staticmethod
    def _slot(parameter: Tensor, compute: Compute) -> Slot | None:
        slot = compute.parameters.slot_of(parameter)
        if slot is not None:
            compute.direct.add(slot.name)
        return slot

    def share_copies(self, twin: LinearLeaf) -> None:
        """Read the copies of a leaf of the same frozen weights."""
        self._frozen_weight, self._frozen_bias = twin._frozen_weight, twin._frozen_bias

    @property
    def weight_FD(self) -> Tensor:
        """The weight in compute type, `[out, in]`."""
        if self.packed:
            return unpack(self.module, self.dtype)
        weight = self._in_compute_type(self.weight_slot, self._frozen_weight, self.module.weight)
        return weight.t() if self.transposed else weight

    @property
    def bias_F(self) -> Tensor | None:
        """The bias in compute type."""
        bias = self.module.bias
        return None if bias is None else self._in_compute_type(self.bias_slot, self._frozen_bias, bias)

    def accumulate(self, gradient: Tensor) -> None:
        """Add to the gradient of a weight that learns, of the weight's own shape."""
        assert self.weight_slot is not None
        self.store.accumulate(self.weight_slot, gradient)

    def _in_compute_type(self, slot: Slot | None, frozen: Tensor | None, parameter: Tensor) -> Tensor:
        copy = self.store.shadow(slot) if slot is not None else frozen
        # a step that is computed again in float32 reads the weights themselves
        return copy if copy is not None and copy.dtype == self.dtype else parameter.data


def _linear_forward(leaf: LinearLeaf, input: Tensor) -> Tensor:
    output: Tensor = _Linear.apply(input, leaf.module.weight, leaf.module.bias, leaf)  # type: ignore[no-untyped-call]
    return output


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, leaf: LinearLeaf) -> Tensor:
        # weight and bias are arguments only so that autograd knows the output depends on them
        hidden_TD = input.reshape(-1, input.shape[-1]).to(leaf.dtype)
        ctx.leaf, ctx.shape, ctx.input_dtype = leaf, input.shape, input.dtype
        if leaf.weight_slot is not None and leaf.weight_slot.learns:
            ctx.save_for_backward(hidden_TD)
        output_TF = nn.functional.linear(hidden_TD, leaf.weight_FD, leaf.bias_F)
        # an ordinary view made in here could not be changed in place, and AdaLoRA's layers add to it so
        output: Tensor = torch.ops.aten._unsafe_view(output_TF, [*input.shape[:-1], output_TF.shape[-1]])
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None, None]:
        leaf: LinearLeaf = ctx.leaf
        grad_TF = grad.reshape(-1, grad.shape[-1]).to(leaf.dtype)
        if leaf.weight_slot is not None and leaf.weight_slot.learns:
            (hidden_TD,) = ctx.saved_tensors
            product = (hidden_TD.t() @ grad_TF) if leaf.transposed else (grad_TF.t() @ hidden_TD)
            leaf.store.accumulate(leaf.weight_slot, product)
        if leaf.bias_slot is not None and leaf.bias_slot.learns:
            leaf.store.accumulate(leaf.bias_slot, column_sums(grad_TF))
        if not ctx.needs_input_grad[0]:
            return None, None, None, None
        return (grad_TF @ leaf.weight_FD).view(ctx.shape).to(ctx.input_dtype), None, None, None


def column_sums(grad_TF: Tensor) -> Tensor:
    """Sum over tokens; in low precision as a product, which adds in float32 and is several times faster."""
    if grad_TF.dtype == torch.float32:
        return grad_TF.sum(0)
    return (grad_TF.new_ones(1, len(grad_TF)) @ grad_TF)[0]


class EmbeddingLeaf:
    """An embedding table, compact or whole, whose gradient is added in place."""

    def __init__(self, module: nn.Embedding, slot: Slot, store: FlatParameters) -> None:
        self.module = module
        self.slot = slot
        self.store = store
        self.position: Tensor | None = None
        if slot.rows is not None:
            # tokens outside the kept rows do not occur in training; they point to row 0 where padding hides them
            self.position = torch.zeros(module.num_embeddings, dtype=torch.long, device=slot.rows.device)
            self.position[slot.rows] = torch.arange(len(slot.rows), device=slot.rows.device)


def _embedding_forward(leaf: EmbeddingLeaf, input: Tensor) -> Tensor:
    if not leaf.module.training or not torch.is_grad_enabled():
        return nn.functional.embedding(input, leaf.module.weight)
    output: Tensor = _Embedding.apply(leaf.module.weight, input, leaf)  # type: ignore[no-untyped-call]
    return output


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, ids: Tensor, leaf: EmbeddingLeaf) -> Tensor:
        rows = ids if leaf.position is None else leaf.position[ids]
        padding = leaf.module.padding_idx
        ctx.leaf = leaf
        ctx.save_for_backward(rows, ids.ne(padding) if padding is not None else torch.empty(0))
        return nn.functional.embedding(rows, leaf.store.value(leaf.slot))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, None]:
        leaf: EmbeddingLeaf = ctx.leaf
        rows, kept = ctx.saved_tensors
        target = leaf.store.gradient(leaf.slot)
        if leaf.slot.fresh:
            target.zero_()
            leaf.slot.fresh = False
        if kept.numel():  # the padding token has no gradient, as in nn.Embedding
            target.index_add_(0, rows[kept], grad[kept].to(target.dtype))
        else:
            target.index_add_(0, rows.flatten(), grad.flatten(0, -2).to(target.dtype))
        return None, None, None


def _dropout_forward(module: nn.Dropout, source: DropoutSource, input: Tensor) -> Tensor:
    output: Tensor = Dropout.apply(input, module.p, source) if module.training else input  # type: ignore[no-untyped-call]
    return output
