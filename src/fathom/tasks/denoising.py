"""How encoder-decoders are taught to restore a text: spans behind sentinels (T5), spans behind one mask (BART)."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LONGEST_INFILLED_SPAN = 40


def noise_spans(length: int, density: float, mean_span: float, generator: np.random.Generator) -> Array:
    """Choose spans of noise: the numbers of tokens and of spans are fixed, their lengths and places random.

    Args:
        length: Tokens of the text.
        density: Share of noise tokens.
        mean_span: Tokens of a span on average.
        generator: Of the sequence.

    Returns:
        bool `[length]`; never the first token, where the text has two and more.

    Source: `random_spans_noise_mask` of T5 (Raffel et al., 2020, arXiv 1910.10683).
    """
    if length < 2:
        return np.zeros(length, dtype=bool)
    noise = min(max(round(length * density), 1), length - 1)
    spans = min(max(round(noise / mean_span), 1), noise, length - noise)
    noise_lengths = _split(noise, spans, generator)
    kept_lengths = _split(length - noise, spans, generator)
    lengths = np.stack([kept_lengths, noise_lengths], axis=1).reshape(-1)
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def hide_behind_sentinels(ids: Array, noise: Array, sentinels: Array) -> tuple[Array, Array]:
    """Return what the encoder reads (a sentinel for each span) and what the decoder says (sentinel, span, ...).

    Raises:
        ValueError: There are more spans than sentinels.
    """
    begins = noise & ~np.concatenate([[False], noise[:-1]])
    count = int(begins.sum())
    if count > len(sentinels):
        raise ValueError(f"{count} spans and {len(sentinels)} sentinels")
    marked = ids.copy()
    marked[begins] = sentinels[:count]
    source = marked[~noise | begins]
    at = np.flatnonzero(begins)
    target = np.insert(ids, at, sentinels[:count])[np.insert(noise, at, True)]
    return source, target


def infill(ids: Array, mask_id: int, options: tuple[float, float], generator: np.random.Generator) -> Array:
    """Replace spans by one mask each, spans of length zero included, until a share of the tokens is covered.

    Args:
        ids: A text.
        mask_id: Of the mask token.
        options: Share of the tokens, and the mean of a span's Poisson length.
        generator: Of the sequence.

    Source: Lewis et al., "BART", 2020 (arXiv 1910.13461), section 2.2, text infilling.
    """
    share, mean = options
    budget = round(len(ids) * share)
    covered = np.zeros(len(ids), dtype=bool)
    begins = np.zeros(len(ids) + 1, dtype=np.int64)
    spent = 0
    while spent < budget:
        length = min(int(generator.poisson(mean)), LONGEST_INFILLED_SPAN, budget - spent)
        start = int(generator.integers(0, len(ids) + 1 - length))
        if covered[start : start + length].any() or begins[start]:
            spent += 1  # a place already taken counts, so that the loop ends on short texts
            continue
        covered[start : start + length] = True
        begins[start] += 1
        spent += max(length, 1)
    pieces = []
    for place in range(len(ids) + 1):
        if begins[place]:
            pieces.append(mask_id)
        if place < len(ids) and not covered[place]:
            pieces.append(int(ids[place]))
    return np.array(pieces, dtype=ids.dtype)


def _split(total: int, parts: int, generator: np.random.Generator) -> Array:
    """Split a number into positive parts, every way being equally likely."""
    cuts = np.sort(generator.permutation(total - 1)[: parts - 1]) + 1
    return np.diff(np.concatenate([[0], cuts, [total]]))
