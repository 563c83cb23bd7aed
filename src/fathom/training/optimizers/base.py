"""The contract of an optimizer, and the stretches of flat memory it works on.

An optimizer sees flat groups, not parameters: what treats numbers one by one runs one kernel over a whole group, and
what treats matrices looks at views of them. Weight decay is decoupled (Loshchilov & Hutter, 2019) unless an optimizer
says otherwise, so that the rows of a compact embedding that never occur change by decay alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fathom.config import Part
from fathom.model.flops import Place
from fathom.model.parameters import FlatParameters, Slot

if TYPE_CHECKING:
    from fathom.training.settings import Training

FUSED_PASSES = 9
"""How often the bytes of a gradient pass the memory in an update of one operation, AdamW's."""

Places = Mapping[str, Place]
"""Where each trainable parameter lies in the model: block depth (None outside the blocks) and component, by name."""


class Optimizer(Part, ABC):
    """An optimizer by name with its options; rate, decay and Adam's numbers are the recipe's `training` section."""

    kind: str

    @property
    def learning_rate_scale(self) -> float:
        """What the tuning strategy's default rate, which is made for AdamW, is multiplied by for this optimizer."""
        return 1.0

    def allows_compact_rows(self, settings: Training) -> bool:
        """Whether embedding rows that never have a gradient change by decoupled decay alone."""
        return True

    @abstractmethod
    def state_bytes(self, shape: Sequence[int], place: Place) -> int:
        """Return the bytes this optimizer keeps for a parameter of a shape at a place of the model."""

    def update_bytes(self, shape: Sequence[int], place: Place) -> int:
        """Return the bytes that pass the memory in the update of a parameter, or what takes as long.

        For one fused operation: the gradient is cleared, measured and read, the weight and two moments are read and
        written. Others are set beside it by the time they take (four blocks of width 384, AVX-512, one thread).
        """
        return FUSED_PASSES * 4 * prod(shape)

    def update_flops(self, shape: Sequence[int], place: Place) -> int:
        """Return the operations of matrix products in the update of a parameter."""
        return 0

    @abstractmethod
    def open(self, parameters: FlatParameters, settings: Training, places: Places) -> LiveOptimizer:
        """Make the optimizer of these parameters.

        Args:
            parameters: In flat groups.
            settings: The recipe's `training` section, resolved.
            places: Where each parameter lies in the model.
        """


class LiveOptimizer(ABC):
    """An optimizer at work."""

    def __init__(self, parameters: FlatParameters) -> None:
        self.parameters = parameters

    def step(self, learning_rate: float, gradient_scale: float) -> None:
        """Update every parameter and its low-precision copy.

        Args:
            learning_rate: Of this step, before a group's own multiplier.
            gradient_scale: What gradients are multiplied by (clipping); 1 leaves them.
        """
        self.update(learning_rate, gradient_scale)
        self.parameters.refresh_shadows()

    @abstractmethod
    def update(self, learning_rate: float, gradient_scale: float) -> None:
        """Update the values; gradients stay where they are, scaled or not."""

    @abstractmethod
    def state_tensors(self) -> dict[str, Tensor]:
        """Return the state by `<parameter>/<name>` (views), and `step`."""

    @abstractmethod
    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Take back what `state_tensors` gave."""


@dataclass(frozen=True)
class Stretch:
    """Neighbouring parameters of one flat group that are treated alike."""

    group: int
    start: int
    stop: int
    slots: tuple[Slot, ...]
    learning_rate_scale: float
    weight_decay: float

    def views(self, flat: Tensor) -> Iterator[tuple[Slot, Tensor]]:
        """Yield each parameter with its part of a tensor of the stretch's length, in the parameter's shape."""
        for slot in self.slots:
            yield slot, flat[slot.start - self.start : slot.stop - self.start].view(slot.shape)


def cut_stretches(
    parameters: FlatParameters,
    settings: Training,
    places: Places,
    chosen: Callable[[Slot], bool] | None = None,
) -> list[Stretch]:
    """Cut flat groups where the treatment changes; with one treatment a stretch is a whole group.

    Args:
        parameters: In flat groups.
        settings: Says what is decayed.
        places: Tells embeddings from other matrices.
        chosen: Leaves parameters out; None takes all.
    """

    def treatment(slot: Slot) -> tuple[bool, float]:
        spared = places[slot.name][1] == "embeddings" and not settings.decay_embeddings
        decayed = parameters.keys[slot.group].decayed and not spared
        return chosen is None or chosen(slot), settings.weight_decay if decayed else 0.0

    found = []
    for index, key in enumerate(parameters.keys):
        members = sorted((slot for slot in parameters.slots.values() if slot.group == index), key=lambda s: s.start)
        if not members:
            continue  # a group of another stage
        runs = [(treated, tuple(run)) for treated, run in groupby(members, treatment)]
        ends = [run[0].start for _, run in runs[1:]] + [len(parameters.values[index])]
        for ((taken, decay), run), end in zip(runs, ends, strict=True):
            if taken:
                found.append(Stretch(index, run[0].start, end, run, key.learning_rate_scale, decay))
    return found


class FlatOptimizer(LiveOptimizer):
    """Keeps its state in tensors as long as the stretches.

    Args:
        parameters: In flat groups.
        stretches: What is updated.
        names: Of the state tensors, float32 zeros at first.
    """

    def __init__(self, parameters: FlatParameters, stretches: Sequence[Stretch], names: Sequence[str]) -> None:
        super().__init__(parameters)
        self.stretches = list(stretches)
        self.states = [{name: torch.zeros_like(self.values(stretch)) for name in names} for stretch in stretches]
        self.counts: list[Tensor] = []
        """Steps made, once for each stretch; empty where the optimizer does not count."""

    def values(self, stretch: Stretch) -> Tensor:
        """Return the values of a stretch (a view)."""
        return self.parameters.values[stretch.group][stretch.start : stretch.stop]

    def gradients(self, stretch: Stretch) -> Tensor:
        """Return the gradients of a stretch (a view)."""
        return self.parameters.gradients[stretch.group][stretch.start : stretch.stop]

    def note_decay(self, stretch: Stretch, rate: float) -> float:
        """Tell the parameters how far a step decays rows outside compact tables; returns the factor."""
        factor = 1.0 - rate * stretch.weight_decay
        for slot in stretch.slots:
            if slot.rows is not None:
                self.parameters.note_decay(slot, factor)
        return factor

    def state_tensors(self) -> dict[str, Tensor]:
        """Return `<parameter>/<name>` (float32, the parameter's shape) and `step`."""
        tensors = {"step": self.counts[0]} if self.counts else {}
        for stretch, state in zip(self.stretches, self.states, strict=True):
            for name, flat in state.items():
                tensors |= {f"{slot.name}/{name}": view for slot, view in stretch.views(flat)}
        return tensors

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Copy the state back."""
        for count in self.counts:
            count.copy_(tensors["step"])
        for stretch, state in zip(self.stretches, self.states, strict=True):
            for name, flat in state.items():
                for slot, view in stretch.views(flat):
                    view.copy_(tensors[f"{slot.name}/{name}"])
