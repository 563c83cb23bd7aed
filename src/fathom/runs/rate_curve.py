"""What the loss says while the learning rate rises: where it falls fastest, where it is lowest, where it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGMA_SHARE = 0.02
"""Width of the smoothing window, as a share of the steps."""
LEAST_FALL = 0.02
"""Share of the first loss by which it must fall for a rate to be suggested."""
MARGIN = 10.0
"""A rate is suggested at least this many times below the lowest point of the loss and below where it left."""


@dataclass(frozen=True)
class RateCurve:
    """A range test.

    Attributes:
        rates: Of every step.
        losses: Of every step's batch.
        smooth: Losses as a centred mean over neighbouring steps.
        suggested: The rate to train with; None where the loss never fell.
        steepest: Where the loss falls fastest.
        lowest: Where it is lowest: too high to train with.
        diverged_at: Where it left; None where it did not.
        own: The rate the recipe has, or its strategy's default.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smooth: tuple[float, ...]
    suggested: float | None
    steepest: float | None
    lowest: float | None
    diverged_at: float | None
    own: float | None

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON."""
        return asdict(self)


def judge_curve(
    rates: Sequence[float], losses: Sequence[float], diverged_at: float | None, own: float | None
) -> RateCurve:
    """Read a range test.

    The suggestion is the rate of the steepest fall of the loss over the logarithm of the rate, and at least ten times
    below both its lowest point, where it is about to leave, and its divergence.

    Args:
        rates: Of every step, rising.
        losses: Of every step.
        diverged_at: Where the loss left.
        own: The recipe's rate.
    """
    smooth = smoothed(losses)
    suggested = steepest = lowest = None
    if len(smooth) > 3:
        bottom = int(np.argmin(smooth))
        first = float(np.mean(smooth[: max(1, len(smooth) // 10)]))
        if bottom > 1 and first - smooth[bottom] > LEAST_FALL * abs(first):
            slope = np.gradient(smooth[: bottom + 1], np.log(np.asarray(rates[: bottom + 1])))
            steepest, lowest = rates[int(np.argmin(slope))], rates[bottom]
            limits = [rate / MARGIN for rate in (lowest, diverged_at) if rate is not None]
            suggested = float(f"{min(steepest, *limits):.2g}")
    return RateCurve(
        tuple(rates), tuple(losses), tuple(map(float, smooth)), suggested, steepest, lowest, diverged_at, own
    )


def smoothed(losses: Sequence[float]) -> NDArray[np.float64]:
    """Return losses as a centred Gaussian mean, which lags behind nothing; at the ends the window is cut."""
    values = np.asarray(losses, dtype=np.float64)
    if not len(values):
        return values
    places = np.arange(len(values))
    sigma = max(1.0, SIGMA_SHARE * len(values))
    weights = np.exp(-0.5 * ((places[:, None] - places[None, :]) / sigma) ** 2)
    return np.asarray(weights @ values / weights.sum(1), dtype=np.float64)
