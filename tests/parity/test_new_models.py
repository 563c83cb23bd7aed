"""Every architecture: built, counted by hand, drawn as published, run, saved, and loaded by transformers alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from fathom.model.architectures import ARCHITECTURES, Vocabulary
from fathom.model.ledger import build_ledger
from fathom.model.load import build_on_meta, draw_model, model_class
from fathom.model.memory import MicroBatch
from fathom.model.new import NewModel, build_config
from fathom.model.sizes import Sizes

WORDS = Vocabulary(300, pad=1, start=0, end=2, separator=2)
SOUND = ("ast", "wav2vec2", "whisper")
"""They have a convolutional front of their own; `tests/unit/runs/test_sounds.py` trains them."""
COUNTED = [name for name in ARCHITECTURES if name not in SOUND]
every = pytest.mark.parametrize("architecture", COUNTED)


def config_of(architecture: str, **options: Any) -> tuple[NewModel, Any]:
    if architecture == "vit":
        options = {"image_size": 32, "patch_size": 8, **options}
    if architecture == "whisper":
        options = {"positions": 50, **options}
    new = NewModel.model_validate({"architecture": architecture, "depth": 2, "width": 64, **options})
    config = build_config(new, WORDS if new.family.reads_text else None)
    return new, config


def inputs_of(architecture: str) -> dict[str, torch.Tensor]:
    if architecture == "vit":
        return {"pixel_values": torch.randn(2, 3, 32, 32)}
    ids = torch.randint(3, 300, (2, 11))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)} | (
        {"decoder_input_ids": ids[:, :5]} if architecture in ("t5", "bart") else {}
    )


def sounds_of(config: Any) -> dict[str, torch.Tensor]:
    if config.model_type == "whisper":
        spectra = torch.randn(2, config.num_mel_bins, 2 * config.max_source_positions)
        return {"input_features": spectra, "decoder_input_ids": torch.randint(3, 300, (2, 5))}
    shape = (
        (config.max_length, config.num_mel_bins) if config.model_type == "audio-spectrogram-transformer" else (8000,)
    )
    return {"input_values": torch.randn(2, *shape)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_new_model_runs_and_transformers_alone_loads_it_back(architecture: str, tmp_path: Path) -> None:
    new, config = config_of(architecture)
    model = draw_model(config, new.family.auto_class, seed=3).eval()
    inputs = sounds_of(config) if architecture in SOUND else inputs_of(architecture)
    with torch.inference_mode():
        logits = model(**inputs).logits
    assert torch.isfinite(logits).all()
    model.save_pretrained(tmp_path)
    again = getattr(transformers, new.family.auto_class).from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        assert torch.equal(again(**inputs).logits, logits)


Count = Callable[[Sizes, int], int]


def _encoder_block(s: Sizes) -> int:
    return 4 * (s.width**2 + s.width) + 2 * s.width * s.feed_forward + s.feed_forward + s.width + 4 * s.width


def _bert_like(s: Sizes, rows: int, types: int, vocabulary: int) -> int:
    tables = (vocabulary + rows + types) * s.width + 2 * s.width
    head = s.width**2 + s.width + 2 * s.width + vocabulary
    return tables + s.depth * _encoder_block(s) + head


def _rotary(s: Sizes, v: int, norms: int) -> int:
    projections = 2 * s.width * s.head_width * (s.heads + s.key_value_heads) + 3 * s.width * s.feed_forward
    return v * s.width + s.depth * (2 * s.width + projections + norms) + s.width


def _modernbert(s: Sizes, v: int) -> int:
    block = 4 * s.width**2 + 3 * s.width * s.feed_forward + 2 * s.width
    # the first block has no norm before its attention; tables, their norm, the last norm, and the head
    return v * s.width + s.width + s.depth * block - s.width + s.width + s.width**2 + s.width + v


def _t5(s: Sizes, v: int) -> int:
    inner = s.heads * s.head_width
    encoder = 4 * s.width * inner + 2 * s.width * s.feed_forward + 2 * s.width
    decoder = 8 * s.width * inner + 2 * s.width * s.feed_forward + 3 * s.width
    return v * s.width + s.depth * (encoder + decoder) + 2 * s.width + 2 * 32 * s.heads


def _bart(s: Sizes, v: int) -> int:
    block = _encoder_block(s)
    cross = 4 * (s.width**2 + s.width) + 2 * s.width
    return v * s.width + 2 * ((s.positions or 0) + 2) * s.width + 4 * s.width + s.depth * (2 * block + cross)


def _vit(s: Sizes, v: int) -> int:
    patches = (3 * 8 * 8 + 1) * s.width + s.width * (16 + 1) + s.width
    return patches + s.depth * _encoder_block(s) + 2 * s.width + 2 * s.width + 2


COUNTS: dict[str, Count] = {
    "bert": lambda s, v: _bert_like(s, s.positions or 0, 2, v),
    "roberta": lambda s, v: _bert_like(s, (s.positions or 0) + 2, 1, v),
    "gpt2": lambda s, v: (v + (s.positions or 0)) * s.width + s.depth * _encoder_block(s) + 2 * s.width,
    "llama": lambda s, v: _rotary(s, v, 0),
    "qwen3": lambda s, v: _rotary(s, v, 2 * s.head_width),
    "modernbert": _modernbert,
    "t5": _t5,
    "bart": _bart,
    "vit": _vit,
}


@every
@pytest.mark.parametrize("depth", [1, 3])
def test_parameters_by_hand_by_the_ledger_and_in_truth_are_the_same(architecture: str, depth: int) -> None:
    new, config = config_of(architecture, depth=depth, width=128, feed_forward=200)
    auto_class = new.family.auto_class
    expected = COUNTS[architecture](new.sizes(), 300)
    real = draw_model(config, auto_class, seed=0)
    assert sum(parameter.numel() for parameter in real.parameters()) == expected
    ledger = build_ledger(build_on_meta(config, auto_class), MicroBatch.uniform(2, 8))
    assert ledger.parameters == expected
    assert ledger.num_blocks == depth * (2 if architecture in ("t5", "bart") else 1)


CUT = 0.8796256610342398
"""Standard deviation of a standard normal distribution cut at two."""


def _deviations(architecture: str, s: Sizes) -> list[tuple[str, float]]:
    """What the paper draws: pattern of names to standard deviation; the first that matches counts."""
    residual = 0.02 / math.sqrt(2 * s.depth)
    table: dict[str, list[tuple[str, float]]] = {
        "bert": [("", 0.02 * CUT)],
        "gpt2": [(r"c_proj", residual), ("", 0.02)],
        "modernbert": [(r"Wo|head\.dense", residual * CUT), ("", 0.02 * CUT)],
        "t5": [
            ("shared", 1.0),
            (r"\.q\.", (s.width * s.head_width) ** -0.5),
            (r"\.[kv]\.|relative_attention_bias|\.wi", s.width**-0.5),
            (r"\.o\.", (s.heads * s.head_width) ** -0.5),
            (r"\.wo", s.feed_forward**-0.5),
        ],
    }
    return table.get(architecture, [("", 0.02)])


@every
def test_first_weights_have_the_spread_the_paper_gives(architecture: str) -> None:
    new, config = config_of(architecture, width=128, depth=3)
    model = draw_model(config, new.family.auto_class, seed=11)
    checked = 0
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        if values.dim() < 2 or values.numel() < 2000:
            continue
        rows = values[values.abs().sum(-1) > 0] if "embed" in name or "wte" in name or "shared" in name else values
        expected = next(
            wanted for pattern, wanted in _deviations(architecture, new.sizes()) if re.search(pattern, name)
        )
        assert rows.std().item() == pytest.approx(expected, rel=0.05), name
        assert abs(rows.mean().item()) < 5 * expected / math.sqrt(rows.numel()), name
        if expected in (0.02 * CUT,):
            assert rows.abs().max() <= 0.04, name
        checked += 1
    assert checked >= 6


@every
def test_biases_are_zero_and_norms_one(architecture: str) -> None:
    new, config = config_of(architecture)
    for name, parameter in draw_model(config, new.family.auto_class, seed=1).named_parameters():
        if parameter.dim() == 1:
            wanted = 0.0 if name.endswith("bias") else 1.0
            assert (parameter == wanted).all(), name


@every
def test_what_transformers_draws_as_published_is_not_drawn_again(architecture: str) -> None:
    new, config = config_of(architecture)
    ours = draw_model(config, new.family.auto_class, seed=4).state_dict()
    torch.manual_seed(4)
    theirs = model_class(config, new.family.auto_class)._from_config(config).state_dict()
    equal = all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert equal == (architecture != "bert")


def test_the_padding_row_of_bert_stays_zero() -> None:
    new, config = config_of("bert")
    table = draw_model(config, new.family.auto_class, seed=4).get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    assert (table.weight[1] == 0).all()
    assert (table.weight[2] != 0).any()
