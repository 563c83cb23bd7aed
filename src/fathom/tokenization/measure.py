"""How well a tokenizer fits texts: tokens a word by script, what is unknown, what does not come back as it was."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.tokenization.align import trim, words_of_offsets
from fathom.tokenization.encode import clean_backend
from fathom.tokenization.words import find_words, has_han

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NUM_EXAMPLES = 3
NUM_LONGEST = 10
_CONTEXT = 20
_SPACE = re.compile(r"\s+")
_KANA = {"HIRAGANA", "KATAKANA"}


class Measure:
    """Counts over texts, in constant memory but for the set of tokens seen.

    Args:
        tokenizer: A fast tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._backend = clean_backend(tokenizer)
        self._seen: set[int] = set()
        self._counts: dict[str, int] = dict.fromkeys(
            ("texts", "characters", "bytes", "tokens", "unknown", "visible", "covered", "in_words", "continuing"), 0
        )
        self._trips = {"exact": 0, "white_space": 0, "changed": 0}
        self._examples: list[dict[str, str]] = []
        self._scripts: dict[str, dict[str, int]] = {}

    def add(self, texts: Sequence[str]) -> None:
        """Count a batch of texts."""
        for text, encoding in zip(
            texts, self._backend.encode_batch(list(texts), add_special_tokens=False), strict=True
        ):
            ids_T = np.array(encoding.ids, dtype=np.int64)
            offsets_T2 = trim(text, np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2))
            unknown_T = ids_T == (-1 if self._tokenizer.unk_token_id is None else self._tokenizer.unk_token_id)
            counts = self._counts
            counts["texts"] += 1
            counts["characters"] += len(text)
            counts["bytes"] += len(text.encode())
            counts["tokens"] += len(ids_T)
            counts["unknown"] += int(unknown_T.sum())
            self._seen.update(encoding.ids)
            self._cover(text, offsets_T2[~unknown_T])
            self._count_words(text, offsets_T2, unknown_T)
            self._send_round(text, encoding.ids)

    def result(self) -> dict[str, Any]:
        """Return the measures, as JSON."""
        counts = self._counts
        tokens = max(counts["tokens"], 1)
        return {
            **{key: counts[key] for key in ("texts", "characters", "bytes", "tokens")},
            "tokens_per_character": round(counts["tokens"] / max(counts["characters"], 1), 4),
            "tokens_per_byte": round(counts["tokens"] / max(counts["bytes"], 1), 4),
            "unknown_rate": round(counts["unknown"] / tokens, 6),
            "coverage": round(counts["covered"] / max(counts["visible"], 1), 6),
            "continuation_share": round(counts["continuing"] / max(counts["in_words"], 1), 4),
            "vocabulary_used": round(len(self._seen) / max(len(self._tokenizer), 1), 4),
            "round_trip": {**self._trips, "examples": self._examples},
            "scripts": {
                script: _fertility(script, values)
                for script, values in sorted(self._scripts.items(), key=lambda item: (-item[1]["units"], item[0]))
            },
        }

    def _cover(self, text: str, offsets_T2: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        depth = np.zeros(len(text) + 1, dtype=np.int64)
        np.add.at(depth, offsets_T2[:, 0], 1)
        np.add.at(depth, offsets_T2[:, 1], -1)
        covered = np.cumsum(depth)[:-1] > 0
        visible = np.array([not character.isspace() for character in text], dtype=bool)
        self._counts["visible"] += int(visible.sum())
        self._counts["covered"] += int((visible & covered).sum())

    def _count_words(
        self,
        text: str,
        offsets_T2: np.ndarray[Any, np.dtype[np.int64]],
        unknown_T: np.ndarray[Any, np.dtype[np.bool_]],
    ) -> None:
        words = find_words(text)
        word_T = words_of_offsets(words, offsets_T2)
        inside_T = word_T >= 0
        tokens_W = np.bincount(word_T[inside_T], minlength=len(words))
        unknown_W = np.bincount(word_T[inside_T & unknown_T], minlength=len(words))
        self._counts["in_words"] += int(inside_T.sum())
        self._counts["continuing"] += int(inside_T.sum() - (tokens_W > 0).sum())
        for (start, end), tokens, unknown in zip(words, tokens_W.tolist(), unknown_W.tolist(), strict=True):
            script = script_of(text[start])
            values = self._scripts.setdefault(
                script, {"units": 0, "characters": 0, "tokens": 0, "unknown": 0, "cut": 0}
            )
            values["units"] += 1
            values["characters"] += end - start
            values["tokens"] += tokens
            values["unknown"] += unknown
            values["cut"] += tokens > 1

    def _send_round(self, text: str, ids: list[int]) -> None:
        back = str(self._tokenizer.decode(ids))
        if back == text:
            self._trips["exact"] += 1
        elif _SPACE.sub("", back) == _SPACE.sub("", text):
            self._trips["white_space"] += 1
        else:
            self._trips["changed"] += 1
            if len(self._examples) < NUM_EXAMPLES:
                self._examples.append(_difference(text, back))


def measure(tokenizer: PreTrainedTokenizerBase, batches: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Return how a tokenizer fits texts, as JSON.

    `scripts` tells tokens a word for scripts that write spaces, tokens a character for Chinese, Japanese and the like.
    `coverage` is the share of characters, white space apart, that are in a token other than the unknown one.
    """
    counts = Measure(tokenizer)
    for batch in batches:
        counts.add(batch)
    return counts.result()


def longest_pieces(tokenizer: PreTrainedTokenizerBase, count: int = NUM_LONGEST) -> list[str]:
    """Return the longest pieces of the vocabulary as text, added and special tokens left out."""
    added = set(tokenizer.added_tokens_decoder)
    pieces = [token for token, number in tokenizer.get_vocab().items() if number not in added]
    # Bytes of a byte-level piece are characters here, so more than are wanted are read as text and ranked again.
    ranked = sorted(pieces, key=lambda token: (-len(token), token))[: 20 * count]
    texts = {_as_text(tokenizer, token) for token in ranked}
    return sorted(texts, key=lambda text: (-len(text), text))[:count]


@functools.cache
def script_of(character: str) -> str:
    """Return the script of a character: Latin, Han, Kana, Cyrillic ...; digits and symbols are of none."""
    if has_han(character):
        return "Han"
    category = unicodedata.category(character)
    if category[0] == "N":
        return "digits"
    if category[0] != "L":
        return "symbols"
    name = unicodedata.name(character, "unnamed").split(maxsplit=1)[0].split("-")[0]
    if name in _KANA:
        return "Kana"
    return "Latin" if name == "FULLWIDTH" else name.capitalize()


def _fertility(script: str, values: dict[str, int]) -> dict[str, Any]:
    return {
        "unit": "character" if script in ("Han", "Kana") else "word",
        "units": values["units"] if script != "Kana" else values["characters"],
        "tokens_per_unit": round(
            values["tokens"] / max(values["characters" if script in ("Han", "Kana") else "units"], 1), 4
        ),
        "cut_share": round(values["cut"] / max(values["units"], 1), 4),
        "unknown_rate": round(values["unknown"] / max(values["tokens"], 1), 6),
    }


def _difference(text: str, back: str) -> dict[str, str]:
    place = next((i for i, (a, b) in enumerate(zip(text, back, strict=False)) if a != b), min(len(text), len(back)))
    window = slice(max(place - _CONTEXT, 0), place + _CONTEXT)
    return {"text": text[window], "back": back[window]}


def _as_text(tokenizer: PreTrainedTokenizerBase, token: str) -> str:
    decoder = tokenizer.backend_tokenizer.decoder
    text = token if decoder is None else str(decoder.decode([token]))
    return text.removeprefix("##")
