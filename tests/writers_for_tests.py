"""Tiny models that write, of random weights, with a byte-level tokenizer: nothing they say makes sense."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
import transformers

from fathom import catalog
from fathom.model.anatomy import find_anatomy
from fathom.model.load import load_model
from fathom.model.save import save_model
from fathom.serving.generate.generator import Generator
from tokenizers_for_tests import tokenizer_of

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
GROUPED = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 96}
STACKS = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 96,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 3,
}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96}),
    "llama": ("LlamaConfig", "LlamaForCausalLM", GROUPED),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", {**GROUPED, "head_dim": 8}),
    "gpt-neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", {**SIZES, "max_position_embeddings": 96}),
    "opt": (
        "OPTConfig",
        "OPTForCausalLM",
        {**SIZES, "ffn_dim": 64, "word_embed_proj_dim": 32, "max_position_embeddings": 96},
    ),
    "mistral": ("MistralConfig", "MistralForCausalLM", {**GROUPED, "sliding_window": 6}),
    "gemma2": (
        "Gemma2Config",
        "Gemma2ForCausalLM",
        {**GROUPED, "head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8},
    ),
    "bloom": ("BloomConfig", "BloomForCausalLM", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "openai-gpt": (
        "OpenAIGPTConfig",
        "OpenAIGPTLMHeadModel",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96},
    ),
    "t5": (
        "T5Config",
        "T5ForConditionalGeneration",
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    ),
    "bart": ("BartConfig", "BartForConditionalGeneration", STACKS),
}
PROMPTS = [
    "Smith visited Berlin in May 2021, and O'Neill said that it was unbelievable",
    "北京 大学",
    "a",
    "the e-mail of ACME-Corp. 😀",
]


def make_model(family: str, seed: int = 0, spread: float = 0.4) -> Any:
    """Build a model of random weights, wide enough that it does not repeat one token for ever."""
    config_name, model_name, options = FAMILIES[family]
    tokenizer = tokenizer_of("byte-level")
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "vocab_size": len(tokenizer)}
    config = getattr(transformers, config_name)(**{**special, **options})
    torch.manual_seed(seed)
    model = getattr(transformers, model_name)(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, spread, generator=generator)
    return model


def make_tokenizer() -> Any:
    """Return a tokenizer of the test's own, to be changed at will."""
    return copy.deepcopy(tokenizer_of("byte-level"))


def make_generator(family: str = "llama", seed: int = 0, **options: Any) -> Generator:
    """Return a generator round a tiny model."""
    return Generator(make_model(family, seed), make_tokenizer(), **options)


def save_plain(folder: Path, family: str = "llama", seed: int = 0) -> Path:
    """Save a plain Hugging Face folder."""
    make_model(family, seed).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def save_adapter_writer(folder: Path, base: Path, seed: int) -> Path:
    """Save a LoRA adapter of random numbers for the model of a plain folder."""
    model = load_model(str(base), "AutoModelForCausalLM", {}, seed=0)
    tuned = catalog.load("tuning", "lora")().apply(model, find_anatomy(model))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(0, 0.3, generator=generator)
    save_model(
        tuned, make_tokenizer(), folder, {"task": {"kind": "causal-lm"}, "base_model": str(base), "max_length": 96}
    )
    return folder
