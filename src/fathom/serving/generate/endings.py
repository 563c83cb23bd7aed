"""What ends a text: the model's end-of-text tokens, the end of a turn, and the user's stop strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from fathom.serving.generate.prompts import ModelFacts
from fathom.tokenization.chat import ChatTemplate

TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eot|>", "<end_of_turn>", "<|end|>", "<|endofturn|>")
"""Tokens that end an assistant's turn in the chat templates in use."""


def end_tokens(fixed: Any, tokenizer: PreTrainedTokenizerBase, facts: ModelFacts) -> frozenset[int]:
    """Return the tokens that end a text.

    Args:
        fixed: The model's `generation_config`.
        tokenizer: The tokenizer's own end-of-text token counts too, and the end of a turn in its chat template.
        facts: Tokens the model does not know are left out.
    """
    found: set[int] = set()
    named = fixed.eos_token_id
    if named is not None:
        found |= set(named) if isinstance(named, list | tuple) else {int(named)}
    if tokenizer.eos_token_id is not None:
        found.add(int(tokenizer.eos_token_id))
    template = tokenizer.chat_template
    if isinstance(template, str):
        added = tokenizer.get_added_vocab()
        found |= {added[token] for token in TURN_ENDS if token in template and token in added}
    if facts.chat:
        found.add(ChatTemplate(tokenizer).end_of_turn)
    return frozenset(token for token in found if 0 <= token < facts.vocabulary)


def split_stops(
    stop: Sequence[str], tokenizer: PreTrainedTokenizerBase, eos: frozenset[int]
) -> tuple[frozenset[int], tuple[str, ...]]:
    """Return end tokens and stop strings: a stop string that is a special token has no text, and ends as a token."""
    added = tokenizer.added_tokens_decoder.items()
    special = {str(token.content): int(number) for number, token in added if token.special}
    tokens = {special[text] for text in stop if text in special}
    return eos | tokens, tuple(text for text in stop if text not in special)
