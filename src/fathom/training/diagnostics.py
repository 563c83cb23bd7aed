"""What the gradients of a run tell: their size by place, how far weights move, how noisy a batch is.

With `log_gradients: layers`, each log line of the training split gets `grad_norm/<place>`, `update_ratio/<place>` (the
norm of an update as a share of the norm of the weights) and `gradient_noise_scale`. Nothing is computed between log
lines, and nothing that is computed changes the run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor

from fathom.data.sampler import Indices
from fathom.model.parameters import FlatParameters
from fathom.training.optimizers.base import Places
from fathom.training.step import Workload, compute_gradient

NORM = "grad_norm/"
RATIO = "update_ratio/"
NOISE = "gradient_noise_scale"
SMALL_SHARE = 4
"""The small batch of the noise scale is this part of the batch."""
MEMORY = 0.9
"""Share of the running means that a new estimate of the noise scale leaves."""
FAR_APART = 1e3
"""Ratio of gradient norms between blocks at which one vanishes or explodes."""
GREW = 100.0
"""Growth of a gradient norm within a run at which it explodes."""

_BLOCK = re.compile(re.escape(NORM) + r"block-(\d+)/(.+)")


class GradientWatch:
    """Looks at the flat buffers of a workload around an update.

    Args:
        work: What is trained.
        places: Where each parameter lies in the model.
    """

    def __init__(self, work: Workload, places: Places) -> None:
        self.work = work
        self.labels = {name: label_of(places[name]) for name in work.parameters.slots}
        self._small: tuple[int, float] | None = None
        self._before: list[Tensor] = []

    def sample(self, rows: Indices, step: int) -> None:
        """Compute the gradient of a part of the batch, for the noise scale; call before the batch's own.

        The random state of torch is as before afterwards; masks that are keyed by the step need no care.
        """
        few = rows[: max(1, len(rows) // SMALL_SHARE)]
        self._small = None
        if len(few) == len(rows):
            return
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=devices):
            self._small = (len(few), compute_gradient(self.work, few, step).grad_norm ** 2)

    def look(self, batch_size: int, grad_norm: float, noise: dict[str, float]) -> dict[str, float]:
        """Return the gradient norms by place and the noise scale; call before the update.

        Args:
            batch_size: Sequences of the batch whose gradient lies in the buffers.
            grad_norm: Its norm.
            noise: Running means, updated in place; a part of the run's state.
        """
        values = norms_by_place(self.work.parameters, self.labels, self.work.parameters.gradients)
        found = {f"{NORM}{label}": value for label, value in values.items()}
        if self._small is not None and math.isfinite(self._small[1]):
            update_noise(noise, self._small, (batch_size, grad_norm**2))
            if noise["signal"] > 0 and noise["spread"] > 0:
                found[NOISE] = noise["spread"] / noise["signal"]
        self._before = [values.clone() for values in self.work.parameters.values]
        return found

    def compare(self) -> dict[str, float]:
        """Return how far the update moved the weights of each place, as a share of their norm."""
        parameters = self.work.parameters
        sizes = norms_by_place(parameters, self.labels, self._before)
        for before, values in zip(self._before, parameters.values, strict=True):
            before.sub_(values)
        moves = norms_by_place(parameters, self.labels, self._before)
        self._before = []
        return {f"{RATIO}{label}": moves[label] / sizes[label] for label in sizes if sizes[label] > 0}


def label_of(place: tuple[int | None, str]) -> str:
    """Return a place as it stands in the metrics: `block-3/attention`, or `embeddings`."""
    depth, component = place
    return component if depth is None else f"block-{depth}/{component}"


def norms_by_place(parameters: FlatParameters, labels: Mapping[str, str], flat: Sequence[Tensor]) -> dict[str, float]:
    """Return the Euclidean norm of each place's part of flat tensors laid out as the parameters are."""
    slots = list(parameters.slots.values())
    norms = torch._foreach_norm([flat[slot.group][slot.start : slot.stop] for slot in slots])
    squares: dict[str, float] = {}
    for slot, norm in zip(slots, torch.stack(list(norms)).tolist(), strict=True):
        squares[labels[slot.name]] = squares.get(labels[slot.name], 0.0) + norm**2
    return {label: math.sqrt(total) for label, total in squares.items()}


def update_noise(noise: dict[str, float], small: tuple[int, float], large: tuple[int, float]) -> None:
    """Take one step into the running means of the simple noise scale (McCandlish et al., 2018, appendix A.1).

    A batch of size b has a squared gradient norm of |G|^2 + tr(S) / b on average; two sizes give both unknowns.

    Args:
        noise: `signal` (|G|^2) and `spread` (tr S); the scale is spread / signal, in sequences.
        small: Size and squared gradient norm of the small batch.
        large: The same of the large one.
    """
    (few, few_squared), (many, many_squared) = small, large
    signal = (many * many_squared - few * few_squared) / (many - few)
    spread = (few_squared - many_squared) / (1 / few - 1 / many)
    for name, value in (("signal", signal), ("spread", spread)):
        noise[name] = MEMORY * noise[name] + (1 - MEMORY) * value if name in noise else value


def gradient_findings(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return what the logged gradients of a run say, a sentence each: vanishing, exploding, and the noise scale.

    Args:
        lines: Of `metrics.jsonl`.
    """
    history: dict[str, list[float]] = {}
    noise = None
    for line in lines:
        for name, value in line.items():
            if name.startswith(NORM) and isinstance(value, int | float) and math.isfinite(value):
                history.setdefault(name, []).append(float(value))
        noise = line.get(NOISE, noise)
    found = [*_across_depth(history), *_over_time(history)]
    if noise is not None:
        found.append(
            f"The gradient noise scale at the end is {noise:,.0f} sequences: a batch far below it is mostly noise, one "
            "far above it is mostly wasted."
        )
    return found


def _across_depth(history: Mapping[str, Sequence[float]]) -> list[str]:
    components: dict[str, dict[int, float]] = {}
    for name, values in history.items():
        match = _BLOCK.fullmatch(name)
        if match:
            components.setdefault(match[2], {})[int(match[1])] = median(values)
    found = []
    for component, norms in components.items():
        low, high = min(norms, key=lambda depth: norms[depth]), max(norms, key=lambda depth: norms[depth])
        if norms[high] <= FAR_APART * norms[low]:
            continue
        if low < high:
            found.append(
                f"Gradients vanish towards the input: the {component} of block {low} has a norm of {norms[low]:.2g}, "
                f"that of block {high} {norms[high]:.2g}."
            )
        else:
            found.append(
                f"Gradients explode towards the input: the {component} of block {high} has a norm of "
                f"{norms[high]:.2g}, that of block {low} {norms[low]:.2g}."
            )
    return found


def _over_time(history: Mapping[str, Sequence[float]]) -> list[str]:
    found = []
    for name, values in history.items():
        quarter = len(values) // 4
        if quarter == 0:
            continue
        first, last = median(values[:quarter]), median(values[-quarter:])
        if last > GREW * first:
            found.append(
                f"Gradients explode: the norm of {name.removeprefix(NORM)} grew from {first:.2g} to {last:.2g}."
            )
    return found
