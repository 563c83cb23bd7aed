"""Tiny classifiers of seven families and options that fit them, for tests over every tuning strategy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from fathom import catalog
from fathom.config import validate
from fathom.model.anatomy import find_anatomy
from fathom.model.compute import Compute
from fathom.model.low_rank import fuse_updates
from fathom.model.packing import pack_model
from fathom.model.parameters import FlatParameters, group_parameters
from fathom.tuning.base import Tuning

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "pad_token_id": 0,
}
DECODER = {**SMALL, "num_key_value_heads": 1, "max_position_embeddings": 64}
GPT2 = {"n_embd": 16, "n_layer": 3, "n_head": 2, "vocab_size": 50, "n_positions": 64, "pad_token_id": 0}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", SMALL),
    "roberta": ("RobertaConfig", {**SMALL, "pad_token_id": 1}),
    "distilbert": ("DistilBertConfig", {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 32, "vocab_size": 50}),
    "gpt2": ("GPT2Config", GPT2),
    "llama": ("LlamaConfig", DECODER),
    "qwen3": ("Qwen3Config", {**DECODER, "head_dim": 8}),
    "modernbert": ("ModernBertConfig", {**SMALL, "global_attn_every_n_layers": 2}),
}
TASKS = {"text-classification": "SequenceClassification", "token-classification": "TokenClassification"}
OPTIONS: dict[str, dict[str, Any]] = {
    "top-layers": {"layers": 1},
    "layers": {"layers": [0, "-1"]},
    "random-mask": {"share": 0.1},
    "diff-pruning": {"share": 0.1},
    "lora": {"rank": 2},
    "qlora": {"rank": 2},
    "dora": {"rank": 2},
    "adalora": {"rank": 2, "initial_rank": 4, "warmup": 0.0, "final": 0.3},
    "vera": {"rank": 6},
    "adapter": {"size": 4, "placement": "houlsby"},
    "ladder": {"width": 6, "inner": 8},
    "prompt": {"num_virtual_tokens": 3},
    "p-tuning": {"num_virtual_tokens": 3, "hidden_size": 8},
    "prefix": {"num_virtual_tokens": 3},
}
"""Options by strategy, where its defaults do not fit so small a model."""
REFUSED = {
    "bitfit": {"llama", "qwen3", "modernbert"},
    "prefix": {"distilbert", "modernbert"},
}
"""Families that a strategy cannot take."""
LENGTHS = (9, 4, 1, 7)


def make_model(family: str, task: str = "text-classification", seed: int = 0) -> nn.Module:
    """Build a classifier of random weights, without dropout."""
    config_class, options = FAMILIES[family]
    config = getattr(transformers, config_class)(**options, num_labels=3)
    for name in ("attention_dropout", "attention_probs_dropout_prob", "hidden_dropout_prob", "dropout",
                 "attn_pdrop", "embd_pdrop", "resid_pdrop", "seq_classif_dropout", "classifier_dropout"):  # fmt: skip
        if hasattr(config, name):
            setattr(config, name, 0.0)
    auto = vars(transformers.models.auto.modeling_auto)[f"AutoModelFor{TASKS[task]}"]
    torch.manual_seed(seed)
    made: nn.Module = auto.from_config(config)
    for name, tensor in made.named_parameters():
        if name.endswith("bias"):
            tensor.data.normal_(std=0.02)  # a bias of zero hides who forgets it
    return made


def require(kind: str) -> None:
    """Skip a test of a strategy whose library is not installed."""
    if kind == "qlora":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")


def make_tuning(kind: str, **options: Any) -> Tuning:
    """Return a strategy with options that fit the tiny models; the test is skipped where its library is missing."""
    require(kind)
    return validate(catalog.load("tuning", kind), {"kind": kind, **OPTIONS.get(kind, {}), **options})


def make_batch(family: str) -> dict[str, Tensor]:
    """Return padded sequences of unequal lengths."""
    pad = int(FAMILIES[family][1].get("pad_token_id", 0))
    mask = torch.tensor([[1] * length + [0] * (max(LENGTHS) - length) for length in LENGTHS])
    ids = torch.arange(mask.numel()).view_as(mask) * 31 % 45 + 3
    return {"input_ids": torch.where(mask.bool(), ids, pad), "attention_mask": mask}


def mean_square(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """A loss that looks at every real position."""
    kept = logits if logits.dim() == 2 else logits[batch["attention_mask"].bool()]
    return (kept - torch.linspace(-1, 1, kept.numel()).view_as(kept)).square().mean()


def train(
    model: nn.Module, tuning: Tuning, batch: dict[str, Tensor], steps: int = 2, rate: float = 1e-2
) -> list[float]:
    """Make a few AdamW steps as the loop makes them, the strategy's own doings included; returns the losses."""
    optimizer = torch.optim.AdamW([tensor for tensor in model.parameters() if tensor.requires_grad], lr=rate)
    losses = []
    model.train()
    for step in range(steps):
        loss = mean_square(model(**batch).logits, batch)
        penalty = tuning.penalty(model)
        (loss if penalty is None else loss + penalty).backward()
        optimizer.step()
        tuning.after_step(model, step + 1, steps)
        optimizer.zero_grad()
        losses.append(float(loss.detach()))  # the penalty aside
    model.eval()
    return losses


def answers(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Return the logits at real positions."""
    with torch.no_grad():
        logits = model.eval()(**batch).logits
    return logits if logits.dim() == 2 else logits[batch["attention_mask"].bool()]


def loop_gradients(model: nn.Module, batch: dict[str, Tensor], tuning: Tuning, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the gradients as the training loop computes them: packed, flat, in place, products in a type."""
    packed = pack_model(model)
    if dtype != torch.float32 and packed.packed:
        packed.stream_dtype = dtype
    anatomy = find_anatomy(model)
    named, keys = group_parameters(model, tuning.learning_rate_scales(model, anatomy))
    flat = FlatParameters(named, keys, shadow_dtype=dtype if dtype != torch.float32 else None)
    compute = Compute(model, flat, [block.path for block in anatomy.blocks], dtype=dtype)
    fuse_updates(model, [block.path for block in anatomy.blocks], compute, None)
    flat.begin_step(compute.direct)
    packed.prepare(batch["attention_mask"])
    mean_square(model(**batch).logits.float(), batch).backward()
    flat.end_step()
    return {name: flat.gradient(slot).clone() for name, slot in flat.slots.items()}
