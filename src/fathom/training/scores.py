"""Which score chooses the best model, and which way it is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fathom.errors import ConfigError

LOWER_IS_BETTER = frozenset(
    (
        *("loss", "sentence_loss", "perplexity", "bits_per_token", "bits_per_byte", "mse", "rmse", "mae"),
        *("ece", "mce", "brier", "ter", "copy_rate", "identical_to_source", "num_empty", "cold", "num_truncated"),
        *("wer", "cer", "sentence_error_rate", "kl"),
    )
)


def require_score(metric: str, scores: Mapping[str, Any]) -> float:
    """Return the score that chooses the best model.

    Raises:
        ConfigError: There is none of this name; names those there are.
    """
    if metric not in scores:
        raise ConfigError(
            f"the validation split gives no score called '{metric}'",
            where="training.metric_for_best_model",
            mend=f"choose one of {', '.join(name for name, value in scores.items() if isinstance(value, float))}",
        )
    return float(scores[metric])


def is_better(metric: str, score: float, best: float | None) -> bool:
    """Whether a score beats the best so far, if there is one; NaN never does."""
    if math.isnan(score):
        return False
    if best is None:
        return True
    return score < best if metric in LOWER_IS_BETTER else score > best


def evaluation_line(at: tuple[int, int], score: tuple[str, float], mark: str = "", name: str = "") -> str:
    """Return what is told of an evaluation while a run trains.

    Args:
        at: The step, of how many.
        score: That which chooses the best model, with its name.
        mark: A word or two that follow it.
        name: Of the run, where several train at once.
    """
    told = (name, "validation", f"{at[0]:,}/{at[1]:,}", f"{score[0]} {score[1]:.4f}", mark)
    return "  ".join(filter(None, told))


def plain_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores that are single numbers."""
    return {name: float(value) for name, value in scores.items() if isinstance(value, int | float)}
