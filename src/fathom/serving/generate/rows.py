"""One sequence on its way: what it has said, what it may still say, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from transformers import LogitsProcessorList

from fathom.serving.generate.stop import TextStream

FinishReason = Literal["eos", "stop", "length"]


@dataclass
class Row:
    """A sequence being generated."""

    prompt: int
    """Which prompt, counted over the whole call."""
    sample: int
    """Which of the prompt's sequences."""
    read: list[int]
    """Tokens the decoder has read before the first generated one: the prompt, or the decoder's start token."""
    limit: int
    """Most tokens generated."""
    processors: LogitsProcessorList
    text: TextStream | None = None
    """Its text as it grows; None where nobody looks before the end."""
    numbers: NDArray[np.float64] | None = None
    """Of sampling."""
    tokens: list[int] = field(default_factory=list)
    """Generated so far, the one that ended it included."""
    pieces: list[str] = field(default_factory=list)
    reason: FinishReason | None = None

    @property
    def history(self) -> list[int]:
        """Every token the decoder has seen."""
        return self.read + self.tokens

    @property
    def number(self) -> float:
        """The number that draws the next token."""
        assert self.numbers is not None
        return float(self.numbers[len(self.tokens)])

    def take(self, token: int, eos: frozenset[int]) -> str:
        """Add a token, and return the text that may now be shown."""
        self.tokens.append(token)
        piece = ""
        if token in eos:
            self.reason = "eos"
        elif self.text is not None:
            piece = self.text.add(token)
            if self.text.stopped:
                self.reason = "stop"
        if self.reason is None and len(self.tokens) >= self.limit:
            self.reason = "length"
        if self.reason is not None and self.text is not None and not self.text.stopped:
            piece += self.text.finish()
            if self.text.stopped:
                self.reason = "stop"
        if self.text is not None:
            self.pieces.append(piece)
        return piece
