"""The memory of a search: an Optuna study in one SQLite file, for one process or several, killed or not.

Each trial has a claim, a lock that the process at work on it holds and the kernel drops when that process dies. A
trial that is running by the study and claimed by nobody was left by a killed process: the next one to ask for work
takes it up again under the same number, so it is never counted twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fathom.errors import ArtifactError, ConfigError, FathomError, MissingExtraError
from fathom.files import digest
from fathom.runs.older_recipes import deciding_by_this_version
from fathom.runs.ranges import Range, combinations
from fathom.runs.settle import settle
from fathom.training.checkpoint import differences

if TYPE_CHECKING:
    import optuna

DATABASE = "study.db"
LOCK_SECONDS = 60
"""How long a writer waits for another one."""
IDENTITY = "fathom"
"""Attribute of a study that says what it searches."""

Sampler = Literal["tpe", "random", "grid"]
Pruning = Literal["asha", "none"]


@dataclass(frozen=True)
class Identity:
    """What makes two commands the same search.

    Attributes:
        recipe: Everything in it that decides the result, without what varies.
        ranges: As written, by key.
        sampler: A grid counts its trials, so it cannot begin in the middle.
        metric: Key of the validation score.
        higher_is_better: Its direction.
    """

    recipe: dict[str, Any]
    ranges: dict[str, str]
    sampler: str
    metric: str
    higher_is_better: bool


@dataclass(frozen=True)
class Rules:
    """How unpromising trials are stopped.

    Attributes:
        pruning: By successive halving, or not at all.
        reduction_factor: One in so many goes on at each rung.
    """

    pruning: Pruning = "asha"
    reduction_factor: int = 3


@dataclass(frozen=True)
class Taken:
    """A trial that this process works on.

    Attributes:
        live: Optuna's.
        settings: By key, as YAML.
        resumed: Whether a killed process had begun it.
        claim: Descriptor of its lock.
        to_come: Trials of the study that nobody has begun, this one not counted.
    """

    live: optuna.trial.Trial
    settings: dict[str, str]
    resumed: bool
    claim: int
    to_come: int


class Study:
    """A search's trials, past and running.

    Args:
        folder: Of the search.
        ranges: Sections before their keys.
        accepts: Whether settings make a valid recipe.
        sampler: How values are chosen.
        seed: Of the sampler.
    """

    def __init__(
        self,
        folder: Path,
        ranges: list[Range],
        accepts: Callable[[Mapping[str, str]], bool],
        sampler: Sampler = "tpe",
        seed: int = 7,
    ) -> None:
        self.folder = folder
        self.path = folder / DATABASE
        self.ranges = ranges
        self.accepts = accepts
        self.sampler: Sampler = sampler
        self.seed = seed
        self.grid = combinations(ranges, accepts) if sampler == "grid" else None
        self._study: optuna.Study | None = None

    @property
    def live(self) -> optuna.Study:
        """Optuna's study."""
        assert self._study is not None, "open it first"
        return self._study

    def open(self, recipe: Mapping[str, Any], judge: Callable[[], tuple[str, bool]], rules: Rules) -> Identity:
        """Open the file, or make it.

        Args:
            recipe: Everything in it that decides the result, without what varies.
            judge: Returns the score that chooses and whether higher is better; called for a new study only, for the
                score is known once the data are read.
            rules: How unpromising trials are stopped.

        Raises:
            ConfigError: The study is of another recipe or other ranges.
            ArtifactError: The file is damaged, or the trials of a search are here without one.
            MissingExtraError: Optuna is not installed.
        """
        optuna = require_optuna()
        ranges = {one.key: one.to_text() for one in self.ranges}
        with self.locked(), self._guarded():
            known = _read_identity(self.path)
            if known is None:
                self._check_empty()
                known = Identity(dict(recipe), ranges, self.sampler, *judge())
            else:
                _check_same(self.path, known, Identity(dict(recipe), ranges, self.sampler, "", True))
            storage = optuna.storages.RDBStorage(
                f"sqlite:///{self.path.absolute()}", engine_kwargs={"connect_args": {"timeout": LOCK_SECONDS}}
            )
            pruner = optuna.pruners.NopPruner()
            if rules.pruning == "asha":
                pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=rules.reduction_factor)
            self._study = optuna.create_study(
                storage=storage,
                study_name=IDENTITY,
                pruner=pruner,
                direction="maximize" if known.higher_is_better else "minimize",
                load_if_exists=True,
            )
            self._study.set_user_attr(IDENTITY, json.dumps(vars(known)))
        return known

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Return every trial, by number."""
        with self._guarded():
            return self.live.get_trials(deepcopy=False)

    def take(self, most: int, *, below: int | None = None) -> Taken | None:
        """Take a trial to work on: one that a killed process left, else a new one; None where there are enough.

        Args:
            most: Trials of the study, of all processes, running, finished and failed.
            below: Begin no trial of this number or a higher one.
        """
        optuna = require_optuna()
        with self.locked(), self._guarded():
            trials = self.live.get_trials(deepcopy=False)
            begun = [trial for trial in trials if trial.state != optuna.trial.TrialState.WAITING]
            number = len(begun)
            most = most if self.grid is None else min(most, len(self.grid))
            self.live.sampler = self._sampler(number)
            for trial in begun:
                if trial.state == optuna.trial.TrialState.RUNNING:
                    claim = self._claim(trial.number)
                    if claim is not None:
                        resumed = optuna.trial.Trial(self.live, trial._trial_id)
                        return Taken(resumed, self._settings(resumed), True, claim, max(0, most - number))
            if number >= most or (below is not None and number >= below):
                return None
            if self.grid is not None and len(trials) == number:
                by_key = {one.key: one for one in self.ranges}
                chosen = self.grid[number].items()
                self.live.enqueue_trial({key: by_key[key].parameter(value) for key, value in chosen})
            live = self.live.ask()
            new = self._claim(live.number)
            assert new is not None, "a new trial is claimed by nobody"
            return Taken(live, self._settings(live), False, new, most - number - 1)

    def report(self, taken: Taken, values: list[float]) -> bool:
        """Tell the validation scores of a trial so far; returns whether it is to be stopped."""
        with self._guarded():
            known = len(self.trials()[taken.live.number].intermediate_values)
            pruned = False
            for index, value in enumerate(values[known:], known + 1):
                taken.live.report(value, index)
                pruned = pruned or taken.live.should_prune()
            return pruned

    def note(self, taken: Taken, name: str, value: Any) -> None:
        """Keep a fact about a trial."""
        with self._guarded():
            taken.live.set_user_attr(name, value)

    def tell(self, taken: Taken, state: Literal["complete", "pruned", "failed"], score: float | None = None) -> None:
        """Say how a trial ended."""
        optuna = require_optuna()
        states = optuna.trial.TrialState
        with self._guarded():
            self.live.tell(
                taken.live,
                score if state == "complete" else None,
                {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[state],
            )

    def release(self, taken: Taken) -> None:
        """Give up the claim: the trial is told, or left to go on another time."""
        os.close(taken.claim)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study against other processes that take a trial or write the report."""
        descriptor = _lock(self.folder / f".{DATABASE}.lock", wait=True)
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def is_claimed(self, number: int) -> bool:
        """Whether a process is at work on a trial."""
        descriptor = self._claim(number)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def _claim(self, number: int) -> int | None:
        return _lock(self.folder / "trials" / f".trial-{number}.lock", wait=False)

    def _settings(self, trial: optuna.trial.Trial) -> dict[str, str]:
        return settle(self.ranges, lambda one: one.suggest(trial), self.accepts)

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return the sampler of one trial: its luck depends on the number alone, not on the process or on restarts."""
        from optuna.samplers import RandomSampler, TPESampler

        seed = int(digest([self.seed, number])[:8], 16)
        return TPESampler(seed=seed) if self.sampler == "tpe" else RandomSampler(seed=seed)

    def _check_empty(self) -> None:
        """Refuse a folder of trials whose study is lost: new trials would fall into the folders of old ones."""
        if any((self.folder / "trials").glob("trial-*.yaml")):
            mend = "put the file back, or give another --output; the runs in trials/ are intact"
            raise ArtifactError(
                "the trials of a search are here and its study is gone", where=str(self.path), mend=mend
            )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn what a locked or damaged file raises into words."""
        optuna = require_optuna()
        import sqlalchemy

        try:
            yield
        except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            cause = str(vars(error).get("orig") or error.__cause__ or error).partition("\n")[0]
            if "locked" in cause:
                mend = "close the program that holds the file open, then give the same command again"
                raise FathomError("another program keeps the study locked", where=str(self.path), mend=mend) from None
            mend = "put back a sound copy of the file, or give another --output; the runs in trials/ are intact"
            raise ArtifactError(f"the study cannot be read: {cause}", where=str(self.path), mend=mend) from None


def _check_same(path: Path, known: Identity, now: Identity) -> None:
    """Refuse to go on with another recipe or other ranges than the study began with."""
    recipe = json.loads(json.dumps(now.recipe))
    begun = deciding_by_this_version(known.recipe, str(path))
    changed = differences("", begun, recipe) if begun != recipe else []
    # Names of keys hold dots themselves, so they are compared one by one.
    before, after = ({"sampler": one.sampler, **one.ranges} for one in (known, now))
    pairs = [(key, before.get(key), after.get(key)) for key in sorted({*before, *after})]
    changed += [pair for pair in pairs if pair[1] != pair[2]]
    if changed:
        lines = [f"{name}: {there!r} there, {here!r} here" for name, there, here in changed]
        raise ConfigError(
            "the study here is of another search\n  " + "\n  ".join(lines),
            where=str(path),
            mend="give another --output, or take back the change",
        )


def require_optuna() -> Any:
    """Import Optuna, silenced: what matters is told by Fathom.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "search") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _read_identity(path: Path) -> Identity | None:
    """Read what a study searches, None where there is none yet; looks the whole file over for damage first."""
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as connection:
        found = connection.execute("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'study_user_attributes'").fetchone():
            return None
        query = "SELECT value_json FROM study_user_attributes WHERE key = ?"
        row = connection.execute(query, (IDENTITY,)).fetchone()
    return None if row is None else Identity(**json.loads(json.loads(row[0])))


def _lock(path: Path, *, wait: bool) -> int | None:
    """Lock a file; returns its descriptor, None where another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # the disk knows no locks: one process works, as everywhere
        return descriptor
    return descriptor
