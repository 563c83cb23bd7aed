"""First weights as the papers draw them, where transformers draws them otherwise.

What transformers 5.23 draws already as published, and a test holds it to: RoBERTa, BART, Llama, Qwen3 (normal, 0.02),
GPT-2 (0.02, the projections that end a residual branch by 1 / sqrt(2 x depth)), T5 (by fan-in), ModernBERT (cut normal,
residual ends scaled as GPT-2's) and ViT (0.02, position table and class token cut). What it does not:

- **BERT** draws from a normal distribution cut at two standard deviations (`truncated_normal_initializer` of
  google-research/bert, `modeling.py`); transformers draws from the whole one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CUT = frozenset({"bert"})
"""Families whose weights are cut at two standard deviations."""


def draw_as_published(model: PreTrainedModel) -> None:
    """Draw again, from torch's generator, what the family's paper draws otherwise than transformers did."""
    if model.config.model_type in CUT:
        _cut(model, float(model.config.initializer_range))


def _cut(model: PreTrainedModel, deviation: float) -> None:
    import torch
    from torch import nn

    drawn: set[int] = set()
    with torch.no_grad():
        for module in model.modules():
            if not isinstance(module, nn.Linear | nn.Embedding) or id(module.weight) in drawn:
                continue
            drawn.add(id(module.weight))
            nn.init.trunc_normal_(module.weight, 0.0, deviation, -2 * deviation, 2 * deviation)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
