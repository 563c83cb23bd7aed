"""Tokenizers as lines for people: one with its sub-words, several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.cli.tables import table_text

_SHOWN_NEW = 20
_FIT_ROWS = (
    ("tokens", "tokens"),
    ("tokens_per_character", "tokens a character"),
    ("tokens_per_byte", "tokens a byte"),
    ("unknown_rate", "unknown, share of tokens"),
    ("coverage", "characters covered"),
    ("continuation_share", "tokens that continue a word"),
    ("vocabulary_used", "vocabulary used"),
)
_TRIP_ROWS = (
    ("exact", "texts that come back exactly"),
    ("white_space", "with other white space"),
    ("changed", "changed"),
)
_MOST_SCRIPTS = 8


def tokenizer_text(facts: Mapping[str, Any]) -> str:
    """Return the facts as lines for people, with one line for each sub-word."""
    limit = facts["max_length"]
    lines = [
        f"{facts['name']}: {facts['class']}, {facts['algorithm']}, {facts['vocabulary']:,} sub-words, "
        + (f"at most {limit:,} a text" if limit else "no limit of length stated"),
        "special: " + ", ".join(f"{value} ({key})" for key, value in facts["special"].items()),
    ]
    if "tokens" in facts:
        lines += [
            f"{token['id']:>8}  {token['start']:>4}-{token['end']:<4}  {_readable(token)}" for token in facts["tokens"]
        ]
        lines.append(
            f"{facts['num_tokens']} sub-words, {facts['num_unknown']} unknown, "
            f"{facts['characters_per_token']:.2f} characters a sub-word, {facts['tokens_per_word']:.2f} a word"
        )
        if facts["lost"]:
            shown = ", ".join(f"{place} (U+{ord(facts['text'][place]):04X})" for place in facts["lost"][:10])
            lines.append(f"{len(facts['lost'])} characters have no sub-word: {shown}")
    return "\n".join(lines)


def comparison_text(found: Sequence[Mapping[str, Any]]) -> str:
    """Return tokenizers side by side: a column for each."""
    header = ["", *(_short(facts["name"], found) for facts in found)]
    rows: list[list[Any]] = [
        ["algorithm", *(facts["algorithm"] for facts in found)],
        ["vocabulary", *(f"{facts['vocabulary']:,}" for facts in found)],
    ]
    if "tokens" in found[0]:
        rows.append(["sub-words of the text", *(facts["num_tokens"] for facts in found)])
    if "fit" in found[0]:
        fits = [facts["fit"] for facts in found]
        rows += [[label, *(fit[key] for fit in fits)] for key, label in _FIT_ROWS]
        rows += [[label, *(fit["round_trip"][key] for fit in fits)] for key, label in _TRIP_ROWS]
        scripts = list(dict.fromkeys(script for fit in fits for script in fit["scripts"]))[:_MOST_SCRIPTS]
        rows += [
            [f"{script}: tokens a {fits[0]['scripts'][script]['unit']}"]
            + [f"{fit['scripts'][script]['tokens_per_unit']:.3f}" for fit in fits]
            for script in scripts
        ]
    parts = [table_text(header, rows)]
    for facts in found:
        parts.append(_details(facts))
    return "\n\n".join(parts)


def trained_text(facts: Mapping[str, Any]) -> str:
    """Return what was learnt."""
    learnt = facts["learnt_from"]
    return (
        f"{facts['folder']}: {facts['vocabulary']:,} tokens from {learnt['characters']:,} characters\n"
        f'look at it: fathom tokenizer show {facts["folder"]} --text "some text"'
    )


def extended_text(facts: Mapping[str, Any]) -> str:
    """Return which tokens are new."""
    new = facts["new"]
    kind = "model and tokenizer" if facts["model"] else "tokenizer"
    lines = [f"{facts['folder']}: {kind}, {facts['before']:,} + {len(new):,} tokens"]
    lines += [f"{item['id']:>8}  {item['token']}  = {' + '.join(item['pieces'])}" for item in new[:_SHOWN_NEW]]
    if len(new) > _SHOWN_NEW:
        lines.append(f"and {len(new) - _SHOWN_NEW:,} more (--json lists all)")
    if facts["known"]:
        lines.append(f"known before, left alone: {', '.join(facts['known'][:_SHOWN_NEW])}")
    return "\n".join(lines)


def _details(facts: Mapping[str, Any]) -> str:
    lines = [str(facts["name"])]
    if facts["longest_pieces"]:
        lines.append("  longest: " + ", ".join(repr(piece) for piece in facts["longest_pieces"]))
    if "tokens" in facts:
        lines.append("  " + " | ".join(_readable(token) for token in facts["tokens"]))
    for example in facts.get("fit", {}).get("round_trip", {}).get("examples", []):
        lines.append(f"  changed: {example['text']!r} -> {example['back']!r}")
    return "\n".join(lines)


def _readable(token: Mapping[str, Any]) -> str:
    """Return a token as people read it: what stands for bytes as the text it covers, white space as it is written."""
    shown, text = str(token["token"]), str(token["text"]).strip()
    # The characters that stand for bytes end before U+0180; a token of them that is the text itself is no such token.
    stands_for_bytes = not text.isascii() and max(map(ord, shown)) < 0x180 and text.casefold() not in shown.casefold()
    stands_for_bytes &= not shown.isascii()
    shown = text if stands_for_bytes else shown
    return shown if shown.isprintable() and shown == shown.strip() else repr(shown)


def _short(name: str, found: Sequence[Mapping[str, Any]]) -> str:
    last = name.rstrip("/").rpartition("/")[2]
    same = sum(str(facts["name"]).rstrip("/").rpartition("/")[2] == last for facts in found)
    return last if same == 1 else name
