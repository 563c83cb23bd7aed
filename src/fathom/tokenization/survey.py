"""Do annotated spans survive a tokenizer? Identical, cut off, gone, or sharing a sub-word, with places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fathom.tokenization.align import encode_offsets, spans_to_subwords, subwords_to_spans
from fathom.tokenization.words import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Place = tuple[int, int]
"""(text, span): the indices of one span."""


@dataclass(frozen=True)
class SpanSurvey:
    """What became of every span on the way to sub-words and back."""

    identical: int
    untokenisable: tuple[Place, ...]
    """Spans whose first or last word has no sub-word."""
    truncated: tuple[Place, ...]
    """Spans that reach past the last sub-word kept."""
    shared: tuple[Place, ...]
    """Spans whose first or last sub-word also covers characters of a neighbour written without a space between."""
    moved: tuple[Place, ...]
    """Spans that come back elsewhere for no such reason; there should be none."""


def survey_spans(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    words: Sequence[Sequence[Span]],
    spans: Sequence[Sequence[Span]],
    max_subwords: int | None = None,
) -> SpanSurvey:
    """Send spans of whole words to sub-words and back.

    Args:
        tokenizer: A fast tokenizer.
        texts: The texts.
        words: Offsets of each text's words.
        spans: Offsets of each text's spans; each begins and ends with a word.
        max_subwords: Where texts are cut; none keeps them whole.
    """
    encoded = encode_offsets(tokenizer, texts)
    identical = 0
    lost: list[Place] = []
    cut: list[Place] = []
    shared: list[Place] = []
    moved: list[Place] = []
    for text in range(len(texts)):
        offsets_T2 = encoded.of(text)[1]
        seen_W = spans_to_subwords(words[text], offsets_T2)[:, 0] >= 0
        starts = {start: bool(seen) for (start, _), seen in zip(words[text], seen_W, strict=True)}
        ends = {end: bool(seen) for (_, end), seen in zip(words[text], seen_W, strict=True)}
        places_S2 = spans_to_subwords(spans[text], offsets_T2)
        limit = len(offsets_T2) if max_subwords is None else max_subwords
        back = subwords_to_spans(np.minimum(places_S2, limit - 1), offsets_T2, words[text])
        for index, span in enumerate(spans[text]):
            if not (starts.get(span[0], False) and ends.get(span[1], False)):
                lost.append((text, index))
            elif places_S2[index, 1] >= limit:
                cut.append((text, index))
            elif back[index] == tuple(span):
                identical += 1
            elif offsets_T2[places_S2[index, 0], 0] < span[0] or offsets_T2[places_S2[index, 1], 1] > span[1]:
                shared.append((text, index))
            else:
                moved.append((text, index))
    return SpanSurvey(identical, tuple(lost), tuple(cut), tuple(shared), tuple(moved))
