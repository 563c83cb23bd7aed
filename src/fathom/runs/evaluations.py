"""Evaluations a recipe asks for, held against what its task and its data give, before anything is written."""

from __future__ import annotations

import re

from fathom import catalog
from fathom.config import suggest
from fathom.errors import ConfigError
from fathom.recipe import NO_VALIDATION, Recipe
from fathom.runs.prepared import PreparedData
from fathom.tasks.base import OpenTask

OF_A_SECOND_OBJECTIVE = ("sentence_loss", "sentence_accuracy")


def check_evaluations(recipe: Recipe, data: PreparedData) -> None:
    """Refuse settings of evaluations where there are none, and a best model by a score that the task does not have.

    Raises:
        ConfigError: Names the setting, and the scores there are.
    """
    settings = recipe.training
    if data.split("validation") is None and settings.of_evaluations:
        given = ", ".join(f"training.{name}" for name in settings.of_evaluations)
        raise ConfigError(f"the run has no validation split to evaluate on ({given})", where="data", mend=NO_VALIDATION)
    metric, known = settings.metric_for_best_model, score_names(data.task)
    # a score of shortened vectors has their size behind it
    if metric is not None and known is not None and re.sub(r"/\d+$", "", metric) not in known:
        raise ConfigError(
            f"{data.task.kind} gives no score called '{metric}'{suggest(metric, known)}",
            where="training.metric_for_best_model",
            mend=f"choose one of {', '.join(known)}",
        )


def score_names(task: OpenTask) -> list[str] | None:
    """Return the scores that an evaluation of a task may give; None where one of its metrics does not say."""
    names = [] if task.whole_batch else ["loss"]
    if type(task).side_loss is not OpenTask.side_loss:
        names += OF_A_SECOND_OBJECTIVE
    written = task.writing_metrics if task.generated_examples else {}
    for name, options in {**{name: {} for name in task.metrics}, **written}.items():
        own = catalog.load("metric", name)(**options).score_names
        if own is None:
            return None
        names += own
    return list(dict.fromkeys(names))
