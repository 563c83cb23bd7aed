"""Frozen projections in 4 bits: NF4 by bitsandbytes, with a scale for every 64 numbers and the scales in 8 bits.

Weights are packed on the processor, so that they are the same numbers wherever the model runs afterwards. They are made
again, in the type of the product, whenever one reads them, forward and backward, and nothing of that is kept.

On the meta device, and in forecasts, a projection is only marked: what it will take is known from its shape, without
the library.

Source: Dettmers et al., "QLoRA", 2023 (arXiv 2305.14314).
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fathom.errors import MissingExtraError, ModelError
from fathom.model.anatomy import Anatomy

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KIND = "nf4"
BLOCK = 64
"""Numbers that share one scale."""
SCALES_BLOCK = 256
"""Scales that share one of their own."""
ATTRIBUTE = "_fathom_four_bit"
"""Where a projection carries its mark."""


@dataclass(frozen=True)
class FourBit:
    """The shape of a projection whose weight is in 4 bits."""

    outputs: int
    inputs: int
    transposed: bool = False
    """Whether it was GPT-2's Conv1D, which keeps `[in, out]`."""

    @property
    def numbers(self) -> int:
        """Numbers its weight stands for."""
        return self.outputs * self.inputs

    @property
    def weight_bytes(self) -> int:
        """Bytes of its packed weight and of the scales: about 4.13 bits for a number."""
        scales = math.ceil(self.numbers / BLOCK)
        return math.ceil(self.numbers / 2) + scales + 4 * math.ceil(scales / SCALES_BLOCK) + 4


def load_bitsandbytes(where: str) -> Any:
    """Import bitsandbytes.

    Args:
        where: The key of the recipe that needs it.

    Raises:
        MissingExtraError: It is not installed.
    """
    # on a processor it advises to install what only some of its kernels would need
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        import bitsandbytes
    except ModuleNotFoundError:
        raise MissingExtraError("bitsandbytes", "bitsandbytes", where=where) from None
    return bitsandbytes


def quantizable(model: PreTrainedModel, anatomy: Anatomy) -> list[str]:
    """Return the paths of the blocks' projections that can be packed.

    Those that the family wants in float32 (T5's second feed-forward matrix, whose type it asks for) stay as they are.

    Raises:
        ModelError: There are none: they are layers of the family's own.
    """
    kept = {*(model._keep_in_fp32_modules or ()), *(model._keep_in_fp32_modules_strict or ())}
    paths = [path for block in anatomy.blocks for path in (*block.attention, *block.feed_forward)]
    found = [path for path in paths if type(model.get_submodule(path)) in (nn.Linear, Conv1D)]
    found = [path for path in found if path.rpartition(".")[2] not in kept]
    if not found:
        raise ModelError(
            f"4 bits are for linear projections, and the blocks of {type(model).__name__} have none that can be packed",
            where="tuning",
            mend="use lora",
        )
    return found


def quantize(model: nn.Module, paths: Sequence[str]) -> nn.Module:
    """Pack the weights of projections, in place; returns the model.

    Args:
        model: With float32 weights, or on the meta device, where projections are marked only.
        paths: Of `nn.Linear` or `Conv1D` modules.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    for path in paths:
        linear = model.get_submodule(path)
        assert isinstance(linear, nn.Linear | Conv1D)
        transposed = isinstance(linear, Conv1D)
        outputs, inputs = reversed(linear.weight.shape) if transposed else linear.weight.shape
        mark = FourBit(outputs, inputs, transposed)
        packed = linear if linear.weight.is_meta else _pack(linear, mark)
        vars(packed)[ATTRIBUTE] = mark
        model.set_submodule(path, packed)
    return model


def four_bit(module: nn.Module) -> FourBit | None:
    """Return the mark of a projection in 4 bits; None for any other module."""
    found: FourBit | None = vars(module).get(ATTRIBUTE)
    return found


def four_bit_weights(model: nn.Module) -> dict[str, FourBit]:
    """Return the weights in 4 bits of a model by parameter name."""
    marks = {f"{path}.weight": four_bit(module) for path, module in model.named_modules()}
    return {name: mark for name, mark in marks.items() if mark is not None}


def describe(model: PreTrainedModel) -> dict[str, Any] | None:
    """Return what a saved adapter must say of a base in 4 bits; None where no weight is.

    Returns:
        `kind`, the form; `modules`, the paths of packed projections in the base model; `whole`, of all other ones.
    """
    packed = [name.removesuffix(".weight").removesuffix(".base_layer") for name in four_bit_weights(model)]
    if not packed:
        return None
    beside = (".lora_A.", ".lora_B.", ".modules_to_save.")
    linear = [path for path, module in model.named_modules() if type(module) is nn.Linear]
    whole = [path.replace(".original_module", "") for path in linear if not any(mark in path for mark in beside)]
    return {"kind": KIND, "modules": packed, "whole": whole}


def num_parameters(model: nn.Module) -> int:
    """Return how many numbers the parameters of a model stand for."""
    marks = four_bit_weights(model)
    return sum(
        marks[name].numbers if name in marks else parameter.numel() for name, parameter in model.named_parameters()
    )


def unpack(module: nn.Module, dtype: torch.dtype) -> Tensor:
    """Return the weight of a projection in 4 bits, `[out, in]`, in a type."""
    weight: Any = module.get_parameter("weight")
    state = copy.copy(weight.quant_state)
    shape, numbers = state.shape, state.shape.numel()
    # with AVX-512 the library (0.50) takes scales of other blocks where a row ends within one; blocks as rows do not
    state.shape = torch.Size((numbers // BLOCK, BLOCK) if numbers % BLOCK == 0 else (1, numbers))
    state.dtype = dtype  # the type it is made in
    found: Tensor = load_bitsandbytes("tuning").functional.dequantize_4bit(weight.data, state)
    return found.view(shape)


def dequantize(model: nn.Module) -> None:
    """Put float32 projections of the same numbers in the place of those in 4 bits, also within LoRA's layers."""
    for name, mark in four_bit_weights(model).items():
        path = name.removesuffix(".weight")
        packed: Any = model.get_submodule(path)
        weight = unpack(packed, torch.float32)
        with torch.device("meta"):
            linear: Any
            if mark.transposed:
                linear = Conv1D(mark.outputs, mark.inputs)
            else:
                linear = nn.Linear(mark.inputs, mark.outputs, bias=False)
        linear.weight = nn.Parameter(weight.t().contiguous() if mark.transposed else weight, requires_grad=False)
        linear.bias = packed.bias
        model.set_submodule(path, linear.train(packed.training))
        if mark.transposed and path.endswith(".base_layer"):
            beside: Any = model.get_submodule(path.removesuffix(".base_layer"))
            beside.fan_in_fan_out = True


def _pack(linear: nn.Linear | Conv1D, mark: FourBit) -> nn.Module:
    library, weight = load_bitsandbytes("tuning"), linear.weight.data
    weight = weight.t() if mark.transposed else weight
    packed: Any = _layer_class()(mark.inputs, mark.outputs, bias=False, device="meta")
    options = {"compress_statistics": True, "quant_type": KIND, "blocksize": BLOCK, "module": packed}
    packed.weight = library.nn.Params4bit(weight.float().cpu().contiguous(), requires_grad=False, **options).to("cpu")
    packed.bias = linear.bias
    placed: nn.Module = packed.to(weight.device)
    return placed.train(linear.training)


@cache
def _layer_class() -> Any:
    class FourBitLinear(load_bitsandbytes("tuning").nn.Linear4bit):  # type: ignore[misc]
        """bitsandbytes' layer, whose own forward pass depends on the passes before and changes its bias's type."""

        def forward(self, hidden: Tensor) -> Tensor:
            """Return the projection of `[..., inputs]`, in the type of what it reads."""
            bias = None if self.bias is None else self.bias.to(hidden.dtype)
            return nn.functional.linear(hidden, unpack(self, hidden.dtype), bias)

    return FourBitLinear
