"""Checks of pairs: targets that are their source, lengths that do not belong together, one target for many sources."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence

from fathom.data.example import Example
from fathom.data.findings import SHOWN, Finding
from fathom.data.split import normalize_text

MOST_TIMES = 4.0
"""How many times the median ratio of lengths a pair's may be, or a fraction of it."""
MOST_DEVIATIONS = 5.0
"""Median absolute deviations of the logarithm, where ratios vary more by nature."""
SAME_TARGET = 0.01
"""Share of a split that one target may have before it is told."""


def check_written(split: str, examples: Sequence[Example]) -> list[Finding]:
    """Check the pairs of a split; examples without references have nothing to check."""
    pairs = [example for example in examples if example.get("references")]
    if not pairs:
        return []
    return [*_identical(split, pairs), *_lengths(split, pairs), *_repeated(split, pairs)]


def _identical(split: str, pairs: Sequence[Example]) -> list[Finding]:
    same = [
        pair
        for pair in pairs
        if any(normalize_text(text) == normalize_text(pair["text"]) for text in pair["references"])
    ]
    if not same:
        return []
    said = f"{len(same)} targets of {split} are their source ({len(same) / len(pairs):.1%})"
    shown = tuple(f"{pair['where']}: {pair['text'][:60]!r}" for pair in same[:SHOWN])
    return [
        Finding("identical-pair", "warning", said, len(same), shown, "a model learns to copy from them: remove them")
    ]


def _lengths(split: str, pairs: Sequence[Example]) -> list[Finding]:
    ratios = [math.log(len(pair["references"][0]) / len(pair["text"])) for pair in pairs]
    middle = statistics.median(ratios)
    deviation = statistics.median(abs(ratio - middle) for ratio in ratios)
    limit = max(math.log(MOST_TIMES), MOST_DEVIATIONS * 1.4826 * deviation)
    odd = [(abs(ratio - middle), pair, ratio) for ratio, pair in zip(ratios, pairs, strict=True)]
    odd = sorted((item for item in odd if item[0] > limit), key=lambda item: -item[0])
    if not odd:
        return []
    said = (
        f"{len(odd)} targets of {split} are far longer or shorter than the rest: usually a target has "
        f"{math.exp(middle):.2f} characters for each of its source"
    )
    shown = tuple(
        f"{pair['where']}: {math.exp(ratio):.2f}: {pair['text'][:40]!r} -> {pair['references'][0][:40]!r}"
        for _, pair, ratio in odd[:SHOWN]
    )
    return [Finding("length-ratio", "warning", said, len(odd), shown, "look whether these belong together")]


def _repeated(split: str, pairs: Sequence[Example]) -> list[Finding]:
    counts = Counter(pair["references"][0] for pair in pairs)
    often = [(text, count) for text, count in counts.most_common(SHOWN) if count > max(1, SAME_TARGET * len(pairs))]
    if not often:
        return []
    said = f"{len(often)} targets of {split} stand for more than {SAME_TARGET:.0%} of the sources each"
    shown = tuple(f"{count} times {text[:60]!r}" for text, count in often)
    return [Finding("repeated-target", "note", said, len(often), shown)]
