"""Small pairs of texts, and tiny models that write."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BartConfig, GPT2Config, PreTrainedTokenizerFast, T5Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM, AutoModelForSeq2SeqLM

NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
TURNED = ["uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto"]
SPECIAL = ["<pad>", "</s>", "<unk>", "<s>"]
NEWLINE = "Ċ"


def rows(count: int, start: int = 0) -> list[tuple[str, str]]:
    """Return number words and their translation, in the same order."""
    found = []
    for index in range(start, start + count):
        digits = [index % 8, (index // 8) % 8, (index * 5 + 3) % 8][: 1 + index % 3]
        found.append((" ".join(NUMBERS[d] for d in digits), " ".join(TURNED[d] for d in digits)))
    return list(dict.fromkeys(found))


def write_pairs(path: Path, count: int, start: int = 0) -> Path:
    """Write them as JSON Lines."""
    lines = [json.dumps({"source": source, "target": target}) for source, target in rows(count, start)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pair_tokenizer(ends: bool = True) -> PreTrainedTokenizerFast:
    """A word tokenizer; `ends` closes every text with `</s>`, as T5's and BART's do."""
    words = [*SPECIAL, NEWLINE, ":", "translate", *NUMBERS, *TURNED]
    backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    if ends:
        backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", bos_token="<s>"
    )


def make_writer(folder: Path, family: str = "t5") -> Path:
    """Save a tiny t5, bart or gpt2 with its tokenizer."""
    tokenizer = pair_tokenizer(ends=family != "gpt2")
    size = len(tokenizer)
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 3}
    config = {
        "t5": lambda: T5Config(
            vocab_size=size, d_model=32, d_kv=8, num_layers=2, num_heads=4, d_ff=64, dropout_rate=0.1,
            decoder_start_token_id=0, pad_token_id=0, eos_token_id=1,
        ),
        "bart": lambda: BartConfig(
            vocab_size=size, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=64,
            decoder_start_token_id=1, forced_eos_token_id=None, **ends,
        ),
        "gpt2": lambda: GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=64, **ends),
    }[family]()  # fmt: skip
    torch.manual_seed(5)
    auto = AutoModelForCausalLM if family == "gpt2" else AutoModelForSeq2SeqLM
    model = auto.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
