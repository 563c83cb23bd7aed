"""Which sub-words belong to one word, told from the tokens alone; Chinese words by a segmenter."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from fathom.errors import MissingExtraError
from fathom.tokenization.encode import num_ids

Array = np.ndarray[Any, Any]


class WordFinder:
    """Finds the words of encoded text.

    Args:
        tokenizer: Its pieces mark a word's continuation (`##`, WordPiece) or its beginning (`Ġ` of byte-level BPE, `▁`
            of SentencePiece).
        chinese: Join Chinese characters to words with the `rjieba` segmenter.

    Raises:
        MissingExtraError: `chinese` without the segmenter.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, chinese: bool) -> None:
        found: list[str | None] = tokenizer.convert_ids_to_tokens(list(range(num_ids(tokenizer))))
        pieces = [piece or "" for piece in found]  # an id may have no piece: a vocabulary may have holes
        special = set(tokenizer.all_special_ids)
        marked = any(piece.startswith(("Ġ", "▁")) for piece in pieces)
        self._begins_V = np.array([index in special or _begins(piece, marked) for index, piece in enumerate(pieces)])
        self._han_V = np.array([len(piece) == 1 and _is_han(piece) for piece in pieces])
        self._pieces = pieces
        self._cut = _segmenter() if chinese and bool(self._han_V.any()) else None

    def begins(self, ids_BL: Array) -> Array:
        """Return whether each token begins a word: bool `[B, L]`."""
        begins_BL: Array = self._begins_V[ids_BL]
        begins_BL[:, 0] = True
        if self._cut is None:
            return begins_BL
        han_BL = self._han_V[ids_BL]
        for row_L, (ids_L, is_han_L) in enumerate(zip(ids_BL, han_BL, strict=True)):
            for start, stop in _runs(is_han_L):
                text = "".join(self._pieces[token] for token in ids_L[start:stop])
                words = self._cut(text)
                ends = np.cumsum([len(word) for word in words])
                begins_BL[row_L, start:stop] = False
                begins_BL[row_L, start] = True
                begins_BL[row_L, start + ends[:-1]] = True
        return begins_BL


def _begins(piece: str, marked: bool) -> bool:
    if piece.startswith("##"):
        return False
    if marked:
        return piece.startswith(("Ġ", "▁", "Ċ")) or not piece[:1].isalnum()
    return True


def _is_han(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf"


def _runs(flags_L: Array) -> list[tuple[int, int]]:
    """Bounds of the runs of two and more."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags_L.astype(np.int8), [0]])))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True) if stop - start > 1]


@lru_cache(maxsize=1)
def _segmenter() -> Any:
    try:
        import rjieba
    except ImportError:
        raise MissingExtraError("rjieba", "chinese") from None
    return rjieba.cut
