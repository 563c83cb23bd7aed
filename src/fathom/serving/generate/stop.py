"""From tokens to text as it grows: whole characters only, and nothing that a stop string may still take back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REPLACEMENT = "\ufffd"
"""What a tokenizer writes for bytes that are not (yet) a character."""
CONTEXT_TOKENS = 8
"""Tokens of the prompt decoded along, because a token's text depends on what stands before it (a space, or none)."""


class Detokenizer:
    """Turns tokens into text one by one; characters that need several tokens come out whole.

    Args:
        tokenizer: A fast one.
        context: Tokens before the first; their text is not given out.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context: Sequence[int] = ()) -> None:
        self._backend = tokenizer.backend_tokenizer
        self._ids = list(context[-CONTEXT_TOKENS:])
        self._window = 0
        """First token decoded: the piece given out last is decoded along with what is new."""
        self._given = len(self._ids)
        """Tokens whose text has been given out."""

    def add(self, token: int) -> str:
        """Return the text that is certain after one more token; empty while a character is incomplete."""
        self._ids.append(token)
        before, now = self._decode(self._given), self._decode(len(self._ids))
        if len(now) <= len(before) or now.endswith(REPLACEMENT):
            return ""
        self._window, self._given = self._given, len(self._ids)
        return now[len(before) :]

    def finish(self) -> str:
        """Return the text held back, without an incomplete character at its end."""
        before, now = self._decode(self._given), self._decode(len(self._ids))
        self._window, self._given = self._given, len(self._ids)
        return now[len(before) :].rstrip(REPLACEMENT)

    def _decode(self, end: int) -> str:
        text: str = self._backend.decode(self._ids[self._window : end], skip_special_tokens=True)
        return text


def decode_all(tokenizer: PreTrainedTokenizerBase, context: Sequence[int], tokens: Sequence[int]) -> str:
    """Return the text of all tokens at once, as a `Detokenizer` gives it piece by piece."""
    detokenizer = Detokenizer(tokenizer, context)
    detokenizer._ids.extend(tokens)
    return detokenizer.finish()


class TextStream:
    """The text of one sequence as it grows, ended before the first stop string.

    Args:
        detokenizer: Of this sequence.
        stop: Stop strings.
    """

    def __init__(self, detokenizer: Detokenizer, stop: Sequence[str] = ()) -> None:
        self._detokenizer = detokenizer
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False
        """Whether a stop string has come."""

    def add(self, token: int) -> str:
        """Return the text that may be shown after one more token: a beginning of a stop string is withheld."""
        return "" if self.stopped else self._release(self._detokenizer.add(token), last=False)

    def finish(self) -> str:
        """Return what is left at the end."""
        return "" if self.stopped else self._release(self._detokenizer.finish(), last=True)

    def _release(self, piece: str, last: bool) -> str:
        held = self._held + piece
        found = [place for place in (held.find(text) for text in self._stop) if place >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return held[: min(found)]
        keep = 0 if last else open_ending(held, self._stop)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]


def open_ending(text: str, stop: Sequence[str]) -> int:
    """Return the characters at the end of a text that may be the beginning of a stop string."""
    longest = max((len(string) - 1 for string in stop), default=0)
    for length in range(min(longest, len(text)), 0, -1):
        if any(string.startswith(text[len(text) - length :]) for string in stop):
            return length
    return 0


def contains_stop(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], stop: Sequence[str]) -> bool:
    """Whether the text of tokens holds a stop string that the last token completed."""
    if not stop:
        return False
    # a character is at most four tokens, and all but the last token have been looked at before
    tail = list(tokens[-4 * max(len(string) for string in stop) - 4 :])
    text: str = tokenizer.backend_tokenizer.decode(tail, skip_special_tokens=True)
    return any(string in text for string in stop)
