"""Beam search, as transformers does it, so that the same model gives the same text.

Every prompt is searched by itself: one whose search has ended leaves the batch. The scores, the early-stopping rule and
the order of equal candidates are those of `GenerationMixin._beam_search`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fathom.serving.generate.decode import require_numbers
from fathom.serving.generate.options import GenerationOptions
from fathom.serving.generate.processors import process_rows
from fathom.serving.generate.rows import FinishReason, Row
from fathom.serving.generate.steps import Prompts, Steps
from fathom.serving.generate.stop import contains_stop

NEVER = -1.0e9
"""Score of what cannot be chosen."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished sequence of a search."""

    tokens: list[int]
    score: float
    """Log-probability over length to the power of the length penalty."""
    reason: FinishReason


@dataclass
class Search:
    """The beams of one prompt."""

    row: Row
    """Prompt, limit, processors; its tokens stay empty."""
    beams: list[list[int]] = field(default_factory=list)
    """Tokens of the running beams, best first."""
    done: list[Hypothesis] = field(default_factory=list)
    """The finished ones, best first."""
    improvable: bool = True


@dataclass(frozen=True)
class Ending:
    """What ends a sequence: tokens, and stop strings of its text."""

    eos: frozenset[int]
    tokenizer: object = None
    stop: tuple[str, ...] = ()

    def reason(self, tokens: list[int], limit: int) -> FinishReason | None:
        """Return why a sequence ends with its last token; None where it goes on."""
        if tokens[-1] in self.eos:
            return "eos"
        if self.stop and contains_stop(self.tokenizer, tokens, self.stop):
            return "stop"
        return "length" if len(tokens) >= limit else None


def beam_search(
    steps: Steps, prompts: Prompts, rows: Sequence[Row], options: GenerationOptions, ending: Ending
) -> list[list[Hypothesis]]:
    """Search every prompt's likeliest continuations.

    Args:
        steps: A batch of the model, not begun.
        prompts: What is read first.
        rows: One for each prompt.
        options: Beams, length penalty, early stopping.
        ending: Of a sequence.

    Returns:
        For each prompt its finished sequences, best first.

    Raises:
        ArtifactError: The model's scores are not numbers.
    """
    width = options.num_beams
    scores_BV = steps.prefill(prompts)
    device = scores_BV.device
    row_R = torch.arange(len(prompts), device=device).repeat_interleave(width)
    steps.keep(row_R)
    scores_BV = scores_BV[row_R]
    searches = [Search(row, [[] for _ in range(width)]) for row in rows]
    alive = list(searches)
    # only the first beam counts at first: the others are copies of it
    running_PN = torch.full((len(rows), width), NEVER, device=device)
    running_PN[:, 0] = 0.0
    while True:
        beam_R, token_R, running_PN = _advance(scores_BV, alive, running_PN, options, ending)
        staying = [place for place, search in enumerate(alive) if search.improvable]
        if not staying:
            return [search.done for search in searches]
        if len(staying) < len(alive):
            place_P = torch.tensor(staying, device=device)
            row_R = (place_P[:, None] * width + torch.arange(width, device=device)).flatten()
            beam_R, token_R, running_PN = beam_R[row_R], token_R[row_R], running_PN[place_P]
            alive = [alive[place] for place in staying]
        steps.keep(beam_R)
        scores_BV = steps.step(token_R)


def _advance(
    scores_BV: Tensor, searches: Sequence[Search], running_PN: Tensor, options: GenerationOptions, ending: Ending
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one token further: returns each running beam's row before, its token, and the beams' scores."""
    count, width = running_PN.shape
    require_numbers(scores_BV.max(dim=-1).values)
    log_BV = torch.log_softmax(scores_BV, dim=-1)
    if any(search.row.processors for search in searches):
        histories = [search.row.read + beam for search in searches for beam in search.beams]
        chains = [search.row.processors for search in searches for _ in range(width)]
        log_BV = process_rows(log_BV, histories, chains)
    size = log_BV.shape[1]
    total = (log_BV.view(count, width, size) + running_PN[:, :, None]).view(count, -1)
    top_PK, index_PK = total.topk(max(2, 1 + len(ending.eos)) * width)
    beam_PK, token_PK = torch.div(index_PK, size, rounding_mode="floor"), index_PK % size
    candidates = [
        [search.beams[beam] + [token] for beam, token in zip(beams, tokens, strict=True)]
        for search, beams, tokens in zip(searches, beam_PK.tolist(), token_PK.tolist(), strict=True)
    ]
    reasons = [
        [ending.reason(tokens, search.row.limit) for tokens in found]
        for search, found in zip(searches, candidates, strict=True)
    ]
    ends_PK = torch.tensor([[reason is not None for reason in row] for row in reasons], device=top_PK.device)
    open_PK = top_PK + ends_PK.float() * NEVER
    order_PN = open_PK.topk(width).indices
    running_PN = open_PK.gather(1, order_PN)
    for place, search in enumerate(searches):
        _finish(search, candidates[place], reasons[place], top_PK[place], options)
        search.beams = [candidates[place][number] for number in order_PN[place].tolist()]
        search.improvable = _improvable(search, running_PN[place], options) and not all(reasons[place])
    offset_P1 = torch.arange(count, device=top_PK.device)[:, None] * width
    rows_PN = beam_PK.gather(1, order_PN) + offset_P1
    return rows_PN.flatten(), token_PK.gather(1, order_PN).flatten(), running_PN


def _finish(
    search: Search,
    candidates: list[list[int]],
    reasons: list[FinishReason | None],
    top_K: Tensor,
    options: GenerationOptions,
) -> None:
    """Add the best beams that have just ended to the finished ones; only the best of those are kept."""
    length = len(candidates[0])
    scores = (top_K / (length**options.length_penalty)).tolist()
    for number in range(options.num_beams):
        reason = reasons[number]
        if reason is not None:
            search.done.append(Hypothesis(candidates[number], scores[number], reason))
    search.done.sort(key=lambda hypothesis: -hypothesis.score)  # stable: of equals, the earlier
    del search.done[options.num_beams :]


def _improvable(search: Search, running_N: Tensor, options: GenerationOptions) -> bool:
    """Whether a running beam could still become better than the worst of the finished ones."""
    full = len(search.done) >= options.num_beams
    if full and options.early_stopping is True:
        return False
    length = len(search.beams[0])
    if options.early_stopping == "never" and options.length_penalty > 0:
        length = search.row.limit
    best = float(running_N[0] / (length**options.length_penalty))
    worst = search.done[-1].score if full else NEVER
    return best > worst
