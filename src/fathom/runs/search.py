"""Which values of which keys are best: the `search` verb, on Optuna."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from fathom import files
from fathom.config import Part, validate
from fathom.device import probe_machine
from fathom.errors import FathomError, TrainingError
from fathom.locks import require_writable
from fathom.log import format_duration, get_console
from fathom.recipe import RUNS_FOLDER, Recipe, deciding, dump_recipe, load_recipe, resolve
from fathom.runs.chooser import chooser
from fathom.runs.duration import Budget, parse_duration
from fathom.runs.finished import finished_metrics
from fathom.runs.joint_process import Watched, train_joint
from fathom.runs.one_process import shared_start
from fathom.runs.ranges import read_ranges
from fathom.runs.search_report import html_report, markdown_report
from fathom.runs.search_result import ERROR, SECONDS, SearchResult, collect, final_score, read_curve
from fathom.runs.settle import accepts_by, check_values, settle
from fathom.runs.shared_process import SharedProcess
from fathom.runs.study import Identity, Pruning, Rules, Sampler, Study, Taken
from fathom.runs.together import shared_base
from fathom.runs.trial_batches import TrialBatches
from fathom.runs.trial_process import Ended, train_trial
from fathom.runs.trials import Trial
from fathom.training.checkpoint import FOLDER as CHECKPOINTS

RESULT = "search.json"
BEST = "best"
PRUNED, SPENT = "pruned", "the budget is spent"
DEFAULT_TRIALS = 20


class SearchOptions(Part):
    """How a search is made."""

    trials: int | None = Field(None, gt=0)
    """Trials of the study in all, of every process; left out, 20, or as many as the budget or the grid allows."""
    budget: str | float | None = None
    """Time this process may take (`10m`); the trial in the middle is kept and goes on with the same command."""
    sampler: Sampler = "tpe"
    """`tpe` learns from the trials so far, `random` does not, `grid` takes every combination."""
    pruning: Pruning = "asha"
    """`asha` stops trials early that are not among the best at their first, third, ninth ... evaluation."""
    reduction_factor: int = Field(3, ge=2)
    """One in so many goes on at each of these rungs."""
    seed: int = Field(7, ge=0)
    """Of the sampler."""
    at_once: int = Field(4, ge=1)
    """Most LoRA trials over one frozen base that are asked for at once and train in one pass; 1: one after another."""


@dataclass(frozen=True)
class Job:
    """What every trial is made of."""

    source: str
    fixed: list[str]
    folder: Path

    def recipe(self, settings: Mapping[str, str], name: str = "trial") -> Recipe:
        """Return the recipe of a trial."""
        own = [f"{key}={value}" for key, value in settings.items()]
        return load_recipe(self.source, [*self.fixed, *own, f"output={self.folder / 'trials' / name}"])

    def base_of(self, taken: Taken) -> str | None:
        """Return what a trial shares a pass with others over; None where it trains alone, or is not to be trained."""
        try:
            asked = self.recipe(taken.settings, f"trial-{taken.live.number}")
            recipe = resolve(asked, probe_machine())
            finished = finished_metrics(Path(str(recipe.output)), recipe, asked)
        except FathomError:  # training it alone tells what is wrong
            return None
        return shared_base(recipe) if finished is None else None


def search(source: str, edits: Iterable[str], output: str | Path | None = None, **options: Any) -> SearchResult:
    """Look for the best values of keys of a recipe, each trial an ordinary run.

    A trial is a process of its own, but those above the same frozen blocks (`top-layers`, `layers`, `head`) that come
    one after another share one, and LoRA trials over one frozen base are asked for several at once and train in one
    pass.

    Killed, the same call goes on: finished trials stay, the one in the middle resumes under its number. Called in
    several processes at once, they share the trials of one study.

    Args:
        source: A recipe: YAML file, ready recipe or `module:function`.
        edits: `key=value` for every trial, `key=[a, b]`, `key=log(1e-5, 1e-3)` ... for what is searched.
        output: Folder of the search; left out, `runs/search-<name>`.
        **options: The fields of `SearchOptions`: `trials`, `budget`, `sampler`, `pruning`, `reduction_factor`, `seed`,
            `at_once`.

    Returns:
        Trials from best to worst; also in `search.json`, `report.md` and `report.html`, the best recipe in `best.yaml`.

    Raises:
        ConfigError: The recipe, a range or an option is wrong, or the study is of another recipe.
        ArtifactError: The study's file is damaged.
    """
    settings = validate(SearchOptions, options, "search")
    budget = Budget(None if settings.budget is None else parse_duration(settings.budget))
    fixed, ranges = read_ranges(edits)
    base = load_recipe(source, fixed)
    job = Job(source, fixed, Path(output or f"{RUNS_FOLDER}/search-{base.name}"))
    require_writable(job.folder)
    check_values(ranges, job.recipe)
    accepts = accepts_by(job.recipe)
    first = settle(ranges, lambda one: one.ends[0], accepts)
    study = Study(job.folder, ranges, accepts, settings.sampler, settings.seed)
    rules = Rules(settings.pruning, settings.reduction_factor)
    identity = study.open(deciding(base), lambda: chooser(job.recipe(first)), rules)
    most = settings.trials or (DEFAULT_TRIALS if budget.seconds is None and study.grid is None else 1_000_000)
    goes_on = True
    with SharedProcess(job.folder) as shared, TrialBatches(study, most, settings.at_once, job.base_of) as batches:
        worker = Worker(job, study, identity, budget, shared)
        while goes_on and budget.left > 0 and (batch := batches.take()):
            batch = worker.tell_pruned(batch)
            try:
                goes_on = worker.work(batch)
            except TrainingError as error:
                get_console().info(f"  they are trained one by one: {error.message}")
                batches.take_back(batch)
            _write(job, study, identity)
    return _write(job, study, identity)


@dataclass(frozen=True)
class Worker:
    """Trains trials of a study."""

    job: Job
    study: Study
    identity: Identity
    budget: Budget
    shared: SharedProcess
    """Of trials above the same frozen blocks."""

    def tell_pruned(self, batch: Sequence[Taken]) -> list[Taken]:
        """Tell of trials that were to be stopped early when the process was killed; returns those to be trained."""
        pruned = [taken for taken in batch if PRUNED in taken.live.user_attrs]
        for taken in pruned:
            _say(taken)
            self._end(taken, Ended(stopped=PRUNED), 0.0)
        return [taken for taken in batch if taken not in pruned]

    def work(self, batch: Sequence[Taken]) -> bool:
        """Train trials and tell the study how they ended; returns whether there is time for another.

        Raises:
            TrainingError: Several cannot be trained in one pass; the study was told of none.
        """
        return self._work_at_once(batch) if len(batch) > 1 else all([self._work_alone(taken) for taken in batch])

    def _work_alone(self, taken: Taken) -> bool:
        _say(taken)
        began = time.monotonic()
        try:
            stopped, error = self._train(self._trial(taken), taken)
        except FathomError as failure:
            stopped, error = None, str(failure)
        return self._end(taken, Ended(error, stopped), time.monotonic() - began)

    def _work_at_once(self, batch: Sequence[Taken]) -> bool:
        """Train trials over one frozen base in one pass, and tell of each."""
        get_console().info(f"{len(batch)} trials share a frozen base and train in one pass")
        for taken in batch:
            _say(taken)
        self.shared.close()  # its memory is theirs
        began = time.monotonic()
        trials = [self._trial(taken) for taken in batch]
        watched = [
            Watched(trial, Watch(self, taken, trial.recipe), taken.claim)
            for trial, taken in zip(trials, batch, strict=True)
        ]
        endings = train_joint(watched, self.job.folder)
        each = (time.monotonic() - began) / len(batch)
        return all([self._end(taken, ended, each) for taken, ended in zip(batch, endings, strict=True)])

    def _trial(self, taken: Taken) -> Trial:
        name = f"trial-{taken.live.number}"
        return Trial(name, taken.settings, self.job.recipe(taken.settings, name))

    def _end(self, taken: Taken, ended: Ended, seconds: float) -> bool:
        """Keep what a trial took and how it ended; returns whether there is time for another."""
        self.study.note(taken, SECONDS, float(taken.live.user_attrs.get(SECONDS, 0.0)) + seconds)
        if ended.stopped == SPENT:
            get_console().info(f"  trial {taken.live.number}: {SPENT}; it goes on with the same command")
            return False
        self._tell(taken, ended.stopped, ended.error)
        return True

    def _train(self, trial: Trial, taken: Taken) -> tuple[str | None, str | None]:
        """Run a trial; returns why it was stopped, and why it failed."""
        recipe = resolve(trial.recipe, probe_machine())
        if finished_metrics(Path(str(recipe.output)), recipe, trial.recipe) is not None:
            return None, None
        watch = Watch(self, taken, trial.recipe)
        start = shared_start(recipe)
        if start is None:
            self.shared.close()  # its memory is the trial's
            ended = train_trial(trial, self.job.folder, watch=watch, held=taken.claim)
        else:
            ended = self.shared.train(trial, start, watch, taken.claim, taken.to_come)
        return ended.stopped, ended.error

    def _tell(self, taken: Taken, stopped: str | None, error: str | None) -> None:
        place, metric = self.job.folder / "trials" / f"trial-{taken.live.number}", self.identity.metric
        if error is None:
            self.study.report(taken, [score for score, _ in read_curve(place, metric)])
        score = None
        if error is None and stopped is None:
            score = final_score(place, metric)
            error = f"it has no {metric} on validation, or one that is not a number" if score is None else None
        if error is not None:
            self.study.note(taken, ERROR, error)
            get_console().info(f"  trial {taken.live.number} failed: {error}")
            self.study.tell(taken, "failed")
            return
        self.study.tell(taken, "complete" if stopped is None else "pruned", score)
        files.remove_folder(place / CHECKPOINTS)  # nothing goes on from there, and they are the largest part
        told = "stopped early: others were better at this evaluation" if score is None else f"{metric} {score:.4f}"
        took = format_duration(float(taken.live.user_attrs[SECONDS]))
        get_console().info(f"  trial {taken.live.number}: {told}, after {took}")


class Watch:
    """Looks at the scores a run logs while it trains, and says when it is to be stopped.

    That a trial is to be stopped early is noted at once: it may be told only when others have ended, and its scores,
    known by then, would not be judged again.
    """

    def __init__(self, worker: Worker, taken: Taken, recipe: Recipe) -> None:
        self.worker = worker
        self.taken = taken
        self.recipe = recipe
        self.seen = 0

    def __call__(self) -> str | None:
        """Return why the run is to be stopped, or None."""
        if self.worker.budget.left <= 0:
            return SPENT
        curve = read_curve(Path(str(self.recipe.output)), self.worker.identity.metric)
        if len(curve) <= self.seen:
            return None
        self.seen = len(curve)
        pruned = self.worker.study.report(self.taken, [score for score, _ in curve])
        if not pruned or self._is_last(curve[-1][1]):
            return None
        self.worker.study.note(self.taken, PRUNED, True)
        return PRUNED

    def _is_last(self, line: Mapping[str, Any]) -> bool:
        """Whether training is over with this evaluation: stopping then would save nothing."""
        training = self.recipe.training
        if training.max_steps is not None:
            return bool(line["step"] >= training.max_steps)
        return bool(line["epoch"] >= training.epochs)


def _say(taken: Taken) -> None:
    """Tell which trial begins, or goes on."""
    how = "again at " if taken.resumed else ""
    shown = ", ".join(f"{key}={value}" for key, value in taken.settings.items())
    get_console().info(f"{how}trial {taken.live.number}: {shown}")


def _write(job: Job, study: Study, identity: Identity) -> SearchResult:
    """Write what is found so far."""
    with study.locked():
        found = collect(study, identity)
        if found.best is not None:
            path = job.folder / f"{BEST}.yaml"
            best = job.recipe(found.best.settings).model_copy(update={"output": str(job.folder / BEST)})
            told = f"# {found.best.name} of {job.source}: {found.metric} {found.best.score:.6g} on validation\n"
            files.write_atomic(path, told + dump_recipe(best))
            found = replace(found, best_recipe=str(path))
        files.write_json(job.folder / RESULT, found.to_json())
        files.write_atomic(job.folder / "report.md", markdown_report(found, job.source))
        files.write_atomic(job.folder / "report.html", html_report(found, job.source))
    return found
