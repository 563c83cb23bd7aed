"""Tiny models in published folders, for tests of what writes and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor

from fathom import catalog
from fathom.config import validate
from fathom.data.batch import collate, model_inputs
from fathom.model.anatomy import find_anatomy
from fathom.model.load import load_model
from fathom.model.save import save_model
from fathom.tasks.base import OpenTask
from tokenizers_for_tests import tokenizer_of

TEXTS = ["the Dr. said", "Smith visited Berlin in May", "a", "O'Neill said that unbelievable 北京 大学 上海"]
SPANS = [
    {"text": "Smith visited Berlin", "words": [(0, 5), (6, 13), (14, 20)], "tags": ["B-person", "O", "B-place"]},
    {"text": "in May", "words": [(0, 2), (3, 6)], "tags": ["O", "O"]},
]
BERT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
DISTILBERT = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
LLAMA = {**BERT, "num_key_value_heads": 1, "max_position_embeddings": 64}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertConfig", "BertModel", BERT),
    "roberta": ("RobertaConfig", "RobertaModel", BERT),
    "distilbert": ("DistilBertConfig", "DistilBertModel", DISTILBERT),
    "gpt2": ("GPT2Config", "GPT2Model", GPT2),
    "llama": ("LlamaConfig", "LlamaModel", LLAMA),
    "modernbert": ("ModernBertConfig", "ModernBertModel", {**BERT, "global_attn_every_n_layers": 2}),
}


class Saved(NamedTuple):
    """A model folder, and what the model answered before it was saved."""

    folder: Path
    auto_class: str
    inputs: dict[str, Tensor]
    logits: Tensor
    predictions: list[dict[str, Any]]
    base: Path


def make_base(folder: Path, family: str = "bert", seed: int = 0) -> Path:
    """Save a tiny body of random weights with a tokenizer."""
    config_class, model_class, options = FAMILIES[family]
    tokenizer = tokenizer_of("bpe")
    torch.manual_seed(seed)
    config = vars_of(config_class)(**options, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    vars_of(model_class)(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def vars_of(name: str) -> Any:
    """Return a class of transformers by name."""
    return getattr(transformers, name)


def make_task(kind: str) -> OpenTask:
    """Open a task on a handful of examples."""
    tokenizer = tokenizer_of("bpe")
    part = catalog.load("task", kind)()
    if kind == "token-classification":
        return part.open([{**example, "where": "t:1"} for example in SPANS], tokenizer, 24)
    labels = ["pet", "person", "pet", "other"]
    examples = [{"text": t, "label": k, "where": "t:1"} for t, k in zip(TEXTS, labels, strict=True)]
    return part.open(examples, tokenizer, 24)


def make_saved(
    root: Path, tuning: str = "full", kind: str = "text-classification", family: str = "bert", **options: Any
) -> Saved:
    """Tune a tiny model by two steps, record its answers, and save it."""
    base = make_base(root / "base", family)
    task = make_task(kind)
    model = load_model(str(base), task.auto_class, task.config_overrides, seed=1)
    strategy = validate(catalog.load("tuning", tuning), {"kind": tuning, **options})
    tuned: Any = strategy.apply(model, find_anatomy(model))
    examples = [{"text": text, "where": "t"} for text in TEXTS]
    features = task.encode(examples)
    batch = collate(features, tokenizer_of("bpe").pad_token_id)
    inputs = model_inputs(batch)
    learning = [tensor for tensor in tuned.parameters() if tensor.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=2e-2)
    for _ in range(2):
        tuned.train()(**inputs).logits.float().square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        logits = tuned.eval()(**inputs).logits
    raw = task.raw_predictions(logits, batch)
    predictions = [task.decode(e, [f], [r]) for e, f, r in zip(examples, features, raw, strict=True)]
    info = {
        "task": task.state(),
        "base_model": str(base),
        "auto_class": task.auto_class,
        "max_length": task.max_length,
        "recipe_digest": "0" * 64,
        "data_digests": {"train.csv": "1" * 64},
        "metrics": {"test": {"accuracy": 0.5}},
        "lineage": [{"step": "train"}],
    }
    save_model(tuned, tokenizer_of("bpe"), root / "model", info)
    return Saved(root / "model", task.auto_class, inputs, logits, predictions, base)
