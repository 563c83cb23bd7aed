"""Configs of well-known models, from their papers and published folders; nothing is downloaded.

Each is a plain mapping of the keys in which a model differs from its family's defaults in transformers, plus the
number of parameters its publishers' weights have, which a test compares with the model built from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """One architecture by name."""

    model_type: str
    """The transformers family."""
    auto_class: str
    """Auto class of the model the parameters are counted on."""
    parameters: int
    """Parameters of that model, shared ones once."""
    hub: str | None
    """Where its weights are published."""
    source: str
    """Where the numbers come from."""
    values: Mapping[str, Any]
    """Config keys."""


def _bert(width: int, depth: int, heads: int, vocabulary: int = 30522) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
    }


def _roberta(width: int, depth: int, heads: int, vocabulary: int) -> dict[str, Any]:
    return {
        **_bert(width, depth, heads, vocabulary),
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "eos_token_id": 2,
    }


def _gpt2(width: int, depth: int, heads: int) -> dict[str, Any]:
    return {"vocab_size": 50257, "n_positions": 1024, "n_embd": width, "n_layer": depth, "n_head": heads}


def _llama(width: int, depth: int, heads: int, feed_forward: int) -> dict[str, Any]:
    return {
        "vocab_size": 128256,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "intermediate_size": feed_forward,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
        "tie_word_embeddings": False,
    }


def _qwen3(width: int, depth: int, heads: int, feed_forward: int, tied: bool) -> dict[str, Any]:
    return {
        "vocab_size": 151936,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": feed_forward,
        "max_position_embeddings": 40960,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        "tie_word_embeddings": tied,
    }


def _t5(width: int, depth: int, heads: int, feed_forward: int, head_width: int = 64) -> dict[str, Any]:
    return {
        "vocab_size": 32128,
        "d_model": width,
        "d_kv": head_width,
        "d_ff": feed_forward,
        "num_layers": depth,
        "num_decoder_layers": depth,
        "num_heads": heads,
        "decoder_start_token_id": 0,
    }


def _whisper(width: int, depth: int, heads: int) -> dict[str, Any]:
    return {
        "vocab_size": 51865,
        "num_mel_bins": 80,
        "d_model": width,
        "encoder_layers": depth,
        "decoder_layers": depth,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
        "max_source_positions": 1500,
        "max_target_positions": 448,
    }


_CAUSAL = "AutoModelForCausalLM"
_SEQ2SEQ = "AutoModelForSeq2SeqLM"
_SPEECH = "AutoModelForSpeechSeq2Seq"
_BERT_PAPER = "arXiv 1810.04805"
_ROBERTA_PAPER = "arXiv 1907.11692"
_GPT2_PAPER = "Radford et al. 2019"
_LLAMA_PAPER = "arXiv 2407.21783"
_QWEN3_PAPER = "arXiv 2505.09388"
_T5_PAPER = "arXiv 1910.10683"
_VIT_PAPER = "arXiv 2010.11929"
_WHISPER_PAPER = "arXiv 2212.04356"
_DISTILBERT = {"vocab_size": 30522, "dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072}
_MODERNBERT = {
    "vocab_size": 50368,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "max_position_embeddings": 8192,
    "global_attn_every_n_layers": 3,
    "local_attention": 128,
}
_VIT = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "image_size": 224,
    "patch_size": 16,
}

PRESETS: Mapping[str, Preset] = {
    "bert-base": Preset(
        "bert", "AutoModel", 109_482_240, "google-bert/bert-base-uncased", _BERT_PAPER, _bert(768, 12, 12)
    ),
    "bert-large": Preset(
        "bert", "AutoModel", 335_141_888, "google-bert/bert-large-uncased", _BERT_PAPER, _bert(1024, 24, 16)
    ),
    "bert-base-chinese": Preset(
        "bert", "AutoModel", 102_267_648, "google-bert/bert-base-chinese", _BERT_PAPER, _bert(768, 12, 12, 21128)
    ),
    "minilm": Preset(
        "bert",
        "AutoModel",
        22_713_216,
        "sentence-transformers/all-MiniLM-L6-v2",
        "arXiv 2002.10957",
        _bert(384, 6, 12),
    ),
    "roberta-base": Preset(
        "roberta",
        "AutoModel",
        124_645_632,
        "FacebookAI/roberta-base",
        _ROBERTA_PAPER,
        _roberta(768, 12, 12, 50265),
    ),
    "roberta-large": Preset(
        "roberta",
        "AutoModel",
        355_359_744,
        "FacebookAI/roberta-large",
        _ROBERTA_PAPER,
        _roberta(1024, 24, 16, 50265),
    ),
    "xlm-roberta-base": Preset(
        "xlm-roberta",
        "AutoModel",
        278_043_648,
        "FacebookAI/xlm-roberta-base",
        "arXiv 1911.02116",
        _roberta(768, 12, 12, 250002),
    ),
    "distilbert": Preset(
        "distilbert",
        "AutoModel",
        66_362_880,
        "distilbert/distilbert-base-uncased",
        "arXiv 1910.01108",
        _DISTILBERT,
    ),
    "modernbert-base": Preset(
        "modernbert",
        "AutoModel",
        149_014_272,
        "answerdotai/ModernBERT-base",
        "arXiv 2412.13663",
        _MODERNBERT,
    ),
    "gpt2": Preset("gpt2", _CAUSAL, 124_439_808, "openai-community/gpt2", _GPT2_PAPER, _gpt2(768, 12, 12)),
    "gpt2-medium": Preset(
        "gpt2", _CAUSAL, 354_823_168, "openai-community/gpt2-medium", _GPT2_PAPER, _gpt2(1024, 24, 16)
    ),
    "gpt2-large": Preset("gpt2", _CAUSAL, 774_030_080, "openai-community/gpt2-large", _GPT2_PAPER, _gpt2(1280, 36, 20)),
    "gpt2-xl": Preset("gpt2", _CAUSAL, 1_557_611_200, "openai-community/gpt2-xl", _GPT2_PAPER, _gpt2(1600, 48, 25)),
    "llama-3-8b": Preset(
        "llama", _CAUSAL, 8_030_261_248, "meta-llama/Meta-Llama-3-8B", _LLAMA_PAPER, _llama(4096, 32, 32, 14336)
    ),
    "llama-3-70b": Preset(
        "llama", _CAUSAL, 70_553_706_496, "meta-llama/Meta-Llama-3-70B", _LLAMA_PAPER, _llama(8192, 80, 64, 28672)
    ),
    "qwen3-0.6b": Preset(
        "qwen3", _CAUSAL, 596_049_920, "Qwen/Qwen3-0.6B", _QWEN3_PAPER, _qwen3(1024, 28, 16, 3072, True)
    ),
    "qwen3-1.7b": Preset(
        "qwen3", _CAUSAL, 1_720_574_976, "Qwen/Qwen3-1.7B", _QWEN3_PAPER, _qwen3(2048, 28, 16, 6144, True)
    ),
    "qwen3-4b": Preset(
        "qwen3", _CAUSAL, 4_022_468_096, "Qwen/Qwen3-4B", _QWEN3_PAPER, _qwen3(2560, 36, 32, 9728, True)
    ),
    "qwen3-8b": Preset(
        "qwen3", _CAUSAL, 8_190_735_360, "Qwen/Qwen3-8B", _QWEN3_PAPER, _qwen3(4096, 36, 32, 12288, False)
    ),
    "qwen3-14b": Preset(
        "qwen3", _CAUSAL, 14_768_307_200, "Qwen/Qwen3-14B", _QWEN3_PAPER, _qwen3(5120, 40, 40, 17408, False)
    ),
    "qwen3-32b": Preset(
        "qwen3", _CAUSAL, 32_762_123_264, "Qwen/Qwen3-32B", _QWEN3_PAPER, _qwen3(5120, 64, 64, 25600, False)
    ),
    "t5-small": Preset("t5", _SEQ2SEQ, 60_506_624, "google-t5/t5-small", _T5_PAPER, _t5(512, 6, 8, 2048)),
    "t5-base": Preset("t5", _SEQ2SEQ, 222_903_552, "google-t5/t5-base", _T5_PAPER, _t5(768, 12, 12, 3072)),
    "t5-large": Preset("t5", _SEQ2SEQ, 737_668_096, "google-t5/t5-large", _T5_PAPER, _t5(1024, 24, 16, 4096)),
    "t5-3b": Preset("t5", _SEQ2SEQ, 2_851_598_336, "google-t5/t5-3b", _T5_PAPER, _t5(1024, 24, 32, 16384, 128)),
    "t5-11b": Preset("t5", _SEQ2SEQ, 11_307_321_344, "google-t5/t5-11b", _T5_PAPER, _t5(1024, 24, 128, 65536, 128)),
    "vit-base": Preset("vit", "AutoModel", 86_389_248, "google/vit-base-patch16-224-in21k", _VIT_PAPER, _VIT),
    "whisper-tiny": Preset("whisper", _SPEECH, 37_760_640, "openai/whisper-tiny", _WHISPER_PAPER, _whisper(384, 4, 6)),
    "whisper-small": Preset(
        "whisper", _SPEECH, 241_734_912, "openai/whisper-small", _WHISPER_PAPER, _whisper(768, 12, 12)
    ),
    "whisper-medium": Preset(
        "whisper", _SPEECH, 763_857_920, "openai/whisper-medium", _WHISPER_PAPER, _whisper(1024, 24, 16)
    ),
}

_ALIASES = {
    "bert-base-uncased": "bert-base",
    "bert-large-uncased": "bert-large",
    "distilbert-base": "distilbert",
    "distilbert-base-uncased": "distilbert",
    "gpt2-small": "gpt2",
    "all-minilm-l6-v2": "minilm",
}


def find(name: str) -> Preset | None:
    """Return the preset of a name (case and the publisher's other spellings do not matter), or None."""
    key = name.lower()
    return PRESETS.get(_ALIASES.get(key, key))


def names() -> tuple[str, ...]:
    """Return the names of all presets."""
    return tuple(PRESETS)
