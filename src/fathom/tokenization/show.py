"""What a tokenizer is, and how it cuts a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fathom.tokenization.encode import clean_backend

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNLIMITED = 1_000_000
"""`model_max_length` from here on is transformers' way of saying that no limit is stated."""


def vocabulary_facts(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return class, algorithm, size of the vocabulary, stated length limit and special tokens, as JSON."""
    limit = tokenizer.model_max_length
    return {
        "class": type(tokenizer).__name__,
        "algorithm": type(tokenizer.backend_tokenizer.model).__name__,
        "vocabulary": len(tokenizer),
        "max_length": int(limit) if limit < UNLIMITED else None,
        "special": {key: str(value) for key, value in tokenizer.special_tokens_map.items()},
        "special_ids": {
            key: tokenizer.convert_tokens_to_ids(str(v)) for key, v in tokenizer.special_tokens_map.items()
        },
        "inputs": list(tokenizer.model_input_names),
    }


def show(tokenizer: PreTrainedTokenizerBase, text: str) -> dict[str, Any]:
    """Return the sub-words of a text with ids and character offsets, and what they say about the fit, as JSON."""
    encoding = clean_backend(tokenizer).encode(text)
    special = encoding.special_tokens_mask
    rows = zip(encoding.ids, encoding.tokens, encoding.offsets, special, strict=True)
    tokens = [
        {"id": number, "token": piece, "start": start, "end": end, "text": text[start:end], "special": bool(outside)}
        for number, piece, (start, end), outside in rows
    ]
    plain = [token for token in tokens if not token["special"]]
    words = max(len(text.split()), 1)
    return {
        "text": text,
        "tokens": tokens,
        "num_tokens": len(tokens),
        "num_unknown": sum(token["id"] == tokenizer.unk_token_id for token in plain),
        "characters_per_token": round(len(text) / max(len(plain), 1), 3),
        "tokens_per_word": round(len(plain) / words, 3),
        "lost": lost_characters(text, [(token["start"], token["end"]) for token in plain]),
    }


def lost_characters(text: str, offsets: list[tuple[int, int]]) -> list[int]:
    """Return the places of the characters, white space apart, that no sub-word covers."""
    covered = [False] * len(text)
    for start, end in offsets:
        covered[start:end] = [True] * (end - start)
    return [place for place, character in enumerate(text) if not covered[place] and not character.isspace()]
