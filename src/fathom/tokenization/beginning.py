"""The token with which a decoder's texts begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def beginning_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the token that a tokenizer puts before a text and nothing behind it, as Llama's and Gemma's do.

    Empty for a tokenizer that adds nothing (GPT-2's, Qwen's), or puts a text between two tokens (BERT's).
    """
    begin = tokenizer.bos_token_id
    ids = tokenizer("a")["input_ids"]
    if begin is None or not ids or ids[0] != begin:
        return []
    return [] if ids[-1] in {tokenizer.eos_token_id, tokenizer.sep_token_id} else [int(begin)]
