"""A comparison within a given time: successive halving over what varies (Jamieson & Talwalkar, 2016).

Every trial is the whole run of its recipe, with its own schedule, and is only left and gone on with: in each round the
trials that are still in get the same time, then the better half stays. Nothing is trained twice, and whatever is left
out can be trained to its end later from where it stands.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from fathom import files
from fathom.device import probe_machine
from fathom.errors import ConfigError, FathomError
from fathom.log import format_duration, get_console
from fathom.recipe import Recipe, recipe_digest, resolve
from fathom.runs.finished import compare_stored, finished_metrics
from fathom.runs.result import read_metrics
from fathom.runs.trial_groups import group_trials
from fathom.runs.trial_process import train_group, train_trial
from fathom.runs.trials import Trial
from fathom.training.scores import is_better

STATE = "halving.json"
Fate = Literal["stays", "dropped", "failed"]
Key = tuple[tuple[str, str], ...]
"""Settings without the seed."""


@dataclass(frozen=True)
class Slice:
    """What one trial did in one round.

    Attributes:
        name: Of the trial.
        score: On validation, of the weights as they are or of the best so far, whichever is better; None without one.
        step: Steps done since its beginning.
        total_steps: Of its whole run.
        given_seconds: What it was given in this round.
        seconds: What it took: starting a process of its own is in the time given, saving and scoring come on top. Of
            trials that shared a process, an equal part of what that took.
        finished: Whether its run is at its end.
        error: Why it failed.
    """

    name: str
    score: float | None
    step: int
    total_steps: int
    given_seconds: float
    seconds: float
    finished: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Standing:
    """Where the trials that differ in nothing but the seed stand after a round.

    Attributes:
        settings: What they have in common, by key.
        score: Mean over seeds; None where none has one.
        slices: Of each seed.
        fate: Whether they stay in.
    """

    settings: dict[str, str]
    score: float | None
    slices: tuple[Slice, ...]
    fate: Fate


@dataclass(frozen=True)
class Halving:
    """How the time was spent.

    Attributes:
        metric: The validation score that decided.
        budget_seconds: Given.
        spent_seconds: Of all processes that worked on it.
        num_rounds: Planned.
        rounds: Made, each from best to worst.
    """

    metric: str
    budget_seconds: float
    spent_seconds: float
    num_rounds: int
    rounds: tuple[tuple[Standing, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)


class Halver:
    """Spends a time on trials.

    Args:
        trials: All of them.
        folder: Of the comparison.
        budget_seconds: To spend.
        metric: The validation score that decides.
        together: Whether trials of a round train in one process where they can.
    """

    def __init__(
        self, trials: Sequence[Trial], folder: Path, budget_seconds: float, metric: str, *, together: bool = True
    ) -> None:
        self.folder = folder
        self.budget_seconds = budget_seconds
        self.metric = metric
        self.together = together
        self.groups: dict[Key, list[Trial]] = {}
        for trial in trials:
            self.groups.setdefault(trial.group, []).append(trial)
        self.num_rounds = max(1, math.ceil(math.log2(len(self.groups))))
        self.slices: list[dict[str, Slice]] = []
        """Of each round, by trial."""
        self.spent = 0.0
        self._remember()

    def run(self) -> Halving:
        """Go on until the time is spent, one is left, or all that are left are trained to their end."""
        alive = list(self.groups)
        rounds: list[tuple[Standing, ...]] = []
        for number in range(self.num_rounds):
            if number == len(self.slices):
                self.slices.append({})
            made = self._round(number, alive)
            if made is None:
                break
            rounds.append(made)
            alive = [tuple(one.settings.items()) for one in made if one.fate == "stays"]
            get_console().info(_told(number, made))
            if not alive or all(self._is_finished(trial) for key in alive for trial in self.groups[key]):
                break
        return Halving(self.metric, self.budget_seconds, self.spent, self.num_rounds, tuple(rounds))

    def _round(self, number: int, alive: Sequence[Key]) -> tuple[Standing, ...] | None:
        """Give each trial that is in its time; None where there is none left."""
        known = self.slices[number]
        open_trials = [trial for key in alive for trial in self.groups[key] if trial.name not in known]
        waiting = [trial for trial in open_trials if not self._is_finished(trial)]
        left = self.budget_seconds - self.spent
        if waiting and left <= 0 and number > 0:
            return None
        seconds = max(0.0, left) / (self.num_rounds - number) / max(1, len(waiting))
        for trials in self._processes(open_trials):
            for trial in (trial for trial in trials if trial in waiting):
                shown = ", ".join(f"{key}={value}" for key, value in trial.settings.items())
                time_given = format_duration(seconds)
                get_console().info(f"round {number + 1} of {self.num_rounds}, {time_given} for {shown}")
            known |= self._slices(trials, seconds)
            self._save()
        return self._judge(number, alive)

    def _processes(self, trials: Sequence[Trial]) -> list[list[Trial]]:
        """Return the trials of each process of a round, in their order."""
        groups = group_trials(trials) if self.together else []
        by_name = {trial.name: group for group in groups for trial in group}
        found = [by_name.get(trial.name, [trial]) for trial in trials]
        return [one for number, one in enumerate(found) if one not in found[:number]]

    def _slices(self, trials: Sequence[Trial], seconds: float) -> dict[str, Slice]:
        """Train the trials of one process for a time each, from where they stand."""
        if len(trials) == 1:
            return {trials[0].name: self._slice(trials[0], seconds)}
        began = time.monotonic()
        limit = max(1.0, seconds - self._overrun())
        ended = train_group(trials, self.folder, ["--time-limit", f"{limit:.1f}s"])
        took = time.monotonic() - began
        self.spent += took
        if ended.error is not None:
            get_console().info(f"  they are trained one by one: {ended.error}")
            self.together = False
            left = max(0.0, seconds - took / len(trials))
            return {trial.name: self._slice(trial, left) for trial in trials}
        told = zip(trials, ended.said["runs"], strict=True)
        return {trial.name: self._read(trial, said, (limit, took / len(trials))) for trial, said in told}

    def _slice(self, trial: Trial, seconds: float) -> Slice:
        """Train a trial for a time, from where it stands."""
        if self._is_finished(trial):
            return self._finished(trial, (0.0, 0.0))
        began = time.monotonic()
        limit = max(1.0, seconds - self._overrun())
        ended = train_trial(trial, self.folder, ["--time-limit", f"{limit:.1f}s"])
        took = time.monotonic() - began
        self.spent += took
        said = ended.said if ended.error is None else {"error": ended.error}
        return self._read(trial, said, (limit, took))

    def _read(self, trial: Trial, said: Mapping[str, Any], times: tuple[float, float]) -> Slice:
        """Return what a trial did by what its process said of it; the times are what it was given and what it took."""
        if "error" in said:
            return Slice(trial.name, None, 0, 0, *times, error=str(said["error"]))
        if "paused" not in said:
            return self._finished(trial, times)
        paused: Mapping[str, Any] = said["paused"]
        scores = [score for score in (paused["score"], paused["best_score"]) if score is not None]
        return Slice(trial.name, self._best(scores), paused["step"], paused["total_steps"], *times)

    def _overrun(self) -> float:
        """Seconds that leaving a run took on top of its time so far, in the mean."""
        left = [one for made in self.slices for one in made.values() if not one.finished and one.error is None]
        return mean(max(0.0, one.seconds - one.given_seconds) for one in left) if left else 0.0

    def _finished(self, trial: Trial, times: tuple[float, float]) -> Slice:
        metrics = read_metrics(Path(str(trial.recipe.output)))
        score = metrics.get("validation", {}).get(self.metric)
        return Slice(trial.name, score, metrics["steps"], metrics["steps"], *times, finished=True)

    def _is_finished(self, trial: Trial) -> bool:
        try:
            place = Path(str(trial.recipe.output))
            return finished_metrics(place, resolve(trial.recipe, probe_machine()), trial.recipe) is not None
        except FathomError:  # the recipe cannot run here, or the folder is another's: training it tells why
            return False

    def _best(self, scores: Sequence[float]) -> float | None:
        best: float | None = None
        for score in scores:
            best = score if is_better(self.metric, score, best) else best
        return best

    def _judge(self, number: int, alive: Sequence[Key]) -> tuple[Standing, ...]:
        """Order the trials by score and say who stays: the better half, in the last round the best."""
        drafts = []
        for key in alive:
            slices = tuple(self.slices[number][trial.name] for trial in self.groups[key])
            scores = [one.score for one in slices if one.score is not None]
            drafts.append(Standing(dict(key), mean(scores) if scores else None, slices, "failed"))
        sign = -1.0 if is_better(self.metric, 1.0, 0.0) else 1.0
        drafts.sort(key=lambda one: (one.score is None, sign * (one.score or 0.0)))
        scored = [one for one in drafts if one.score is not None]
        last = number == self.num_rounds - 1
        most = 1 if last else math.ceil(len(scored) / 2)
        if all(each.finished for one in scored for each in one.slices if each.error is None):
            most = len(scored)  # nothing is saved by leaving them out
        return tuple(
            one if one.score is None else replace(one, fate="stays" if index < most else "dropped")
            for index, one in enumerate(drafts)
        )

    def _identity(self) -> dict[str, Any]:
        recipes = {trial.name: recipe_digest(trial.recipe) for trials in self.groups.values() for trial in trials}
        return {"budget_seconds": self.budget_seconds, "recipes": recipes}

    def _save(self) -> None:
        slices = [{name: asdict(one) for name, one in made.items()} for made in self.slices]
        state = {**self._identity(), "spent_seconds": self.spent, "slices": slices}
        files.write_json(self.folder / STATE, state)

    def _remember(self) -> None:
        """Go on where a killed process was.

        Raises:
            ConfigError: It had another budget or other trials.
        """
        if not (self.folder / STATE).exists():
            return
        state = files.read_json(self.folder / STATE)
        changed = [] if state["budget_seconds"] == self.budget_seconds else ["budget_seconds"]
        changed += [] if self._has_same_trials(state) else ["recipes"]
        if changed:
            raise ConfigError(
                f"a comparison with a budget is here, with another {' and other '.join(changed)}",
                where=str(self.folder / STATE),
                mend="give another --output; or leave out --budget, which trains all of its trials to the end",
            )
        self.spent = state["spent_seconds"]
        self.slices = [{name: Slice(**one) for name, one in made.items()} for made in state["slices"]]

    def _has_same_trials(self, state: Mapping[str, Any]) -> bool:
        """Whether a comparison was of these trials; of an older version's, the runs say it, for digests do not."""
        now = self._identity()["recipes"]
        if set(state["recipes"]) != set(now):
            return False
        begun = {name for made in state["slices"] for name in made}
        changed = {name for name, value in now.items() if state["recipes"][name] != value}
        trials = {trial.name: trial for trials in self.groups.values() for trial in trials}
        return all(_began_as(trials[name].recipe) for name in changed & begun)


def _began_as(recipe: Recipe) -> bool:
    """Whether the run of a trial began with its recipe, read as the version ran it that wrote it."""
    folder = Path(str(recipe.output))
    try:
        found, _ = compare_stored(folder, resolve(recipe, probe_machine()), recipe)
    except FathomError:
        return False
    return not found


def _told(number: int, made: Sequence[Standing]) -> str:
    dropped = [label(one.settings) for one in made if one.fate == "dropped"]
    best = made[0]
    score = "none has a score" if best.score is None else f"best {label(best.settings)} {best.score:.4f}"
    return f"  after round {number + 1}: {score}" + (f"; left out: {', '.join(dropped)}" if dropped else "")


def label(settings: Mapping[str, str]) -> str:
    """Return what trials have that others have not; the bare value where one key varies."""
    if len(settings) == 1:
        return next(iter(settings.values()))
    return ", ".join(f"{key.removeprefix('training.')}={value}" for key, value in settings.items()) or "recipe"
