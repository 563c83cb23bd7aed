"""From scores of starts and ends to answers: the best pairs of every window, joined over the windows of a passage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fathom.data.example import Features

Array = np.ndarray[Any, Any]


class WindowScores(NamedTuple):
    """What decoding needs of one window: its best starts and ends, and the score that it holds no answer."""

    starts: Array
    start_scores: Array
    ends: Array
    end_scores: Array
    null_score: float


class Candidate(NamedTuple):
    """A possible answer: characters of the passage, and the summed logits of its start and end."""

    start: int
    end: int
    score: float


def window_scores(logits_BL2: Tensor, inside_BL: Tensor, count: int) -> list[WindowScores]:
    """Keep the best starts and ends of every window.

    Args:
        logits_BL2: Of start and end.
        inside_BL: Whether an answer may begin or end at a token.
        count: Starts and ends kept of each window.
    """
    scores_BL2 = logits_BL2.detach().float()
    null_B = scores_BL2[:, 0].sum(-1).cpu().numpy()
    masked_BL2 = scores_BL2.masked_fill(~inside_BL[..., None], -torch.inf)
    best = masked_BL2.topk(min(count, masked_BL2.shape[1]), dim=1)
    values_BK2, places_BK2 = best.values.cpu().numpy(), best.indices.cpu().numpy()
    records = []
    for values, places, null in zip(values_BK2, places_BK2, null_B, strict=True):
        kept = np.isfinite(values)
        starts, ends = places[kept[:, 0], 0], places[kept[:, 1], 1]
        records.append(WindowScores(starts, values[kept[:, 0], 0], ends, values[kept[:, 1], 1], float(null)))
    return records


def join_windows(
    features: Sequence[Features], windows: Sequence[WindowScores], most_tokens: int, count: int
) -> list[Candidate]:
    """Return the best answers of a passage, the best first; the same characters count once, with their best score.

    Args:
        features: Of the windows, with `char_start` and `char_end` of every token.
        windows: Their scores.
        most_tokens: Tokens of the longest answer.
        count: How many are wanted.
    """
    found: dict[tuple[int, int], float] = {}
    for feature, window in zip(features, windows, strict=True):
        length = window.ends[None, :] - window.starts[:, None] + 1
        rows, columns = np.nonzero((length >= 1) & (length <= most_tokens))
        scores = window.start_scores[rows] + window.end_scores[columns]
        chosen = np.argsort(-scores, kind="stable")[:count]
        first = np.asarray(feature["char_start"])[window.starts[rows[chosen]]].tolist()
        last = np.asarray(feature["char_end"])[window.ends[columns[chosen]]].tolist()
        for start, end, score in zip(first, last, scores[chosen].tolist(), strict=True):
            if end > start:
                found[start, end] = max(score, found.get((start, end), -np.inf))
    best = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count]
    return [Candidate(start, end, score) for (start, end), score in best]


def shares(scores: Sequence[float]) -> list[float]:
    """Return the softmax of a few scores."""
    weights = np.exp(np.array(scores, dtype=np.float64) - max(scores))
    normalized: list[float] = (weights / weights.sum()).tolist()
    return normalized
