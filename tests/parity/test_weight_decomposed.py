"""DoRA in one operation: transposed weights, the norm by thin products, and low precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fathom.model.compute import Compute
from fathom.model.low_rank import fuse_updates
from fathom.model.parameters import FlatParameters, group_parameters
from fathom.model.weight_decomposed import Decomposed, decomposed_update

WIDTH, OUT, TOKENS = 24, 40, 50
LARGE_BIAS = 0.01


def wrapped(kind: str, bias: float = 1.0) -> nn.Module:
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(0)
    linear = Conv1D(OUT, WIDTH) if kind == "Conv1D" else nn.Linear(WIDTH, OUT)
    nn.init.normal_(linear.weight, std=0.3)
    nn.init.normal_(linear.bias, std=bias)
    options = LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules=["0"], fan_in_fan_out=kind == "Conv1D")
    model: nn.Module = inject_adapter_in_model(options, nn.Sequential(linear))
    layer: Any = model[0]
    nn.init.normal_(layer.lora_B["default"].weight, std=0.3)
    layer.lora_magnitude_vector["default"].weight.data.mul_(torch.linspace(0.7, 1.4, OUT))
    return model


def passed(model: nn.Module, dtype: torch.dtype, *, fused: bool) -> dict[str, Tensor]:
    """Output, gradient of the input, and gradients of what learns."""
    flat = FlatParameters(*group_parameters(model), shadow_dtype=None if dtype == torch.float32 else dtype)
    compute = Compute(model, flat, ["0"], dtype=dtype)
    if fused:
        fuse_updates(nn.ModuleDict({"block": model}), ["block"], compute, None)
        assert isinstance(model[0].forward, Decomposed)
    flat.begin_step(compute.direct)
    torch.manual_seed(1)
    rows = torch.randn(TOKENS, WIDTH).to(dtype).requires_grad_()
    output = model(rows)
    (output.float() * torch.randn(TOKENS, OUT)).sum().backward()
    flat.end_step()
    gradients = {name: flat.gradient(slot).clone() for name, slot in flat.slots.items()}
    compute.remove()
    assert rows.grad is not None
    return {"output": output.detach(), "input": rows.grad, **gradients}


@pytest.mark.parametrize("kind", ["Linear", "Conv1D"])
def test_it_is_what_peft_computes(kind: str) -> None:
    expected = passed(wrapped(kind), torch.float32, fused=False)
    found = passed(wrapped(kind), torch.float32, fused=True)
    assert found.keys() == expected.keys() and len(found) == 5
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-5, rtol=1e-5, msg=name)


@pytest.mark.parametrize("kind", ["Linear", "Conv1D"])
def test_the_ratio_is_that_of_the_whole_matrix_in_float64(kind: str) -> None:
    model: Any = wrapped(kind)
    compute = Compute(model, FlatParameters(*group_parameters(model)), ["0"])
    layer = model[0]
    first, second = (side["default"].weight.double() for side in (layer.lora_A, layer.lora_B))
    weight = layer.base_layer.weight.double()
    whole = (weight.t() if kind == "Conv1D" else weight) + layer.scaling["default"] * second @ first
    expected = layer.lora_magnitude_vector["default"].weight.double() / whole.norm(dim=1)
    found = decomposed_update(layer, compute)
    assert found is not None
    torch.testing.assert_close(found.ratio_F().double(), expected, atol=0, rtol=1e-5)


def test_in_low_precision_it_is_as_near_to_float32_as_peft_is() -> None:
    exact = passed(wrapped("Linear"), torch.float32, fused=True)
    ours = passed(wrapped("Linear"), torch.bfloat16, fused=True)
    theirs = passed(wrapped("Linear"), torch.bfloat16, fused=False)
    for name, tensor in exact.items():
        error, other = ((found[name].float() - tensor).norm() for found in (ours, theirs))
        assert error < 0.01 * tensor.norm(), name
        assert error < 1.5 * other, name


def test_beside_a_large_bias_the_gradient_of_the_length_stays() -> None:
    """It is a sum over what a projection makes without its bias; over tokens much of a large one would not cancel."""
    exact = passed(wrapped("Linear", bias=8.0), torch.float32, fused=True)
    ours = passed(wrapped("Linear", bias=8.0), torch.bfloat16, fused=True)
    [name] = [name for name in exact if "magnitude" in name]
    error = (ours[name].float() - exact[name]).norm() / exact[name].norm()
    assert error < LARGE_BIAS, error


def test_an_output_changed_in_place_is_noticed() -> None:
    model = wrapped("Linear")
    compute = Compute(model, FlatParameters(*group_parameters(model)), ["0"])
    fuse_updates(nn.ModuleDict({"block": model}), ["block"], compute, None)
    output = model(torch.randn(3, WIDTH))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.add_(1.0).sum().backward()
