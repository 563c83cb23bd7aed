"""What trials say together: means over seeds, luck or not, and who is beaten by none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
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

COSTS = ("trainable", "train_seconds", "own_memory_bytes", "artifact_bytes")
"""What a score is paid with; the Pareto front is taken against each."""


@dataclass(frozen=True)
class PlaceThatLearns:
    """Parameters that learn in one component of one block, or beside the blocks."""

    depth: int | None
    component: str
    trainable: int


@dataclass(frozen=True)
class WhereItLearns:
    """What a run's ledger says of its trainable parameters."""

    num_blocks: int
    rows: tuple[PlaceThatLearns, ...]


@dataclass(frozen=True)
class Outcome:
    """What one trial gave."""

    name: str
    settings: dict[str, str]
    error: str | None = None
    """Why it failed; there is then no score and no figure."""
    score: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    learned: WhereItLearns | None = None
    """None where the run is of a version that did not tell."""


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
    """Costs against which no other group is better in both; none that the group has no figure of."""
    learned: WhereItLearns | None = None
    """Of the first seed."""
    examples: str | None = None
    """Digest of the examples that were scored; None where they differ between seeds or are not known."""


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
    texts: str | None = None
    """File on whose texts it was measured what was forgotten."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)


def read_outcome(trial: Trial, folder: Path) -> Outcome:
    """Read the figures of a finished trial."""
    metrics = read_metrics(folder)
    split = scored_split(metrics)
    value = metrics.get(split, {}).get(metrics["main_metric"])
    if value is None:  # none, or how JSON holds NaN
        error = f"it has no {metrics['main_metric']} on {split}, or one that is not a number"
        return Outcome(trial.name, trial.settings, error=error)
    figures, parameters = _figures(metrics, folder), metrics["parameters"]
    learned = None
    if "places" in parameters:
        rows = tuple(PlaceThatLearns(**place) for place in parameters["places"])
        learned = WhereItLearns(parameters["num_blocks"], rows)
    return Outcome(trial.name, trial.settings, score=float(value), figures=figures, learned=learned)


def _figures(metrics: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """Return what a run took; runs of an older version have not all of it."""
    timing, measured, forecast = metrics["timing"], metrics["measured"], metrics.get("forecast", {})
    together = metrics.get("together", 1)
    known = {
        "trainable": metrics["parameters"]["trainable"],
        "total": metrics["parameters"]["total"],
        "train_seconds": timing["train_seconds"],
        "epoch_seconds": timing.get("seconds_per_epoch"),
        "real_tokens_per_s": timing["real_tokens_per_s"],
        "peak_memory_bytes": timing["peak_memory_bytes"],
        "forecast_memory_bytes": forecast.get("peak_memory_bytes"),
        "memory_error": measured.get("memory_error"),
        "own_memory_bytes": timing["peak_memory_bytes"] if together == 1 else forecast.get("alone_peak_memory_bytes"),
        "together": together,
        "artifact_bytes": sum(file.stat().st_size for file in (folder / MODEL).rglob("*") if file.is_file()),
    }
    return {name: value for name, value in known.items() if value is not None}


def scored_split(metrics: Mapping[str, Any]) -> str:
    """Return the split a comparison is judged on: test, else validation."""
    return "test" if metrics.get("test") else "validation"


def summarize(trials: Sequence[Trial], outcomes: Sequence[Outcome], folders: Sequence[Path]) -> Comparison:
    """Put the outcomes of all trials together; those with another main score than most are told apart."""
    done = [index for index, outcome in enumerate(outcomes) if outcome.error is None]
    if not done:
        return Comparison("", "", (), tuple(outcomes), tuple(outcomes))
    metrics = {index: read_metrics(folders[index]) for index in done}
    kinds = {index: (metrics[index]["main_metric"], scored_split(metrics[index])) for index in done}
    metric, split = Counter(kinds.values()).most_common(1)[0][0]
    told = [_told_apart(outcome, kinds.get(index), (metric, split)) for index, outcome in enumerate(outcomes)]
    members: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for index in done:
        if told[index].error is None:
            members.setdefault(trials[index].group, []).append(index)
    drafts = {key: _draft(key, [told[index] for index in indices]) for key, indices in members.items()}
    ordered = list(drafts)
    ordered.sort(key=lambda key: drafts[key].score, reverse=is_better(metric, 1.0, 0.0))
    kept = {key: _Kept.read([(folders[index], metrics[index]) for index in members[key]], split) for key in ordered}
    groups = []
    for key in ordered:
        p_value = None if key == ordered[0] else kept[ordered[0]].p_value(kept[key])
        front = tuple(cost for cost in COSTS if _on_front(drafts[key], drafts.values(), metric, cost))
        groups.append(replace(drafts[key], p_value=p_value, front=front, examples=kept[key].examples))
    failures = tuple(outcome for outcome in told if outcome.error is not None)
    return Comparison(metric, split, tuple(groups), failures, tuple(told))


def _told_apart(outcome: Outcome, own: tuple[str, str] | None, common: tuple[str, str]) -> Outcome:
    """Return a trial whose score is of another kind as one that cannot be ranked."""
    if own is None or own == common:
        return outcome
    theirs, ours = (f"{metric} on {split}" for metric, split in (common, own))
    return replace(
        outcome, error=f"its score, {ours} {outcome.score:.4f}, cannot be ranked beside {theirs}: compare it apart"
    )


def _draft(key: tuple[tuple[str, str], ...], outcomes: Sequence[Outcome]) -> Group:
    scores = tuple(outcome.score for outcome in outcomes)
    known = [name for name in outcomes[0].figures if all(name in outcome.figures for outcome in outcomes)]
    figures = {name: median(outcome.figures[name] for outcome in outcomes) for name in known}
    if "together" in figures:  # one that was not alone is enough to say so
        figures["together"] = max(outcome.figures["together"] for outcome in outcomes)
    deviation = stdev(scores) if len(scores) > 1 else None
    return Group(dict(key), scores, mean(scores), deviation, None, figures, (), outcomes[0].learned)


@dataclass(frozen=True)
class _Kept:
    """What each example added to the score of a group, in the mean over seeds."""

    examples: str | None
    counts: np.ndarray[Any, Any] | None

    @classmethod
    def read(cls, runs: Sequence[tuple[Path, Mapping[str, Any]]], split: str) -> _Kept:
        """Read it of the runs of a group; nothing where the score is no function of sums, or the examples differ."""
        digests = {metrics.get("examples", {}).get(split) for _, metrics in runs}
        paths = [folder / COUNTS for folder, _ in runs]
        if len(digests) > 1 or None in digests or not all(path.is_file() for path in paths):
            return cls(None, None)
        found = [load_file(path)[split] for path in paths]
        same = len({counts.shape for counts in found}) == 1
        return cls(digests.pop(), np.mean(found, axis=0) if same else None)

    def p_value(self, other: _Kept) -> float | None:
        """Return the chance of as large a difference from another group by luck; None where nothing can be paired."""
        if self.counts is None or other.counts is None or self.examples != other.examples:
            return None
        if self.counts.shape != other.counts.shape:
            return None
        return compare(self.counts, other.counts, f1_score if self.counts.shape[1] == 3 else mean_score).p_value


def _on_front(group: Group, groups: Any, metric: str, cost: str) -> bool:
    """Whether no group has at least the score for at most the cost, and one of them better."""
    if cost not in group.figures:
        return False
    own = group.figures[cost]
    for other in groups:
        if other is group or cost not in other.figures:
            continue
        as_good = not is_better(metric, group.score, other.score)
        better = is_better(metric, other.score, group.score)
        if as_good and other.figures[cost] <= own and (better or other.figures[cost] < own):
            return False
    return True
