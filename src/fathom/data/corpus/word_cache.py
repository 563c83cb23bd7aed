"""Words that were met before are not encoded again: the ids of a text, put together from those of its words.

Text repeats its words, and a tokenizer that first cuts a text into words gives a word the same ids wherever it stands.
So a text is cut at places where the tokenizer cuts too, by a regular expression; pieces that were met before are looked
up, and only new ones go through the library. The ids are those of the whole text. That holds for tokenizers whose
rules are known here (`cutter_of`); for all others there is no cutter, and texts are encoded whole.
"""

from __future__ import annotations

import json
import re
from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Array = np.ndarray[Any, Any]

MOST_WORDS = 400_000
"""Words that are kept: about 60 MB. The first ones met stay: frequent words come early."""
LONGEST_WORD = 48
"""Characters of a piece that is kept; a longer one hardly comes again."""
LONGEST_MEAN = 12
"""Characters of a text's pieces on average; those of a longer mean (Chinese without spaces) do not come again."""

_WIDE = r" \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
SPACE = rf"\t-\r\x85{_WIDE}"
"""White space as Unicode has it (White_Space), as the library does; Python's `\\s` has four characters more."""
BERT_SPACE = rf"\t\n\r{_WIDE}"
"""The same without what BERT's normaliser takes out before words are cut."""
BERT_CHINESE = "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\uf900-\ufaff"
"""Characters that BERT's normaliser puts spaces around; those of later blocks are left in their words."""
PUNCTUATION = r"!-/:-@\[-`{-~"

GPT2_RULES = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LINE_RULES = tuple(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    rf"\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in ("{1,3}", "")
)
"""Llama 3's rules, and Qwen's, which take one digit at a time."""


@dataclass(frozen=True)
class Cutter:
    """Where texts are cut.

    Attributes:
        ascii: For texts of ASCII only: the tokenizer's own rules.
        other: For all others: at white space, and at what is a word by itself.
        marks: What added tokens begin with. A text with one of them is not cut.
    """

    ascii: re.Pattern[str]
    other: re.Pattern[str]
    marks: tuple[str, ...] = ()

    def cut(self, text: str) -> list[str]:
        """Return pieces that give the ids of the text when they are encoded one by one."""
        for mark in self.marks:
            if mark in text:
                return [text]
        pieces: list[str] = self.ascii.findall(text) if text.isascii() else self.other.findall(text)
        return pieces if len(text) <= LONGEST_MEAN * len(pieces) else [text]


def _in_ascii(rules: str) -> re.Pattern[str]:
    """Return what rules of `\\p{L}` and `\\p{N}` come to in a text of ASCII."""
    within = rules.replace(r"[^\r\n\p{L}\p{N}]", r"[^\r\nA-Za-z0-9]").replace(r"[^\s\p{L}\p{N}]", r"[^\sA-Za-z0-9]")
    return re.compile(within.replace(r"\p{L}", "[A-Za-z]").replace(r"\p{N}", "[0-9]"), re.ASCII)


GPT2 = Cutter(_in_ascii(GPT2_RULES), re.compile(f"[{SPACE}]*[^{SPACE}]+|[{SPACE}]+"))
"""White space begins a piece and never ends one, but at the end of a text."""
LINES = {
    rules: Cutter(_in_ascii(rules), re.compile(f"[{SPACE}]*[^{SPACE}]+(?:[{SPACE}]*[\r\n])?|[{SPACE}]+"))
    for rules in LINE_RULES
}
"""Line ends, and white space up to them, may join what stands before."""
_BERT_ASCII = re.compile(rf"[^\t\n\r {PUNCTUATION}]+|[{PUNCTUATION}]")
BERT = Cutter(_BERT_ASCII, re.compile(f"[^{BERT_SPACE}]+"))
"""White space is nothing, a punctuation mark is a word."""
BERT_WITH_CHINESE = Cutter(_BERT_ASCII, re.compile(f"[{BERT_CHINESE}]|[^{BERT_SPACE}{BERT_CHINESE}]+"))
"""The same, where each Chinese character is a word."""


def cutter_of(tokenizer_json: str) -> Cutter | None:
    """Return how texts are cut for a tokenizer; None where its rules are not known.

    Args:
        tokenizer_json: The tokenizer as the `tokenizers` library writes it.
    """
    parts = json.loads(tokenizer_json)
    found = _rules_of(parts.get("normalizer"), parts.get("pre_tokenizer") or {})
    tokens = parts.get("added_tokens") or []
    # a token that is looked for in normalised text may stand in the text in another form
    hidden = parts.get("normalizer") is not None and any(token["normalized"] for token in tokens)
    if found is None or hidden or parts["model"].get("dropout"):
        return None
    return replace(found, marks=tuple(sorted({token["content"][:2] for token in tokens})))


def _rules_of(normalizer: dict[str, Any] | None, pre_tokenizer: dict[str, Any]) -> Cutter | None:
    kind = pre_tokenizer.get("type")
    if kind == "BertPreTokenizer":
        if normalizer is None or normalizer.get("type") != "BertNormalizer" or not normalizer["clean_text"]:
            return None
        return BERT_WITH_CHINESE if normalizer["handle_chinese_chars"] else BERT
    if normalizer is not None and normalizer.get("type") != "NFC":
        return None  # one that lowers "'LL" to "'ll" moves the cuts
    if kind == "ByteLevel":
        return GPT2 if pre_tokenizer["use_regex"] and not pre_tokenizer["add_prefix_space"] else None
    if kind != "Sequence" or [part["type"] for part in pre_tokenizer["pretokenizers"]] != ["Split", "ByteLevel"]:
        return None
    split, byte_level = pre_tokenizer["pretokenizers"]
    plain = split["behavior"] == "Isolated" and not split["invert"]
    plain = plain and not byte_level["use_regex"] and not byte_level["add_prefix_space"]
    return LINES.get(split["pattern"].get("Regex", "")) if plain else None


class WordCache:
    """Encodes texts with a tokenizer by their words.

    Args:
        tokenizer: Without padding and truncation.
        cutter: As `cutter_of` gives it for this very tokenizer.
        most_words: Words that are kept.
    """

    def __init__(self, tokenizer: Tokenizer, cutter: Cutter, most_words: int = MOST_WORDS) -> None:
        self._tokenizer = tokenizer
        self._cut = cutter.cut
        self._most_words = most_words
        self._ids: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def encode(self, texts: list[str]) -> tuple[Array, Array]:
        """Return the ids of all texts, one after another (uint32), and the number of ids of each (int64)."""
        pieces_of = [self._cut(text) for text in texts]
        found_of = [list(map(self._ids.get, pieces)) for pieces in pieces_of]
        lacking = [index for index, found in enumerate(found_of) if None in found]
        if lacking:
            new = self._encode_new([pieces_of[index] for index in lacking])
            for index in lacking:
                found_of[index] = [new[piece] if piece in new else self._ids[piece] for piece in pieces_of[index]]
        encoded = [b"".join(cast(list[bytes], found)) for found in found_of]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)) // 4
        return np.frombuffer(b"".join(encoded), dtype=np.uint32), lengths

    def _encode_new(self, pieces_of: list[list[str]]) -> dict[str, bytes]:
        """Encode the pieces that are not kept, keep them while there is room, and return them."""
        known = self._ids
        new = list(dict.fromkeys(piece for pieces in pieces_of for piece in pieces if piece not in known))
        encodings = self._tokenizer.encode_batch_fast(new, add_special_tokens=False)
        found = {piece: array("I", encoding.ids).tobytes() for piece, encoding in zip(new, encodings, strict=True)}
        room = self._most_words - len(known)
        kept = [piece for piece in new if len(piece) <= LONGEST_WORD][: max(room, 0)]
        known.update((piece, found[piece]) for piece in kept)
        return found
