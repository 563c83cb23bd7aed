"""Leaves that run as one operation are the functions transformers writes out, gradients included."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from fathom.model.fused_leaves import fused_forward


def outputs_and_grads(
    module: nn.Module, forward: nn.Module, hidden: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    given = hidden.clone().requires_grad_()
    output = forward(given)
    weight = torch.linspace(-1, 1, output.numel()).view_as(output)
    return output, list(torch.autograd.grad((output.float() * weight).sum(), [given, *module.parameters()]))


@pytest.mark.parametrize("name", ["gelu_new", "gelu_fast", LlamaRMSNorm, Qwen3RMSNorm, GemmaRMSNorm])
def test_equals_the_written_out_form(name: str | type[nn.Module]) -> None:
    module = ACT2FN[name] if isinstance(name, str) else name(48)
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(1))
    hidden = torch.randn(3, 7, 48, generator=torch.Generator().manual_seed(2)) * 3
    fused = fused_forward(module)
    assert fused is not None
    expected, expected_grads = outputs_and_grads(module, module, hidden)
    found, grads = outputs_and_grads(module, fused, hidden)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for got, wanted in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    low, _ = outputs_and_grads(module, fused, hidden.bfloat16())
    assert low.dtype == torch.bfloat16, "hidden states keep their type"
    torch.testing.assert_close(low.float(), expected, rtol=3e-2, atol=3e-2)


class NearlyRMSNorm(nn.Module):
    """A norm by another name's formula."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(8))
        self.eps = 1e-6

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.weight * hidden / hidden.abs().mean(-1, keepdim=True)


@pytest.mark.parametrize("module", [nn.LayerNorm(8), nn.GELU(), NearlyRMSNorm()])
def test_another_function_is_left_alone(module: nn.Module) -> None:
    assert fused_forward(module) is None
