"""What trials say together: means over seeds, luck or not, and who is beaten by none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from fathom.evaluation.significance import compare, f1_score, mean_score
from fathom.runs.finish import COUNTS, MODEL
from fathom.runs.halving import Halving
from fathom.runs.result import read_metrics
from fathom.runs.trials import Trial
from fathom.training.scores import is_better

COSTS = ("trainable", "train_seconds", "peak_memory_bytes", "artifact_bytes")
"""What a score is paid with; the Pareto front is taken against each."""


@dataclass(frozen=True)
class Outcome:
    """What one trial gave."""

    name: str
    settings: dict[str, str]
    error: str | None = None
    """Why it failed; there is then no score and no figure."""
    score: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Trials that differ in nothing but the seed."""

    settings: dict[str, str]
    scores: tuple[float, ...]
    score: float
    """Mean over seeds."""
    deviation: float | None
    """Standard deviation over seeds; None for one seed."""
    p_value: float | None
    """Chance of as large a difference from the best group by luck; None for the best, and where it cannot be told."""
    figures: dict[str, float]
    """Medians over seeds."""
    front: tuple[str, ...]
    """Costs against which no other group is better in both."""


@dataclass(frozen=True)
class Comparison:
    """All trials, in groups from the best to the worst."""

    metric: str
    split: str
    groups: tuple[Group, ...]
    failures: tuple[Outcome, ...]
    trials: tuple[Outcome, ...]
    halving: Halving | None = None
    """How a given time was spent; the groups are then the trials that were trained to their end."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)


def read_outcome(trial: Trial, folder: Path) -> Outcome:
    """Read the figures of a finished trial."""
    metrics = read_metrics(folder)
    split = scored_split(metrics)
    timing, measured = metrics["timing"], metrics["measured"]
    size = sum(file.stat().st_size for file in (folder / MODEL).rglob("*") if file.is_file())
    figures = {
        "trainable": metrics["parameters"]["trainable"],
        "total": metrics["parameters"]["total"],
        "train_seconds": timing["train_seconds"],
        "real_tokens_per_s": timing["real_tokens_per_s"],
        "peak_memory_bytes": timing["peak_memory_bytes"],
        "artifact_bytes": size,
    }
    # runs of one pass that an older version trained have no forecast of it
    figures |= {name: measured[name] for name in ("memory_error",) if name in measured}
    figures |= {name: metrics[name] for name in ("together",) if name in metrics}
    value = metrics[split][metrics["main_metric"]]
    if value is None:  # how JSON holds NaN
        return Outcome(trial.name, trial.settings, error=f"its {metrics['main_metric']} on {split} is not a number")
    return Outcome(trial.name, trial.settings, score=float(value), figures=figures)


def scored_split(metrics: Mapping[str, Any]) -> str:
    """Return the split a comparison is judged on: test, else validation."""
    return "test" if metrics.get("test") else "validation"


def summarize(trials: Sequence[Trial], outcomes: Sequence[Outcome], folders: Sequence[Path]) -> Comparison:
    """Put the outcomes of all trials together."""
    done = [index for index, outcome in enumerate(outcomes) if outcome.error is None]
    failures = tuple(outcome for outcome in outcomes if outcome.error is not None)
    if not done:
        return Comparison("", "", (), failures, tuple(outcomes))
    metrics = read_metrics(folders[done[0]])
    metric, split = metrics["main_metric"], scored_split(metrics)
    members: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for index in done:
        members.setdefault(trials[index].group, []).append(index)
    drafts = {key: _draft(key, [outcomes[index] for index in indices]) for key, indices in members.items()}
    ordered = list(drafts)
    ordered.sort(key=lambda key: drafts[key].score, reverse=is_better(metric, 1.0, 0.0))
    counts = {key: _counts([folders[index] for index in members[key]], split) for key in ordered}
    groups = []
    for key in ordered:
        p_value = None if key == ordered[0] else _p_value(counts[ordered[0]], counts[key])
        front = tuple(cost for cost in COSTS if _on_front(drafts[key], drafts.values(), metric, cost))
        groups.append(Group(**{**vars(drafts[key]), "p_value": p_value, "front": front}))
    return Comparison(metric, split, tuple(groups), failures, tuple(outcomes))


def _draft(key: tuple[tuple[str, str], ...], outcomes: Sequence[Outcome]) -> Group:
    scores = tuple(outcome.score for outcome in outcomes)
    known = [name for name in outcomes[0].figures if all(name in outcome.figures for outcome in outcomes)]
    figures = {name: median(outcome.figures[name] for outcome in outcomes) for name in known}
    deviation = stdev(scores) if len(scores) > 1 else None
    return Group(dict(key), scores, mean(scores), deviation, None, figures, ())


def _counts(folders: Sequence[Path], split: str) -> np.ndarray[Any, Any] | None:
    """Counts of each example, summed over seeds; None where the score is no function of sums."""
    paths = [folder / COUNTS for folder in folders]
    if not all(path.is_file() for path in paths):
        return None
    found = [load_file(path).get(split) for path in paths]
    kept = [counts for counts in found if counts is not None]
    if len(kept) != len(found) or len({counts.shape for counts in kept}) != 1:
        return None
    total: np.ndarray[Any, Any] = np.mean(kept, axis=0)
    return total


def _p_value(best: np.ndarray[Any, Any] | None, other: np.ndarray[Any, Any] | None) -> float | None:
    if best is None or other is None or best.shape != other.shape:
        return None
    return compare(best, other, f1_score if best.shape[1] == 3 else mean_score).p_value


def _on_front(group: Group, groups: Any, metric: str, cost: str) -> bool:
    """Whether no group has at least the score for at most the cost, and one of them better."""
    own = group.figures[cost]
    for other in groups:
        if other is group:
            continue
        as_good = not is_better(metric, group.score, other.score)
        better = is_better(metric, other.score, group.score)
        if as_good and other.figures[cost] <= own and (better or other.figures[cost] < own):
            return False
    return True
