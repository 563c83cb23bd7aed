"""Which tokens a masked language model has to guess, and what stands in their place. Pure functions of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL

Array = np.ndarray[Any, Any]

CHOICE, REPLACEMENT, WORD, SPANS = range(4)
"""Streams of a draw: whether a place is masked, by what, by which token, and where spans lie."""

SPAN_PROBABILITY = 0.2
LONGEST_SPAN = 10
MEAN_SPAN = sum(
    length * SPAN_PROBABILITY * (1 - SPAN_PROBABILITY) ** (length - 1) for length in range(1, LONGEST_SPAN + 1)
) / (1 - (1 - SPAN_PROBABILITY) ** LONGEST_SPAN)
"""Words of a span on average: a geometric distribution, clipped (SpanBERT, Joshi et al. 2020)."""


def choose(draw: Draw, unit_BL: Array, allowed_BL: Array, probability: float) -> Array:
    """Choose units (tokens or words) independently; every token of a unit shares its fate.

    Args:
        draw: Of the batch.
        unit_BL: Index of the unit each token belongs to; for single tokens, the position.
        allowed_BL: False for special tokens and padding.
        probability: Of each unit.

    Returns:
        bool `[B, L]`.
    """
    chosen: Array = (draw.uniform(CHOICE, unit_BL) < probability) & allowed_BL
    return chosen


def choose_spans(draw: Draw, unit_BL: Array, allowed_BL: Array, probability: float) -> Array:
    """Choose spans of neighbouring units, of geometric length, until a share of the tokens is chosen.

    Source: Joshi et al., "SpanBERT", 2020 (arXiv 1907.10529): lengths from Geo(0.2), at most 10 words.
    """
    chosen_BL = np.zeros(unit_BL.shape, dtype=bool)
    for index, (unit_L, allowed_L) in enumerate(zip(unit_BL, allowed_BL, strict=True)):
        units = np.unique(unit_L[allowed_L])
        budget = probability * int(allowed_L.sum())
        if not len(units) or budget <= 0:
            continue
        generator = draw.generator(index, SPANS)
        # A share of a token cannot be chosen: chance decides about it, so that the mean is the probability.
        budget = int(budget) + (generator.random() < budget - int(budget))
        taken = np.zeros(len(units), dtype=bool)
        sizes = np.bincount(unit_L)[units] if len(units) < len(unit_L) else None
        count = 0
        for _ in range(4 * len(units)):
            if count >= budget:
                break
            length = min(int(generator.geometric(SPAN_PROBABILITY)), LONGEST_SPAN, max(1, budget - count))
            start = int(generator.integers(0, len(units)))
            fresh = ~taken[start : start + length]
            count += int(fresh.sum() if sizes is None else (sizes[start : start + length] * fresh).sum())
            taken[start : start + length] = True
        chosen_BL[index] = np.isin(unit_L, units[taken]) & allowed_L
    return chosen_BL


def replace(
    draw: Draw, ids_BL: Array, chosen_BL: Array, tokens: tuple[int, Array], shares: tuple[float, float] = (0.8, 0.1)
) -> tuple[Array, Array]:
    """Put a mask in the place of most chosen tokens, a random token in that of some; the rest stays.

    Args:
        draw: Of the batch.
        ids_BL: Tokens.
        chosen_BL: What has to be guessed.
        tokens: Id of the mask token, and the ids random tokens are taken from.
        shares: Of masks and of random tokens among the chosen (Devlin et al. 2019: 80 %, 10 %, 10 % unchanged).

    Returns:
        Inputs and labels, `[B, L]`.
    """
    mask_id, vocabulary_V = tokens
    place_BL = np.broadcast_to(np.arange(ids_BL.shape[1]), ids_BL.shape)
    fate_BL = draw.uniform(REPLACEMENT, place_BL)
    random_BL = vocabulary_V[(draw.uniform(WORD, place_BL) * len(vocabulary_V)).astype(np.int64)]
    masked, swapped = shares
    inputs_BL = np.where(chosen_BL & (fate_BL < masked), mask_id, ids_BL)
    inputs_BL = np.where(chosen_BL & (fate_BL >= masked) & (fate_BL < masked + swapped), random_BL, inputs_BL)
    return inputs_BL, np.where(chosen_BL, ids_BL, IGNORED_LABEL)


def join_units(begins_BL: Array) -> Array:
    """Number the units of each row from where they begin: int64 `[B, L]`."""
    numbered: Array = np.cumsum(begins_BL, axis=1)
    return numbered
