"""The score that chooses between runs, known before any of them is trained."""

from __future__ import annotations

from fathom.device import probe_machine
from fathom.errors import ConfigError
from fathom.recipe import Recipe, resolve
from fathom.runs.prepare import prepare_data
from fathom.training.scores import is_better


def chooser(recipe: Recipe) -> tuple[str, bool]:
    """Return the name of the validation score that chooses, and whether higher is better.

    The data are read and encoded for it, so that what is wrong with them is told before anything is trained; runs map
    what is encoded here.

    Raises:
        ConfigError: There is no validation split to choose by.
        DataError: Something is wrong with the data.
    """
    data = prepare_data(resolve(recipe, probe_machine()))
    if data.split("validation") is None:
        raise ConfigError(
            "runs are chosen by the validation split, and the data have none",
            where="data.validation",
            mend="name a file",
        )
    metric = recipe.training.metric_for_best_model or data.task.main_metric
    return metric, is_better(metric, 1.0, 0.0)


def require_scored(recipe: Recipe) -> None:
    """Refuse a recipe whose runs would end without a score to compare them by.

    Raises:
        ConfigError: It has neither a test nor a validation split.
    """
    section = recipe.data
    given = section.validation is not None or section.test is not None
    if not given and section.validation_fraction == 0 and recipe.task.form != "interactions":
        raise ConfigError(
            "runs are compared by the test or the validation split, and the data have neither",
            where="data.validation",
            mend="name a file, or give data.validation_fraction a share of the training split",
        )
