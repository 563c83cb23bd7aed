"""What a model's class never trains stays as it is, however the model was made: sinusoids of four families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

import fathom
from fathom.config import validate
from fathom.model.anatomy import find_anatomy
from fathom.model.fixed import fixed_parameters
from fathom.model.ledger import build_ledger
from fathom.model.load import build_on_meta, load_config, load_model
from fathom.model.memory import MicroBatch
from fathom.recipe import Recipe
from fathom.runs.inspect import inspect
from fathom.tuning.trial import try_on_meta
from languages_for_tests import SIZE, make_tokenizer
from strategies_for_tests import make_tuning

SPECIAL = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 5, "forced_eos_token_id": None}
TWO_STACKS = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "decoder_start_token_id": 0, "vocab_size": SIZE, **SPECIAL,
}  # fmt: skip
POSITIONS = {"max_position_embeddings": 64}
BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "vocab_size": SIZE,
}
WHISPER = {"max_source_positions": 50, "max_target_positions": 32, "begin_suppress_tokens": None}
TABLES = ["model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"]
FAMILIES: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "Marian": ("MarianMTModel", "AutoModelForSeq2SeqLM", {**TWO_STACKS, **POSITIONS}, TABLES),
    "Pegasus": ("PegasusForConditionalGeneration", "AutoModelForSeq2SeqLM", {**TWO_STACKS, **POSITIONS}, TABLES),
    "RoFormer": (
        "RoFormerForSequenceClassification",
        "AutoModelForSequenceClassification",
        {**BERT, **POSITIONS},
        ["roformer.encoder.embed_positions.weight"],
    ),
    "Whisper": ("WhisperForConditionalGeneration", "AutoModelForSpeechSeq2Seq", {**TWO_STACKS, **WHISPER}, TABLES[:1]),
}
EVERYTHING = ("full", "layerwise", "gradual-unfreezing", "auto-freezing")


def save(family: str, folder: Path) -> nn.Module:
    """Save a tiny model with a tokenizer and return it, as its class made it."""
    name, _, options, _ = FAMILIES[family]
    torch.manual_seed(0)
    model: nn.Module = getattr(transformers, name)(getattr(transformers, f"{family}Config")(**options))
    model.save_pretrained(folder)  # type: ignore[operator]
    make_tokenizer().save_pretrained(folder)
    return model


def learning(model: nn.Module) -> set[str]:
    return {name for name, tensor in model.named_parameters() if tensor.requires_grad}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_class_keeps_fixed_learns_under_no_strategy(family: str, tmp_path: Path) -> None:
    made = save(family, tmp_path)
    auto_class, tables = FAMILIES[family][1], FAMILIES[family][3]
    assert {name for name, _ in made.named_parameters()} - learning(made) == set(tables)
    config = load_config(str(tmp_path), {})
    for kind in EVERYTHING:
        loaded = load_model(str(tmp_path), auto_class, {}, seed=1)
        assert {id(loaded.get_parameter(name)) for name in tables} == fixed_parameters(loaded)
        tuned = make_tuning(kind).apply(loaded, find_anatomy(loaded))
        assert learning(tuned) == learning(made)
        ledger = build_ledger(
            try_on_meta(make_tuning(kind), build_on_meta(config, auto_class)), MicroBatch.uniform(2, 8)
        )
        numbers = sum(tensor.numel() for tensor in tuned.parameters() if tensor.requires_grad)
        assert ledger.trainable == numbers
    again = make_tuning("full").apply(tuned, find_anatomy(tuned))
    assert learning(again) == learning(made), "nor under one applied after another"
    assert inspect(str(tmp_path), precision="fp32").ledger.trainable == numbers


def test_a_model_without_any_has_none() -> None:
    model = transformers.BertModel(transformers.BertConfig(**BERT))
    model.embeddings.requires_grad_(False)  # a user's own choice is not the class's
    assert fixed_parameters(model) == set()


@pytest.mark.parametrize("family", ["Marian", "Pegasus"])
def test_a_run_leaves_the_tables_alone(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    made = save(family, tmp_path / "base")
    rows = [{"source": f"w{row} w{row + 1}", "target": f"w{row + 2}"} for row in range(12)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    raw = {
        "model": str(tmp_path / "base"),
        "data": {"train": str(tmp_path / "train.jsonl"), "validation_fraction": 0},
        "task": {"kind": "translation", "max_target_length": 8, "generated_examples": 0},
        "training": {"max_steps": 3, "batch_size": 4, "learning_rate": 0.05, "weight_decay": 0.5, "precision": "fp32"},
        "output": str(tmp_path / "run"),
    }
    result = fathom.train(validate(Recipe, raw))
    assert result.metrics["reload_difference"] < 1e-4
    measured = result.metrics["parameters"]
    tables = sum(made.get_parameter(name).numel() for name in TABLES)
    assert measured["total"] - measured["trainable"] == tables
    assert result.metrics["forecast"]["trainable"] == measured["trainable"]
    trained = load_model(str(result.folder / "model"), "AutoModelForSeq2SeqLM", {}, seed=1)
    for name, tensor in made.named_parameters():
        assert torch.equal(trained.get_parameter(name), tensor) == (name in TABLES), name
