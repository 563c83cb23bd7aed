"""The families a new model can be of: how depth sizes them and how transformers names their sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fathom.model.sizes import Dial, Sizes


@dataclass(frozen=True)
class Vocabulary:
    """What a model has to know of its tokenizer."""

    size: int
    """Rows of the embedding table: the highest id and one."""
    pad: int | None = None
    start: int | None = None
    """The token that begins a sequence: bos, or cls."""
    end: int | None = None
    """The token that ends a sequence: eos, or sep."""
    separator: int | None = None
    """The token between the parts of a sequence: sep, or eos."""


Keys = Callable[[Sizes, Vocabulary], dict[str, Any]]


@dataclass(frozen=True)
class Architecture:
    """One family."""

    dial: Dial
    learning_rate: float
    """Peak rate of AdamW for pretraining at width 768."""
    source: str
    """Where sizes, initialisation and rate come from."""
    keys: Keys
    """Config keys of a model of these sizes."""
    auto_class: str
    """Auto class of the model as it is pretrained."""
    needs: tuple[str, ...] = ()
    """Special tokens without which the family cannot run."""
    reads_text: bool = True
    model_type: str | None = None
    """What transformers calls the family; None for the name in the table."""


def _standard(sizes: Sizes) -> dict[str, Any]:
    return {
        "hidden_size": sizes.width,
        "num_hidden_layers": sizes.depth,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.feed_forward,
    }


def _text(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary.size,
        "pad_token_id": vocabulary.pad,
        "bos_token_id": vocabulary.start,
        "eos_token_id": vocabulary.end,
    }


def _bert(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    return {**_standard(sizes), **_text(sizes, vocabulary), "max_position_embeddings": sizes.positions}


def _roberta(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    # fairseq counts positions from the one after the padding id, and transformers with it
    rows = (sizes.positions or 0) + (vocabulary.pad or 0) + 1
    more = {"max_position_embeddings": rows, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    return {**_standard(sizes), **_text(sizes, vocabulary), **more}


def _modernbert(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    ends = {"cls_token_id": vocabulary.start, "sep_token_id": vocabulary.separator}
    return {**_bert(sizes, vocabulary), **ends}


def _gpt2(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        **_text(sizes, vocabulary),
        "n_embd": sizes.width,
        "n_layer": sizes.depth,
        "n_head": sizes.heads,
        "n_inner": sizes.feed_forward,
        "n_positions": sizes.positions,
    }


def _llama(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    more = {
        "num_key_value_heads": sizes.key_value_heads,
        "tie_word_embeddings": sizes.width < UNTIED_WIDTH,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
        "rms_norm_eps": 1e-5,
    }
    return {**_bert(sizes, vocabulary), **more}


def _qwen3(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    more = {
        "head_dim": sizes.head_width,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        "rms_norm_eps": 1e-6,
    }
    return {**_llama(sizes, vocabulary), **more}


def _t5(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        **_text(sizes, vocabulary),
        "d_model": sizes.width,
        "d_kv": sizes.head_width,
        "d_ff": sizes.feed_forward,
        "num_layers": sizes.depth,
        "num_decoder_layers": sizes.depth,
        "num_heads": sizes.heads,
        "decoder_start_token_id": vocabulary.pad,
    }


def _two_stacks(sizes: Sizes) -> dict[str, Any]:
    stacks = {
        f"{stack}_{key}": value
        for stack in ("encoder", "decoder")
        for key, value in (
            ("layers", sizes.depth),
            ("ffn_dim", sizes.feed_forward),
            ("attention_heads", sizes.heads),
        )
    }
    return {"d_model": sizes.width, **stacks}


def _bart(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    more = {
        "max_position_embeddings": sizes.positions,
        "decoder_start_token_id": vocabulary.end,
        "forced_eos_token_id": vocabulary.end,
    }
    return {**_text(sizes, vocabulary), **_two_stacks(sizes), **more}


def _whisper(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    known = {**_text(sizes, vocabulary), "decoder_start_token_id": vocabulary.start} if vocabulary.size else {}
    # what is suppressed are tokens of the published vocabulary
    return {**_two_stacks(sizes), **known, "max_source_positions": sizes.positions, "begin_suppress_tokens": None}


def _vit(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    return _standard(sizes)


def _ast(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    return {**_standard(sizes), "max_length": sizes.positions}


def _wav2vec2(sizes: Sizes, vocabulary: Vocabulary) -> dict[str, Any]:
    # layer norms, as the larger models have them: a sound's answer then does not depend on what it is padded to
    more = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_dim": [min(512, sizes.width)] * 7}
    known = {} if not vocabulary.size else {"vocab_size": vocabulary.size, "pad_token_id": vocabulary.pad}
    groups = next(number for number in (16, 8, 4, 2, 1) if sizes.width % number == 0)
    return {**_standard(sizes), **more, **known, "num_conv_pos_embedding_groups": groups}


UNTIED_WIDTH = 4096
"""Decoders at least so wide have an output table of their own: Llama 3 and Qwen3 tie up to 3072 and not at 4096."""

_MASKED, _CAUSAL, _TO_TEXT = "AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"

ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Architecture(
        Dial("classic", 4, 512),
        3e-4,
        "arXiv 1810.04805; rate between ELECTRA-base's 2e-4 and RoBERTa-base's 6e-4, which are for larger batches",
        _bert,
        _MASKED,
    ),
    "roberta": Architecture(
        Dial("classic", 4, 512), 3e-4, "arXiv 1907.11692; rate as for bert", _roberta, _MASKED, needs=("pad",)
    ),
    "modernbert": Architecture(Dial("slender", 1.5, 1024, rotary=True), 8e-4, "arXiv 2412.13663", _modernbert, _MASKED),
    "gpt2": Architecture(
        Dial("classic", 4, 1024), 6e-4, "Radford et al. 2019; rate of GPT-3 125M, arXiv 2005.14165", _gpt2, _CAUSAL
    ),
    "llama": Architecture(
        Dial("constant", 8 / 3, 2048, query_heads=1, rotary=True),
        6e-4,
        "arXiv 2302.13971; rate as for gpt2",
        _llama,
        _CAUSAL,
    ),
    "qwen3": Architecture(
        Dial("constant", 3, 2048, query_heads=2, rotary=True, free_head_width=True),
        6e-4,
        "arXiv 2505.09388; rate as for gpt2",
        _qwen3,
        _CAUSAL,
    ),
    "t5": Architecture(
        Dial("classic", 4, None, free_head_width=True),
        6e-4,
        "arXiv 1910.10683; its rate is Adafactor's, this one is as for gpt2",
        _t5,
        _TO_TEXT,
        needs=("pad", "end"),
    ),
    "bart": Architecture(
        Dial("classic", 4, 1024), 3e-4, "arXiv 1910.13461; rate as for bert", _bart, _TO_TEXT, needs=("pad", "end")
    ),
    "vit": Architecture(
        Dial("classic", 4, None),
        1e-3,
        "arXiv 2010.11929; rate of DeiT, arXiv 2012.12877",
        _vit,
        "AutoModelForImageClassification",
        reads_text=False,
        model_type="vit",
    ),
    "ast": Architecture(
        Dial("classic", 4, 1024),
        5e-4,
        "arXiv 2104.01778; rate between its 1e-5 of fine-tuning and DeiT's, from which it starts",
        _ast,
        "AutoModelForAudioClassification",
        reads_text=False,
        model_type="audio-spectrogram-transformer",
    ),
    "wav2vec2": Architecture(
        Dial("classic", 4, None),
        5e-4,
        "arXiv 2006.11477",
        _wav2vec2,
        "AutoModelForAudioClassification",
        reads_text=False,
        model_type="wav2vec2",
    ),
    "whisper": Architecture(
        Dial("classic", 4, 1500),
        5e-4,
        "arXiv 2212.04356; rate of its small model",
        _whisper,
        "AutoModelForSpeechSeq2Seq",
        reads_text=False,
    ),
}
