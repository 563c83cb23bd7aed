"""Look at a tokenizer: what it is, and how it cuts a text."""

from __future__ import annotations

from typing import Any

from fathom.model.load import resolve_model
from fathom.tokenization.load import load_tokenizer
from fathom.tokenization.show import show, vocabulary_facts


def show_tokenizer(name: str, text: str | None = None) -> dict[str, Any]:
    """Return the facts of a tokenizer, and the sub-words of a text with their character offsets.

    Args:
        name: Hub name, folder or built-in name.
        text: What to cut; none gives the facts alone.

    Raises:
        ModelError: No such tokenizer, or it is not a fast one.
    """
    tokenizer = load_tokenizer(resolve_model(name))
    facts = {"name": name, **vocabulary_facts(tokenizer)}
    return facts if text is None else {**facts, **show(tokenizer, text)}


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
        if facts["lost"]:
            shown = ", ".join(f"{place} (U+{ord(facts['text'][place]):04X})" for place in facts["lost"][:10])
            lines.append(f"{len(facts['lost'])} characters have no sub-word: {shown}")
    return "\n".join(lines)
