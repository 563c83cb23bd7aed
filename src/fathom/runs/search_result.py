"""What a search found: its trials from best to worst, the best recipe, and which keys mattered."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fathom.runs.result import read_metrics
from fathom.runs.study import Identity, Study, require_optuna
from fathom.tracking.jsonl import METRICS as LINES

FEWEST_FOR_IMPORTANCE = 8
"""Finished trials below which the importance of a key would be luck."""
ERROR, SECONDS = "error", "seconds"
"""Facts a study keeps about a trial."""

State = Literal["complete", "pruned", "failed", "running", "stopped"]


@dataclass(frozen=True)
class Record:
    """One trial."""

    number: int
    settings: dict[str, str]
    state: State
    """`running` in another process; `stopped` by a budget or a kill: it goes on with the same command."""
    score: float | None = None
    """On validation, of the weights the run kept; None unless it is complete."""
    curve: tuple[float | None, ...] = ()
    """Score at each evaluation; None where it was not a number."""
    test: float | None = None
    """The same score on the test split, which never chooses."""
    seconds: float | None = None
    """Spent on it, of all processes."""
    error: str | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"trial-{self.number}"


@dataclass(frozen=True)
class SearchResult:
    """Everything a search found."""

    metric: str
    higher_is_better: bool
    ranges: dict[str, str]
    records: tuple[Record, ...]
    """Finished ones from best to worst, then the others by number."""
    importance: dict[str, float] = field(default_factory=dict)
    """Share of each key in what tells good trials from the rest (PED-ANOVA); empty where there are too few trials."""
    best_recipe: str | None = None
    """File of the best recipe, ready to run."""

    @property
    def best(self) -> Record | None:
        """The best trial."""
        return next((record for record in self.records if record.score is not None), None)

    def having(self, state: State) -> list[Record]:
        """Return the trials in a state."""
        return [record for record in self.records if record.state == state]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)


def read_curve(folder: Path, metric: str) -> list[tuple[float, Mapping[str, Any]]]:
    """Return the validation scores a run has logged since it began to train, each with its line."""
    try:
        text = (folder / LINES).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    found = []
    for line in text.splitlines(keepends=True):
        values = json.loads(line) if line.endswith("\n") else {}  # the last may be half written
        if values.get("split") == "validation" and values["step"] > 0 and metric in values:
            found.append((float(values[metric]), values))
    return found


def final_score(folder: Path, metric: str, split: str = "validation") -> float | None:
    """Return a score of a finished run; None where it has none or it is not a number."""
    value = read_metrics(folder).get(split, {}).get(metric)
    return None if value is None else float(value)


def collect(study: Study, identity: Identity) -> SearchResult:
    """Read every trial of a study; the study is held meanwhile, so that nobody takes one."""
    records = [_record(study, trial, identity.metric) for trial in study.trials()]
    sign = -1.0 if identity.higher_is_better else 1.0

    def order(record: Record) -> tuple[bool, float, int]:
        return record.score is None, sign * (record.score or 0.0), record.number

    ordered = tuple(sorted(records, key=order))
    scored = sum(record.score is not None for record in records)
    importance = _importance(study) if scored >= FEWEST_FOR_IMPORTANCE else {}
    return SearchResult(identity.metric, identity.higher_is_better, dict(identity.ranges), ordered, importance)


def _record(study: Study, trial: Any, metric: str) -> Record:
    states = require_optuna().trial.TrialState
    state: State
    if trial.state == states.COMPLETE:
        state = "complete"
    elif trial.state == states.PRUNED:
        state = "pruned"
    elif trial.state == states.FAIL:
        state = "failed"
    else:
        state = "running" if study.is_claimed(trial.number) else "stopped"
    curve = tuple(_finite(value) for _, value in sorted(trial.intermediate_values.items()))
    done = state == "complete"
    return Record(
        trial.number,
        {one.key: one.write(trial.params[one.key]) for one in study.ranges if one.key in trial.params},
        state,
        trial.value if done else None,
        curve,
        final_score(study.folder / "trials" / f"trial-{trial.number}", metric, "test") if done else None,
        trial.user_attrs.get(SECONDS),
        trial.user_attrs.get(ERROR),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _importance(study: Study) -> dict[str, float]:
    optuna = require_optuna()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all trials are alike is told by equal shares
        found: dict[str, float] = optuna.importance.get_param_importances(study.live)
    return found
