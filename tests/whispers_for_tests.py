"""Tiny Whispers of random weights: of one language, and of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import WhisperForConditionalGeneration, WhisperProcessor, WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from fathom.model.new import NewModel
from fathom.model.processors import new_feature_extractor
from fathom.tokenization.whisper import BEFORE, END, START, UNTIMED, byte_tokenizer

NEW = "{kind: new, architecture: whisper, depth: 1, width: 32, heads: 2, positions: 50}"
"""It hears one second."""


def language_tokenizer() -> WhisperTokenizer:
    """A tokenizer of bytes with the tokens of languages and tasks, in the order of the published ones."""
    languages = [f"<|{code}|>" for code in LANGUAGES]
    special = [END, START, *languages, "<|translate|>", "<|transcribe|>", BEFORE, UNTIMED]
    vocabulary = {token: number for number, token in enumerate([*sorted(ByteLevel.alphabet()), *special])}
    return WhisperTokenizer(vocab=vocabulary, merges=[], pad_token=END, extra_special_tokens=special[1:])


def make_whisper(tokenizer: WhisperTokenizer, seed: int = 0, spread: float = 0.3) -> Any:
    """A model of random weights, wide enough that it does not repeat one token for ever."""
    known = {
        "vocab_size": len(tokenizer),
        **{f"{name}_token_id": tokenizer.eos_token_id for name in ("pad", "bos", "eos")},
        "decoder_start_token_id": tokenizer.convert_tokens_to_ids(START),
        "max_target_positions": 64,
    }
    config: Any = NewModel(architecture="whisper", depth=2, width=32, heads=2, positions=50).read_config(None, known)
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embed_positions" not in name:
                parameter.normal_(0, spread, generator=generator)
    return model


def save_whisper(folder: Path, *, languages: bool = True) -> Path:
    """Save a folder as Whisper's publishers do."""
    tokenizer = language_tokenizer() if languages else byte_tokenizer()
    model = make_whisper(tokenizer)
    model.save_pretrained(folder)
    WhisperProcessor(new_feature_extractor(model.config, ()), tokenizer).save_pretrained(folder)
    return folder
