"""Which sub-words belong to one word, told from the tokens alone; Chinese words by a segmenter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from fathom.errors import MissingExtraError
from fathom.tokenization.encode import num_ids

Array = np.ndarray[Any, Any]
Spelling = Literal["words", "bytes", "marks"]

# The bytes of U+3400 to U+9FFF in UTF-8. No such sequence begins inside another character, so that the runs are right
# although a row may begin or end in the middle of a character.
_HAN_RUN = re.compile(rb"(?:\xe3[\x90-\xbf][\x80-\xbf]|[\xe4-\xe9][\x80-\xbf]{2})+")
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_BOUNDARY = b"\0"
"""What special tokens are spelled as: no part of any word."""


class WordFinder:
    """Finds the words of encoded text.

    A token belongs to the word that its first byte, spaces aside, lies in.

    Args:
        tokenizer: Its pieces mark a word's continuation (`##`, WordPiece) or its beginning (`Ġ` of byte-level BPE, `▁`
            of SentencePiece).
        chinese: Join Chinese characters to words with the `rjieba` segmenter.

    Raises:
        MissingExtraError: `chinese` without the segmenter, where a piece holds a Chinese character.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, chinese: bool) -> None:
        pieces: list[str | None] = tokenizer.convert_ids_to_tokens(list(range(num_ids(tokenizer))))
        special = set(tokenizer.all_special_ids)
        spelling = _spelling(tokenizer, pieces)
        spelled = [
            _BOUNDARY if index in special or not piece else _spell(piece, spelling) or _BOUNDARY
            for index, piece in enumerate(pieces)
        ]
        self._bytes_V = np.array(spelled, dtype=object)
        self._length_V = np.array([len(token) for token in spelled])
        self._blank_V = np.array([spelling != "words" and not token.strip() for token in spelled])
        self._lead_V = np.where(self._blank_V, 0, [len(token) - len(token.lstrip()) for token in spelled])
        self._partial_V = np.array([spelling != "words" and _is_partial(token) for token in spelled])
        self._begins_V = np.array(
            [
                token == _BOUNDARY or (not piece.startswith("##") if spelling == "words" else _opens(token))
                for token, piece in zip(spelled, [piece or "" for piece in pieces], strict=True)
            ]
        )
        # a token with a first byte of a Chinese character: only rows that have one are looked into
        self._may_be_han_V = np.array([chinese and any(0xE3 <= byte <= 0xE9 for byte in token) for token in spelled])
        if chinese and any(_HAN_RUN.search(token) for token in spelled):
            _segmenter()

    def begins(self, ids_BL: Array) -> Array:
        """Return whether each token begins a word: bool `[B, L]`."""
        begins_BL: Array = self._begins_V[ids_BL]
        partial_BL = self._partial_V[ids_BL]
        looked_into_B = (self._may_be_han_V[ids_BL] | partial_BL).any(axis=1)
        for row in np.flatnonzero(looked_into_B):
            self._correct(begins_BL[row], ids_BL[row], partial_BL[row])
        begins_BL[:, 0] = True
        return begins_BL

    def _correct(self, begins_L: Array, ids_L: Array, partial_L: Array) -> None:
        """Set the beginnings that only the text of the whole row can tell."""
        text = b"".join(self._bytes_V[ids_L])
        length_L = self._length_V[ids_L]
        first_L = np.cumsum(length_L) - length_L + self._lead_V[ids_L]
        for place in np.flatnonzero(partial_L):
            start = int(first_L[place])
            character = text[start : start + 4].decode("utf-8", errors="ignore")[:1]
            begins_L[place] = bool(character) and not character.isalnum()
        starts_W, ends_W = _chinese_words(text)
        if not len(starts_W):
            return
        word_L = np.searchsorted(starts_W, first_L, side="right") - 1
        word_L[(word_L >= 0) & (first_L >= ends_W[word_L])] = -1
        changes_L = np.diff(word_L, prepend=-1) != 0
        # a space that is a token of its own belongs to the word behind it, in Chinese as elsewhere
        after_space_L = np.concatenate([[False], self._blank_V[ids_L[:-1]]])
        chinese_L = word_L >= 0
        begins_L[chinese_L] = (changes_L & ~after_space_L)[chinese_L]
        begins_L[~chinese_L & changes_L] = True


def _chinese_words(text: bytes) -> tuple[Array, Array]:
    """Where the words of every run of Chinese characters begin and end, in bytes."""
    runs = list(_HAN_RUN.finditer(text))
    if not runs:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    byte_R = np.array([run.start() for run in runs])
    size_R = np.array([run.end() for run in runs]) - byte_R
    size_R //= 3  # every character of a run has three bytes
    # One call for a row: at a line end the segmenter stops, so that each run is cut as if it stood alone.
    words = _segmenter()(b"\n".join(run.group() for run in runs).decode())
    size_W = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    place_W = np.cumsum(size_W) - size_W
    place_R = np.cumsum(size_R + 1) - (size_R + 1)
    run_W = np.searchsorted(place_R, place_W, side="right") - 1
    inside_W = place_W - place_R[run_W]
    is_word_W = inside_W < size_R[run_W]
    starts_W = (byte_R[run_W] + 3 * inside_W)[is_word_W]
    return starts_W, starts_W + 3 * size_W[is_word_W]


def _spelling(tokenizer: PreTrainedTokenizerBase, pieces: Sequence[str | None]) -> Spelling:
    """How pieces are written: as text, as a stand-in for each byte, or as text with `▁` for a space."""
    backend = tokenizer.backend_tokenizer
    if "ByteLevel" in f"{backend.decoder!r} {backend.pre_tokenizer!r}":
        return "bytes"
    if type(backend.model).__name__ == "WordPiece":
        return "words"
    return "marks" if any(piece is not None and piece.startswith("▁") for piece in pieces) else "words"


def _spell(piece: str, spelling: Spelling) -> bytes:
    """Return the bytes a piece stands for."""
    if spelling == "words":
        return piece.removeprefix("##").encode(errors="replace")
    if spelling == "bytes":
        table = _byte_of()
        # an added token is written as it is
        return bytes(table[letter] for letter in piece) if table.keys() >= set(piece) else piece.encode()
    found = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(found[1], 16)]) if found else piece.replace("▁", " ").encode(errors="replace")


def _opens(token: bytes) -> bool:
    """Whether a token begins a word by itself: with a space, or with no letter or digit."""
    if token[0] & 0xC0 == 0x80:  # the rest of a character that the token before began
        return False
    return not token.decode("utf-8", errors="ignore")[:1].isalnum()


def _is_partial(token: bytes) -> bool:
    """Whether a token begins with a character that it does not end."""
    lead = token.lstrip()[:4]
    size = 1 + (lead[:1] >= b"\xc0") + (lead[:1] >= b"\xe0") + (lead[:1] >= b"\xf0")
    return bool(lead) and lead[0] >= 0xC0 and len(lead) < size


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes stand for themselves, the others for what follows U+00FF, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(0x100) if byte not in set(printable))
    return table | {chr(0x100 + place): byte for place, byte in enumerate(others)}


@lru_cache(maxsize=1)
def _segmenter() -> Any:
    try:
        import rjieba
    except ImportError:
        raise MissingExtraError("rjieba", "chinese") from None
    return rjieba.cut
