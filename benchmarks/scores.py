"""When two programs' dev scores count as equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from benchmarks.rounds import Figures
from benchmarks.sources import Source, prepare, read_prepared


def scored_units(source: Source, work: Path) -> int:
    """Return how many things the dev score is a share of: entities, texts, or labels of texts."""
    rows = read_prepared(prepare(source, work)["dev"])
    if source.form == "tags":
        return sum(tag.startswith("B-") for row in rows for tag in row["tags"])
    if source.form == "labels":
        return sum(len(row["labels"]) for row in rows)
    return len(rows)


def compare_scores(theirs: Sequence[float], ours: Sequence[float], units: int) -> Figures:
    """Compare the scores of several seeds: not worse when the means differ by less than chance allows.

    Chance is the larger of the spread of the seeds (highest less lowest, of the side that spreads more) and the
    standard error of one score on this dev split, sqrt(p (1 - p) / units).
    """
    middle = mean(theirs)
    error = math.sqrt(max(middle * (1 - middle), 0.0) / units)
    spread = max(max(values) - min(values) for values in (theirs, ours))
    allowed = max(spread, error)
    difference = mean(ours) - middle
    return {
        "mean_theirs": middle,
        "mean_ours": mean(ours),
        "difference": difference,
        "spread": spread,
        "standard_error": error,
        "allowed": allowed,
        "not_worse": difference >= -allowed,
    }
