"""What happens to the scores of the next token before one is chosen: transformers' own processors, in its order.

Those that look at the tokens so far run on one sequence at a time, on its own tokens and no padding, so that a
sequence's scores never depend on its neighbours; the filters of sampling look at scores only and run on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import LogitsProcessorList
from transformers.generation import logits_process as library

from fathom.serving.generate.options import GenerationOptions

RowProcessor = Callable[[Tensor, Tensor], Tensor]
"""`(ids [1, length], scores [1, V]) -> scores`."""


def sampling_filters(options: GenerationOptions) -> LogitsProcessorList:
    """Return the filters of sampling: temperature, top-k, top-p, min-p, in that order."""
    filters = LogitsProcessorList()
    if options.strategy != "sample":
        return filters
    if options.temperature is not None and options.temperature != 1.0:
        filters.append(library.TemperatureLogitsWarper(options.temperature))
    if options.top_k is not None:
        filters.append(library.TopKLogitsWarper(options.top_k))
    if options.top_p is not None and options.top_p < 1.0:
        filters.append(library.TopPLogitsWarper(options.top_p))
    if options.min_p is not None:
        filters.append(library.MinPLogitsWarper(options.min_p))
    return filters


def row_processors(
    options: GenerationOptions, fixed: Any, eos: Sequence[int], start: int, limit: int
) -> LogitsProcessorList:
    """Return the processors that look at the tokens so far.

    Args:
        options: What the user asks for.
        fixed: The model's own `generation_config`: forced, suppressed and banned tokens, least lengths.
        eos: Tokens that end a text.
        start: Tokens before the first generated one (the prompt, or the decoder's start token).
        limit: Most tokens generated.
    """
    found = LogitsProcessorList()
    if options.repetition_penalty != 1.0:
        found.append(library.RepetitionPenaltyLogitsProcessor(options.repetition_penalty))
    if options.no_repeat_ngram_size > 0:
        found.append(library.NoRepeatNGramLogitsProcessor(options.no_repeat_ngram_size))
    ends = list(eos)
    if fixed.bad_words_ids is not None:
        found.append(library.NoBadWordsLogitsProcessor(fixed.bad_words_ids, ends or None))
    if fixed.min_length and ends:
        found.append(library.MinLengthLogitsProcessor(fixed.min_length, ends))
    if fixed.min_new_tokens and ends:
        found.append(library.MinNewTokensLengthLogitsProcessor(start, fixed.min_new_tokens, ends))
    if fixed.forced_bos_token_id is not None:
        found.append(library.ForcedBOSTokenLogitsProcessor(fixed.forced_bos_token_id))
    if fixed.forced_eos_token_id is not None:
        found.append(library.ForcedEOSTokenLogitsProcessor(start + limit, fixed.forced_eos_token_id))
    if fixed.suppress_tokens is not None:
        found.append(library.SuppressTokensLogitsProcessor(fixed.suppress_tokens))
    if fixed.begin_suppress_tokens is not None:
        begin = start if start > 1 or fixed.forced_bos_token_id is None else start + 1
        found.append(library.SuppressTokensAtBeginLogitsProcessor(fixed.begin_suppress_tokens, begin))
    return found


def process_rows(
    scores_BV: Tensor, histories: Sequence[Sequence[int]], processors: Sequence[LogitsProcessorList]
) -> Tensor:
    """Run each sequence's processors on its row of scores.

    Args:
        scores_BV: Of the next token.
        histories: Tokens of each sequence so far.
        processors: Of each sequence; empty lists cost nothing.
    """
    if not any(processors):
        return scores_BV
    rows = []
    for row, (history, chain) in enumerate(zip(histories, processors, strict=True)):
        ids = torch.tensor([history], dtype=torch.long, device=scores_BV.device)
        rows.append(chain(ids, scores_BV[row : row + 1]) if chain else scores_BV[row : row + 1])
    return torch.cat(rows)
