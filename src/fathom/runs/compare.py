"""Strategies, models, any keys of a recipe, side by side on the user's own data: the `compare` verb."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from fathom import files
from fathom.device import probe_machine
from fathom.errors import ConfigError, FathomError
from fathom.locks import only_one
from fathom.log import format_duration, get_console
from fathom.recipe import RUNS_FOLDER, load_recipe, resolve
from fathom.runs.chooser import chooser, require_scored
from fathom.runs.comparison import Comparison, Outcome, read_outcome, summarize
from fathom.runs.comparison_report import html_report, markdown_report
from fathom.runs.duration import parse_duration
from fathom.runs.finished import finished_metrics
from fathom.runs.forgetting import Forgetting
from fathom.runs.halving import Halver, Halving
from fathom.runs.trial_groups import train_groups
from fathom.runs.trial_process import train_trial
from fathom.runs.trials import Refused, Trial, plan_trials, read_edits

RESULT = "comparison.json"

TOGETHER = ("auto", "never")


def compare(
    source: str,
    edits: Iterable[str],
    output: str | Path | None = None,
    *,
    budget: str | float | None = None,
    together: str = "auto",
    forgetting: str | Path | None = None,
) -> Comparison:
    """Train every combination of what varies and set the results side by side.

    Each trial is a process of its own. LoRA trials over one frozen base share one, and train in one pass; so do trials
    of one strategy above the same frozen blocks (`top-layers`, `layers`, `head`), and train one after another.

    An interrupted comparison goes on where it was: finished trials are not repeated, the one in the middle resumes. A
    trial that fails is reported and the others go on.

    Args:
        source: A recipe: YAML file, ready recipe or `module:function`.
        edits: `key=value` for every trial, `key=[a, b]` for what varies; `tuning=all` takes every strategy. A key of a
            section that varies is left out where the section does not have it.
        output: Folder of the comparison; left out, `runs/compare-<name>`.
        budget: Time to spend (`10m`): short runs first, the better half of them goes on, by successive halving.
        together: `auto` trains in one process what can be, `never` nothing.
        forgetting: A file of texts, on which is measured what each model forgot of what its base could do.

    Returns:
        Groups of trials from best to worst, and failures; also in `comparison.json`, `report.md` and `report.html`.

    Raises:
        ConfigError: The recipe, an edit or an option is wrong, nothing varies, or no split is left to score.
        DataError: The file of texts is missing or empty.
    """
    if together not in TOGETHER:
        mend = "say auto or never"
        raise ConfigError(f"'{together}' is no way to share a process", where="--together", mend=mend)
    edits = list(edits)
    seconds = None if budget is None else parse_duration(budget)
    fixed, _ = read_edits(edits)
    folder = Path(output or f"{RUNS_FOLDER}/compare-{load_recipe(source, fixed).name}")
    plan = plan_trials(source, edits, folder)
    trials = plan.trials
    kept = None if forgetting is None else Forgetting(forgetting)
    _check(trials, kept)
    with only_one(folder, what="another comparison"):
        if seconds is None:
            halving, done = None, list(zip(trials, _outcomes(trials, folder, together), strict=True))
        else:
            halving = Halver(trials, folder, seconds, _metric(trials), together=together == "auto").run()
            done = _ended(trials, halving)
        if kept is not None:
            done = [(trial, _with_forgetting(trial, outcome, kept)) for trial, outcome in done]
        places = [Path(str(trial.recipe.output)) for trial, _ in done]
        found = summarize([trial for trial, _ in done], [outcome for _, outcome in done], places)
        found = replace(found, halving=halving, texts=None if kept is None else kept.path)
        found = _with_refused(found, plan.refused)
        _write(found, folder, source)
    return found


def _with_refused(found: Comparison, refused: Sequence[Refused]) -> Comparison:
    """Add the strategies that no trial could be made of to the failed trials."""
    outcomes = tuple(Outcome(one.name, one.settings, error=str(one.error)) for one in refused)
    return replace(found, trials=(*found.trials, *outcomes), failures=(*found.failures, *outcomes))


def _check(trials: Sequence[Trial], kept: Forgetting | None) -> None:
    """Refuse trials that could not be judged, before any is trained."""
    for trial in trials:
        require_scored(trial.recipe)
        if kept is not None:
            kept.check(trial.recipe)


def _write(found: Comparison, folder: Path, source: str) -> None:
    files.write_json(folder / RESULT, found.to_json())
    files.write_atomic(folder / "report.md", markdown_report(found, source))
    files.write_atomic(folder / "report.html", html_report(found, source))


def _with_forgetting(trial: Trial, outcome: Outcome, kept: Forgetting) -> Outcome:
    """Add to the figures of a finished trial what it kept of its base; a failure to measure is told."""
    if outcome.error is not None:
        return outcome
    get_console().info(f"what {trial.name} forgot, on {kept.path}")
    try:
        return replace(outcome, figures={**outcome.figures, **kept.measure(trial.recipe)})
    except (FathomError, OSError) as error:
        get_console().info(f"  not measured: {error}")
        return outcome


def _metric(trials: Sequence[Trial]) -> str:
    """Return the validation score that decides; what is wrong with the data of every trial is told here."""
    problems = []
    for trial in trials:
        try:
            return chooser(trial.recipe)[0]
        except FathomError as error:  # of this trial alone, perhaps: training it tells
            problems.append(error)
    raise problems[0]


def _ended(trials: Sequence[Trial], halving: Halving) -> list[tuple[Trial, Outcome]]:
    """Return the trials that are at their end or failed; the others have no figures yet."""
    last = {one.name: one for made in halving.rounds for standing in made for one in standing.slices}
    found = []
    for trial in trials:
        one = last.get(trial.name)
        if one is not None and one.error is not None:
            found.append((trial, Outcome(trial.name, trial.settings, error=one.error)))
        elif one is not None and one.finished:
            found.append((trial, read_outcome(trial, Path(str(trial.recipe.output)))))
    return found


def _outcomes(trials: Sequence[Trial], folder: Path, together: str) -> list[Outcome]:
    """Train every trial that is not finished, and read what each gave."""
    failed = train_groups(trials, folder) if together == "auto" else {}
    outcomes = []
    for number, trial in enumerate(trials, 1):
        get_console().info(f"trial {number} of {len(trials)}: {_shown(trial)}")
        error = failed.get(trial.name)
        outcome = _trained(trial, folder) if error is None else Outcome(trial.name, trial.settings, error=error)
        get_console().info(_told(outcome))
        outcomes.append(outcome)
    return outcomes


def _trained(trial: Trial, folder: Path) -> Outcome:
    place = Path(str(trial.recipe.output))
    try:
        finished = finished_metrics(place, resolve(trial.recipe, probe_machine()), trial.recipe)
    except FathomError as error:
        return Outcome(trial.name, trial.settings, error=str(error))
    if finished is None:
        ended = train_trial(trial, folder)
        if ended.error is not None:
            return Outcome(trial.name, trial.settings, error=ended.error)
    return read_outcome(trial, place)


def _shown(trial: Trial) -> str:
    return ", ".join(f"{key}={value}" for key, value in trial.settings.items())


def _told(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"  failed: {outcome.error}"
    return f"  {outcome.score:.4f} after {format_duration(outcome.figures['train_seconds'])} of training"
