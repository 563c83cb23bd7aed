"""The loop of greedy decoding and sampling: score, choose, read, until every sequence has ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from fathom.errors import ArtifactError
from fathom.serving.generate.processors import process_rows
from fathom.serving.generate.rows import Row
from fathom.serving.generate.sampling import sample_tokens
from fathom.serving.generate.steps import Prompts, Steps


def decode(
    steps: Steps,
    prompts: Prompts,
    rows: Sequence[Row],
    filters: LogitsProcessorList | None,
    eos: frozenset[int],
) -> Iterator[tuple[Row, str]]:
    """Generate; a sequence that has ended leaves the batch, and costs nothing more.

    Args:
        steps: A batch of the model, not begun.
        prompts: What is read first.
        rows: The sequences, in the order of their prompts; a prompt's several samples follow each other.
        filters: Of sampling; None chooses the likeliest token.
        eos: Tokens that end a sequence.

    Yields:
        A row and its new text, for every token of every row; the row's `reason` is set when it has ended.

    Raises:
        ArtifactError: The model's scores are not numbers.
    """
    scores_BV = steps.prefill(prompts)
    alive = list(rows)
    if len(alive) > len(prompts):
        repeats = len(alive) // len(prompts)
        row_R = torch.arange(len(prompts), device=scores_BV.device).repeat_interleave(repeats)
        steps.keep(row_R)
        scores_BV = scores_BV[row_R]
    while True:
        token_B = _choose(scores_BV, alive, filters)
        staying: list[int] = []
        for place, (row, token) in enumerate(zip(alive, token_B.tolist(), strict=True)):
            yield row, row.take(token, eos)
            if row.reason is None:
                staying.append(place)
        if not staying:
            return
        if len(staying) < len(alive):
            row_R = torch.tensor(staying, device=scores_BV.device)
            steps.keep(row_R)
            token_B, alive = token_B[row_R], [alive[place] for place in staying]
        scores_BV = steps.step(token_B)


def _choose(scores_BV: Tensor, rows: Sequence[Row], filters: LogitsProcessorList | None) -> Tensor:
    if any(row.processors for row in rows):
        histories = [row.history for row in rows]
        scores_BV = process_rows(scores_BV, histories, [row.processors for row in rows])
    best_B, token_B = scores_BV.max(dim=-1)
    require_numbers(best_B)
    if filters is None:
        return token_B
    # none of the filters of sampling reads the tokens so far
    return sample_tokens(filters(token_B[:, None], scores_BV), [row.number for row in rows])


def require_numbers(best_B: Tensor) -> None:
    """Check that the best score of each sequence is a number.

    Raises:
        ArtifactError: One is not.
    """
    if not bool(torch.isfinite(best_B).all()):
        raise ArtifactError("the model answers NaN or Inf", mend="generate with precision fp32, or train again")
