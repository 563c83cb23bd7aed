"""Filling the masks of a text: the likeliest tokens of each, and the text with the first of them in their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fathom.data.example import Example
from fathom.errors import DataError
from fathom.tokenization.words import Span

GOES_ON = "##"
"""How WordPiece begins a piece that goes on with a word; of BPE two signs like any."""
BEGINS = ("\u0120", "\u2581")
"""How byte-level BPE and SentencePiece begin a piece that begins one."""
UNMARKED = frozenset({"WordPiece", "WordLevel"})
"""Models of tokenizers whose pieces do not say whether a space stands before them."""


@dataclass(frozen=True)
class MaskedText:
    """A text as the model reads it.

    Attributes:
        ids: Of its tokens, without those around it.
        places: Which of them are masks.
        spans: Where the masks stand in the text; of some tokenizers with the space before.
    """

    ids: list[int]
    places: list[int]
    spans: list[Span]


def read_masks(example: Example, tokenizer: PreTrainedTokenizerBase) -> MaskedText:
    """Encode a text with masks.

    Raises:
        DataError: It has none; says how they are written.
    """
    encoded = tokenizer(example["text"], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids: list[int] = encoded["input_ids"]
    places = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
    if not places:
        raise DataError(
            "the text has no mask to fill",
            where=example["where"],
            mend=f"write {tokenizer.mask_token} where a word is to be guessed",
        )
    return MaskedText(ids, places, [encoded["offset_mapping"][place] for place in places])


def likeliest(logits_SV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the probabilities and the ids of the likeliest tokens at each position, falling: `[S, count]` both."""
    found = logits_SV.float().softmax(-1).topk(min(count, logits_SV.shape[1]))
    return found.values, found.indices


def candidates(
    scores: Sequence[float], tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> list[dict[str, Any]]:
    """Return what may stand in the place of a mask, in the words of transformers' pipeline."""
    return [
        {"token": token, "token_str": tokenizer.decode([token]), "score": score}
        for score, token in zip(scores, tokens, strict=True)
    ]


def fill(text: str, spans: Sequence[Span], tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a text with a token in the place of each mask; the rest stays as it was written."""
    written, last = "", 0
    for (start, end), token in zip(spans, tokens, strict=True):
        written = _join(written + text[last:start], text[start:end], token, tokenizer)
        last = end
    return written + text[last:]


def _join(before: str, mask: str, token: int, tokenizer: PreTrainedTokenizerBase) -> str:
    piece, word = str(tokenizer.convert_ids_to_tokens(token)), str(tokenizer.decode([token])).strip()
    space = mask[: len(mask) - len(mask.lstrip())]
    kind = type(tokenizer.backend_tokenizer.model).__name__
    if kind in UNMARKED and piece.startswith(GOES_ON):
        return before.rstrip() + word.removeprefix(GOES_ON)
    if piece.startswith(BEGINS):
        return before + (space or (" " if before and not before[-1].isspace() else "")) + word
    return before + (space if kind in UNMARKED else "") + word
