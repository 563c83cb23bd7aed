"""A tiny BERT with numbers that no library draws, small data files, and recipes over them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from fathom.recipe import Recipe, load_recipe

THINGS = [f"thing{number}" for number in range(30)]
LABELS = {"red": "warm", "orange": "warm", "blue": "cold", "green": "cold"}
WORDS = [*THINGS, *LABELS, "the", "is", "and"]
COMPARED = ("step", "split", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "accuracy", "entity_f1")
"""Of the lines of two runs that are alike."""
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def make_model(folder: Path) -> Path:
    """Save a tiny BERT and its word tokenizer; the weights come from numpy, alike under every torch and processor."""
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*SPECIAL, *WORDS])}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **names)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    model = BertModel(config)
    generator = np.random.default_rng(3)
    for name, parameter in sorted(model.named_parameters()):
        if parameter.dim() > 1:
            values = generator.standard_normal(tuple(parameter.shape)) * (0.2 if "embeddings" in name else 0.1)
            parameter.data.copy_(torch.from_numpy(values))
    model.save_pretrained(folder)
    return folder


def sentences(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Return texts, the colour in each, and its label."""
    chance = random.Random(seed)
    found = []
    for index in range(count):
        colour = list(LABELS)[index % len(LABELS)]
        words = ["the", *chance.choices(THINGS, k=chance.randint(1, 9)), "is", colour]
        found.append((" ".join(words), colour, LABELS[colour]))
    return found


def write_rows(path: Path, problem: str, count: int, seed: int) -> Path:
    """Write a file of `single`, `multi`, `regression`, `pair` or `tags`."""
    rows = sentences(count, seed)
    if problem == "tags":
        blocks = [
            "\n".join(f"{w}\t{f'B-{label}' if w == colour else 'O'}" for w in t.split()) for t, colour, label in rows
        ]
        path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
        return path
    lines = {
        "single": [f"{text},{label}" for text, _, label in rows],
        "multi": [f"{text},{label}{'|long' * (len(text.split()) > 7)}" for text, _, label in rows],
        "regression": [f"{text},{len(text.split()) / 4}" for text, _, _ in rows],
        "pair": [f"{text},the {colour},{label}" for text, colour, label in rows],
    }[problem]
    header = "text,text_pair,label" if problem == "pair" else "text,label"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def make_recipe(model: Path, folder: Path, problem: str = "single", *edits: str) -> Recipe:
    """Write the files of a problem and return a recipe of eight short steps over them."""
    suffix = "conll" if problem == "tags" else "csv"
    train = write_rows(folder / f"train.{suffix}", problem, 48, 1)
    validation = write_rows(folder / f"validation.{suffix}", problem, 16, 2)
    task: dict[str, Any] = {"kind": "token-classification" if problem == "tags" else "text-classification"}
    if problem in ("multi", "regression"):
        task["problem"] = {"multi": "multi-label", "regression": "regression"}[problem]
    lines = [
        f"model: '{model}'",
        f"data: {{train: '{train}', validation: '{validation}', test: '{validation}', allow_leaks: true}}",
        f"task: {{{', '.join(f'{key}: {value}' for key, value in task.items())}}}",
        "training: {max_steps: 8, batch_size: 8, learning_rate: 0.003, precision: fp32, threads: 1, seed: 7,",
        "  logging_steps: 1, eval_steps: 4, verify_reload: false}",
        f"output: '{folder / 'run'}'",
    ]
    (folder / "job.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    more = ["data.label_separator=|"] if problem == "multi" else []
    return load_recipe(folder / "job.yaml", [*more, *edits])


def lines(folder: Path) -> list[dict[str, Any]]:
    """Return what a run logged, without what the clock said."""
    said = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    own = ("tokens_per_second", "seconds")
    return [{key: value for key, value in json.loads(line).items() if key not in own} for line in said]


def identical(first: Path, second: Path) -> None:
    """Both folders hold the same run, bit for bit: what was logged, the scores, the weights."""
    assert lines(first) == lines(second)
    kept, expected = (load_file(str(folder / "model" / "model.safetensors")) for folder in (first, second))
    assert kept.keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in kept.items())
    ours, theirs = (json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in (first, second))
    assert ours["validation"] == theirs["validation"] and ours["test"] == theirs["test"]


def alike(first: Path, second: Path) -> None:
    """Both folders hold the same run of an adapter, to rounding: every logged loss, norm and score, the weights."""
    ours, theirs = (
        [{key: line[key] for key in COMPARED if key in line} for line in lines(one)] for one in (first, second)
    )
    assert len(ours) == len(theirs) > 8
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            expected = pytest.approx(other[key], rel=1e-5, abs=1e-5) if isinstance(value, float) else other[key]
            assert value == expected, (key, one, other)
    kept, wanted = (load_file(str(one / "model" / "adapter_model.safetensors")) for one in (first, second))
    assert kept.keys() == wanted.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, wanted[name], atol=1e-4, rtol=1e-4, msg=name)
