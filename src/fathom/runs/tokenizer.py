"""Look at a tokenizer: what it is, and how it cuts a text."""

from __future__ import annotations

from typing import Any

from fathom.model.load import resolve_model
from fathom.tokenization.load import load_tokenizer


def show_tokenizer(name: str, text: str | None = None) -> dict[str, Any]:
    """Return the facts of a tokenizer, and the sub-words of a text with their character offsets.

    Args:
        name: Hub name, folder or built-in name.
        text: What to cut; none gives the facts alone.

    Raises:
        ModelError: No such tokenizer, or it is not a fast one.
    """
    tokenizer = load_tokenizer(resolve_model(name))
    facts: dict[str, Any] = {
        "name": name,
        "class": type(tokenizer).__name__,
        "algorithm": type(tokenizer.backend_tokenizer.model).__name__,
        "vocabulary": len(tokenizer),
        "max_length": tokenizer.model_max_length if tokenizer.model_max_length < 1_000_000 else None,
        "special": {key: str(value) for key, value in tokenizer.special_tokens_map.items()},
    }
    if text is None:
        return facts
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids = [int(token) for token in encoded["input_ids"]]
    pieces = zip(ids, tokenizer.convert_ids_to_tokens(ids), encoded["offset_mapping"], strict=True)
    tokens = [
        {"id": token, "token": piece, "start": int(start), "end": int(end), "text": text[start:end]}
        for token, piece, (start, end) in pieces
    ]
    plain = [token for token in tokens if token["end"] > token["start"]]
    unknown = sum(token["id"] == tokenizer.unk_token_id for token in plain)
    words = max(len(text.split()), 1)
    return {
        **facts,
        "tokens": tokens,
        "num_tokens": len(tokens),
        "num_unknown": unknown,
        "characters_per_token": round(len(text) / max(len(plain), 1), 3),
        "tokens_per_word": round(len(plain) / words, 3),
    }


def tokenizer_text(facts: dict[str, Any]) -> str:
    """Return the facts as lines for people, with one line for each sub-word."""
    limit = facts["max_length"]
    lines = [
        f"{facts['name']}: {facts['class']}, {facts['algorithm']}, {facts['vocabulary']:,} sub-words, "
        + (f"at most {limit:,} a text" if limit else "no limit of length stated"),
        "special: " + ", ".join(f"{value} ({key})" for key, value in facts["special"].items()),
    ]
    if "tokens" in facts:
        lines += [
            f"{token['id']:>8}  {token['start']:>4}-{token['end']:<4}  {token['token']}" for token in facts["tokens"]
        ]
        lines.append(
            f"{facts['num_tokens']} sub-words, {facts['num_unknown']} unknown, "
            f"{facts['characters_per_token']:.2f} characters a sub-word, {facts['tokens_per_word']:.2f} a word"
        )
    return "\n".join(lines)
