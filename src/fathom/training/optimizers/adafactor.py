"""Adafactor."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor

from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters, Slot
from fathom.training.optimizers.base import FlatOptimizer, LiveOptimizer, Optimizer, Places, Stretch, cut_stretches

if TYPE_CHECKING:
    from fathom.training.settings import Training

STARTED_BYTES = 3_000_000
"""What passes the memory while the operations of one parameter are started, a quarter of a millisecond."""
FLOOR = torch.finfo(torch.float32).eps
"""Least root of a second moment (torch's `eps[0]`)."""


class Adafactor(Optimizer):
    """Adafactor: second moments as the product of a row and a column (Shazeer & Stern, 2018); no first moment.

    The variant of `torch.optim.Adafactor`: the rate of the recipe is the upper bound of the relative step, which falls
    as 1 / sqrt(step); the floor is applied to the estimate, not to the squared gradient; weight decay is decoupled.
    """

    kind: Literal["adafactor"] = "adafactor"
    beta2_decay: float = Field(-0.8, lt=0)
    """The second moment keeps 1 - step ** beta2_decay of itself."""
    clip_threshold: float = Field(1.0, gt=0)
    """Greatest root mean square of an update, before the rate."""
    scale_parameter: bool = True
    """Multiply the step by the root mean square of the parameter; off, the rate is absolute, as AdamW's, and constant
    but for the schedule (the usual setting for fine-tuning T5)."""
    least_scale: float = Field(1e-3, gt=0)
    """Least root mean square a parameter is taken to have."""

    @property
    def learning_rate_scale(self) -> float:
        """A relative step of 0.5%, where AdamW's absolute one is 2e-4."""
        return 25.0 if self.scale_parameter else 1.0

    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """A float32 row and column of a matrix, the whole of a vector."""
        return 4 * sum(prod(part) for part in state_shapes(shape).values())

    def update_bytes(self, shape: Sequence[int], place: Place) -> int:
        """Operation by operation, and parameter by parameter."""
        return STARTED_BYTES + 4 * super().update_bytes(shape, place)

    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make the optimizer; second moments are zero at first."""
        return LiveAdafactor(parameters, cut_stretches(parameters, settings, places), self)


def state_shapes(shape: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the second moments of a parameter, by torch's names."""
    if len(shape) < 2:
        return {"variance": tuple(shape)}
    return {"row_var": (*shape[:-1], 1), "col_var": (*shape[:-2], 1, shape[-1])}


class LiveAdafactor(FlatOptimizer):
    """Adafactor, parameter by parameter.

    Of a compact embedding only some rows are here. The others have no gradient: they take part in no sum, but count in
    every mean, and their squares, which decay alone changes, count in the scale of the table.
    """

    def __init__(self, parameters: FlatParameters, stretches: Sequence[Stretch], options: Adafactor) -> None:
        super().__init__(parameters, stretches, ())
        self._options = options
        self._step = torch.zeros(())
        self._moments: dict[str, dict[str, Tensor]] = {}
        for stretch in self.stretches:
            for slot, values in stretch.views(self.values(stretch)):
                shapes = state_shapes(slot.shape)
                self._moments[slot.name] = {name: values.new_zeros(shape) for name, shape in shapes.items()}
                if slot.rows is not None:
                    self._moments[slot.name]["outside_squares"] = _outside_squares(slot)

    def update(self, learning_rate: float, gradient_scale: float) -> None:
        """Update every parameter; no value leaves the device on the way."""
        self._step += 1
        for stretch in self.stretches:
            rate = learning_rate * stretch.learning_rate_scale
            factor = self.note_decay(stretch, rate)
            gradients = self.gradients(stretch)
            if gradient_scale != 1.0:
                gradients.mul_(gradient_scale)
            flat = zip(stretch.views(self.values(stretch)), stretch.views(gradients), strict=True)
            for (slot, values), (_, gradient) in flat:
                self._update_one(slot, (values, gradient), rate, factor)

    def _update_one(self, slot: Slot, tensors: tuple[Tensor, Tensor], rate: float, decay: float) -> None:
        values, gradient = tensors
        moments, options, step = self._moments[slot.name], self._options, float(self._step)
        count = slot.parameter.numel()
        size: Tensor | float = min(rate, 1 / sqrt(step)) if options.scale_parameter else rate
        outside = moments.get("outside_squares")
        if options.scale_parameter:
            squares = values.norm().square()
            if outside is not None:
                squares = squares + outside
            size = (squares / count).sqrt().clamp_(min=options.least_scale) * size
        if outside is not None:
            outside.mul_(decay**2)
        if decay != 1.0:
            values.mul_(decay)
        estimate = _second_moment(slot, gradient, moments, step**options.beta2_decay)
        update = estimate.clamp_(min=FLOOR * FLOOR).rsqrt_().mul_(gradient)
        bound = (update.norm() / (sqrt(count) * options.clip_threshold)).clamp_(min=1.0)
        values.sub_(update.mul_(size / bound))

    def state_tensors(self) -> dict[str, Tensor]:
        """Return `<parameter>/row_var` and `/col_var`, or `/variance` of a vector, and `step`."""
        found = {f"{name}/{key}": value for name, state in self._moments.items() for key, value in state.items()}
        return {"step": self._step, **found}

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Copy the state back."""
        for name, value in self.state_tensors().items():
            value.copy_(tensors[name])


def _second_moment(slot: Slot, gradient: Tensor, moments: dict[str, Tensor], share: float) -> Tensor:
    """Take the squares of a gradient into the moments; returns the estimate for each number, a new tensor."""
    if gradient.dim() < 2:
        return moments["variance"].lerp_(gradient.square(), share).clone()
    rows = slot.parameter.shape[-2]
    row, column = moments["row_var"], moments["col_var"]
    row.lerp_(gradient.norm(dim=-1, keepdim=True).square_().div_(gradient.shape[-1]), share)
    column.lerp_(gradient.norm(dim=-2, keepdim=True).square_().div_(rows), share)
    return (row @ column).div_((row.sum(dim=-2, keepdim=True) / rows).clamp_(min=FLOOR))


def _outside_squares(slot: Slot) -> Tensor:
    """The sum of the squares of the rows of a compact embedding that are not kept."""
    outside = torch.ones(slot.parameter.shape[0], dtype=torch.bool, device=slot.parameter.device)
    outside[slot.rows] = False
    return slot.parameter.data[outside].square().sum()
