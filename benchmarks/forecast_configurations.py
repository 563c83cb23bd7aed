"""Random configurations of short trainings: every axis that moves memory, drawn from a seed."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.models import TOKENIZER_FILES, minilm_folder
from benchmarks.pretraining import corpus
from benchmarks.sources import fathom_data_section, find_source

ENCODERS = ("minilm", "minilm", "bert", "roberta", "modernbert")
DECODERS = ("gpt2", "llama", "qwen3")
CLASSIFIED = {
    "token-classification": ("wnut17", "uner_zh_gsdsimp", "sec_filings_ner"),
    "text-classification": ("banking77", "sentfin", "xed"),
}
STRATEGIES = (
    *("full", "full", "full", "head", "top-layers", "layers", "layerwise", "bitfit", "norms", "ia3"),
    *("lora", "lora", "dora", "adalora", "vera", "adapter", "prompt", "p-tuning", "prefix"),
    *("qlora", "ladder", "random-mask", "diff-pruning", "gradual-unfreezing", "auto-freezing"),
)
"""Full tuning is drawn more often, as it is used more often."""
CACHED = ("head", "top-layers", "layers")
"""Strategies whose lowest blocks may be read from the cache."""
LANGUAGE_STRATEGIES = ("full", "full", "top-layers", "lora", "dora", "vera", "adapter", "ia3", "norms")
"""Those that fit a head over the vocabulary."""
OPTIMIZERS = (
    *("adamw", "adamw", "adamw", "adam", "adam-8bit", "adafactor", "lion", "muon", "sgd", "adagrad", "rmsprop"),
)
MOST_TOKENS = 2500
"""Of one step: the runs are many, and the largest of them tell the least for their time."""
STEPS = 60
"""Of a run: enough for its time to enter the history that calibrates a machine."""
TRAINED, VALIDATED = 2000, 64
"""Rows of the splits."""
NEVER = 1_000_000_000
MEAN_LENGTH = {"sec_filings_ner": 50, "uner_zh_gsdsimp": 40}
"""Tokens of a sequence, about; others have half as many."""


@dataclass(frozen=True)
class Configuration:
    """One short training."""

    name: str
    task: str
    model: str
    data: str
    tuning: str
    optimizer: str
    precision: str
    checkpointing: bool
    batch_size: int
    max_length: int
    micro_batch_tokens: int | None
    frozen_cache: str
    depth: int = 0
    """Of a model with random weights; 0 for the packaged one."""
    width: int = 0


def draw(seed: int, number: int) -> Configuration:
    """Return configuration `number` of a seed; the same on every machine."""
    chance = random.Random(f"forecast {seed} {number}")
    task = chance.choice(["token-classification"] * 4 + ["text-classification"] * 4 + ["masked-lm", "causal-lm"] * 2)
    language = task not in CLASSIFIED
    decoder = task == "causal-lm" or (not language and chance.random() < 0.15)
    model = chance.choice(DECODERS if decoder else ENCODERS)
    data = "tinyshakespeare" if language else chance.choice(CLASSIFIED[task])
    length = chance.choice((64, 128, 256)) if language else chance.choice((32, 64, 128, 512))
    mean = length if language else min(length, MEAN_LENGTH.get(data, 25))
    sizes = [
        size for size in ((2, 4, 8, 16, 32) if language else (4, 8, 16, 32, 64, 128)) if size * mean <= MOST_TOKENS
    ]
    tuning = chance.choice(LANGUAGE_STRATEGIES if language else STRATEGIES)
    return Configuration(
        name=f"{seed}-{number:02d}",
        task=task,
        model=model,
        data=data,
        tuning=tuning,
        optimizer=chance.choice(OPTIMIZERS),
        precision=chance.choice(("auto", "auto", "fp32")),
        checkpointing=chance.random() < 0.2,
        batch_size=chance.choice(sizes),
        max_length=length,
        micro_batch_tokens=chance.choice((None, None, None, 1024)),
        frozen_cache=chance.choice(("auto", "float32")) if tuning in CACHED and not language else "auto",
        depth=0 if model == "minilm" else chance.choice((2, 4, 6)),
        width=0 if model == "minilm" else chance.choice((128, 256, 384, 512)),
    )


def make_recipe(configuration: Configuration, output: Path, work: Path, threads: int) -> dict[str, Any]:
    """Return the recipe of `STEPS` steps."""
    task: dict[str, Any] = {"kind": configuration.task}
    training: dict[str, Any] = {
        "max_steps": STEPS,
        "batch_size": configuration.batch_size,
        "optimizer": configuration.optimizer,
        "precision": configuration.precision,
        "activation_checkpointing": configuration.checkpointing,
        "frozen_cache": configuration.frozen_cache,
        "save_steps": NEVER,
        "load_best_model_at_end": False,
        "evaluate_before": False,
        "verify_reload": False,
        "threads": threads,
    }
    if configuration.micro_batch_tokens is not None:
        training["micro_batch_tokens"] = configuration.micro_batch_tokens
    if configuration.task in CLASSIFIED:
        source = find_source(configuration.data)
        section = fathom_data_section(source, work)
        section |= {"train": f"{section['train']}#{TRAINED}", "validation": f"{section['validation']}#{VALIDATED}"}
        task |= dict(source.task_options)
    else:
        files = corpus(work)
        section = {"train": str(files["train"]), "validation": str(_beginning(files["validation"]))}
    return {
        "model": {"name": model_name(configuration, work)},
        "data": {**section, "max_length": configuration.max_length},
        "task": task,
        "tuning": {"kind": "layers", "layers": [-1]} if configuration.tuning == "layers" else configuration.tuning,
        "training": training,
        "output": str(output),
    }


def model_name(configuration: Configuration, work: Path) -> str:
    """Return the packaged model's name, or a folder made once: a family of a size, random weights, a real tokenizer."""
    if not configuration.depth:
        return configuration.model
    width, depth = configuration.width, configuration.depth
    folder = work / f"forecast-{configuration.model}-{depth}x{width}"
    if (folder / "model.safetensors").is_file():
        return str(folder)
    import torch
    from transformers import AutoConfig, AutoModel

    heads = width // 64
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "max_position_embeddings": 514,
    }
    if configuration.model == "gpt2":
        sizes = {"n_embd": width, "n_layer": depth, "n_head": heads, "n_positions": 512}
    elif configuration.model in DECODERS:
        sizes |= {"num_key_value_heads": heads, "head_dim": 64, "intermediate_size": 3 * width}
    config = AutoConfig.for_model(
        configuration.model, vocab_size=30522, pad_token_id=0, bos_token_id=101, eos_token_id=102, **sizes
    )
    torch.manual_seed(0)
    temporary = folder.with_name(f"{folder.name}.partial-{configuration.name}")
    AutoModel.from_config(config).save_pretrained(temporary)
    for name in TOKENIZER_FILES:
        shutil.copy(minilm_folder() / name, temporary / name)
    temporary.replace(folder)
    return str(folder)


def _beginning(path: Path, characters: int = 20_000) -> Path:
    short = path.with_name(f"{path.stem}-short.txt")
    if not short.is_file():
        short.write_text(path.read_text(encoding="utf-8")[:characters], encoding="utf-8")
    return short
