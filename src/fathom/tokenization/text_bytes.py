"""How many bytes of text tokens stand for: what makes the losses of two tokenizers comparable."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import decoders
from transformers import PreTrainedTokenizerBase

from fathom.tokenization.encode import num_ids


class TextBytes:
    """Counts the UTF-8 bytes of the text that ids stand for; special tokens stand for none.

    A token of byte-level BPE may end inside a character. Its bytes are counted from its piece, each letter of which is
    one byte; decoded, a cut character would count as the three bytes of the replacement character. Of other tokenizers
    the text is decoded.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer: Any = tokenizer

    def count(self, ids_L: np.ndarray[Any, Any]) -> int:
        """Return the bytes of a text."""
        if self._bytes_V is not None:
            return int(self._bytes_V[ids_L].sum())
        return len(str(self._tokenizer.decode(ids_L, skip_special_tokens=True)).encode())

    def after_first(self, ids_L: np.ndarray[Any, Any]) -> int:
        """Return the bytes that the tokens after the first add to a text."""
        return self.count(ids_L) - self.count(ids_L[:1])

    @cached_property
    def _bytes_V(self) -> np.ndarray[Any, Any] | None:
        """Bytes of each piece of a byte-level tokenizer; None for others."""
        if not isinstance(self._tokenizer.backend_tokenizer.decoder, decoders.ByteLevel):
            return None
        bytes_V = np.zeros(num_ids(self._tokenizer), dtype=np.int64)
        for piece, index in self._tokenizer.get_vocab().items():
            bytes_V[index] = len(piece)
        for index, added in self._tokenizer.added_tokens_decoder.items():  # these are written as they are
            bytes_V[index] = len(added.content.encode())
        bytes_V[self._tokenizer.all_special_ids] = 0
        return bytes_V
