"""Trainable parameters, their gradients and their low-precision copies in a few flat tensors.

One flat tensor for each group of equal treatment means one optimizer kernel, one norm, one cast and one fill in place
of hundreds, and gradients that are written where they are needed instead of being allocated at each step.

Word embeddings are kept *compact*: only rows whose token occurs in the training data can ever have a gradient, so only
they get gradients and moments. The other rows change by weight decay alone, which `synchronize` applies exactly.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class GroupKey:
    """What parameters of one flat group have in common."""

    decayed: bool
    learning_rate_scale: float = 1.0
    stage: int = 0
    """Which part of the model they belong to, where parts learn in turn or are updated one by one."""


@dataclass
class Slot:
    """Where one parameter lies in its group."""

    name: str
    parameter: nn.Parameter
    group: int
    start: int
    shape: torch.Size
    rows: Tensor | None = None
    """For a compact embedding: the vocabulary rows that are kept, ascending."""
    fresh: bool = True
    """No gradient was written in this step yet: what the buffer holds is the previous step's."""
    learns: bool = True
    """Whether gradients are computed now; the gradient buffer of one that does not learn holds zeros."""

    @property
    def stop(self) -> int:
        """First element after this parameter."""
        return self.start + self.shape.numel()


class FlatParameters:
    """All trainable parameters of a model.

    Args:
        named: Trainable parameters by name, in the model's order, no parameter twice.
        keys: The group of each name.
        compact_rows: For an embedding table, the rows that occur in the training data.
        shadow_dtype: Type of the low-precision copy of matrices; None for no copy.
    """

    def __init__(
        self,
        named: Mapping[str, nn.Parameter],
        keys: Mapping[str, GroupKey],
        *,
        compact_rows: Mapping[str, Tensor] | None = None,
        shadow_dtype: torch.dtype | None = None,
    ) -> None:
        compact = dict(compact_rows or {})
        self.keys = sorted({keys[name] for name in named}, key=_key_order)
        self.lowest_stage = 0
        """Parameters of lower stages do not learn now."""
        self.slots: dict[str, Slot] = {}
        self.values: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self.shadows: list[Tensor | None] = []
        self._by_parameter: dict[Tensor, Slot] = {}
        self._decays: dict[str, float] = {}
        for index, key in enumerate(self.keys):
            self._add_group(index, [(n, p) for n, p in named.items() if keys[n] == key], compact, shadow_dtype)

    def _add_group(
        self,
        index: int,
        members: Sequence[tuple[str, nn.Parameter]],
        compact: dict[str, Tensor],
        shadow_dtype: torch.dtype | None,
    ) -> None:
        start = 0
        for name, parameter in members:
            rows = compact.get(name)
            shape = parameter.shape if rows is None else torch.Size((len(rows), parameter.shape[1]))
            slot = Slot(name, parameter, index, start, shape, rows)
            self.slots[name] = slot
            self._by_parameter[parameter] = slot
            start = -(-slot.stop // 16) * 16  # each parameter starts on a cache line
        device = members[0][1].device
        values = torch.zeros(start, device=device)
        for name, parameter in members:
            slot = self.slots[name]
            view = values[slot.start : slot.stop].view(slot.shape)
            view.copy_(parameter.data if slot.rows is None else parameter.data[slot.rows])
            if slot.rows is None:
                parameter.data = view
        self.values.append(values)
        self.gradients.append(torch.zeros(start, device=device))
        self.shadows.append(values.to(shadow_dtype) if shadow_dtype is not None else None)

    def slot_of(self, parameter: Tensor) -> Slot | None:
        """Return where a parameter lies; None when it is not trained."""
        return self._by_parameter.get(parameter)

    @property
    def stages(self) -> list[int]:
        """The stages that learn at some time, ascending."""
        return sorted({key.stage for key in self.keys})

    def let_learn(self, lowest_stage: int) -> None:
        """Let the parameters of a stage and those above it learn, and none below: those have no backward pass."""
        self.lowest_stage = lowest_stage
        for slot in self.slots.values():
            learns = self.keys[slot.group].stage >= lowest_stage
            if learns != slot.learns:
                slot.learns = learns
                slot.parameter.requires_grad_(learns)
                slot.parameter.grad = None
                self.gradient(slot).zero_()

    def of_stage(self, stage: int) -> FlatParameters:
        """Return a view that has the parameters of one stage only, in the same memory."""
        part = copy.copy(self)
        part.slots = {name: slot for name, slot in self.slots.items() if self.keys[slot.group].stage == stage}
        return part

    def stage_norms(self) -> dict[int, float]:
        """Return the Euclidean norm of the gradients of each stage that learns."""
        squares: dict[int, float] = {}
        for key, gradient in zip(self.keys, self.gradients, strict=True):
            if key.stage >= self.lowest_stage:
                squares[key.stage] = squares.get(key.stage, 0.0) + float(torch.linalg.vector_norm(gradient)) ** 2
        return {stage: total**0.5 for stage, total in squares.items()}

    def value(self, slot: Slot) -> Tensor:
        """Return the parameter's values (a view; of a compact embedding, the kept rows)."""
        return self.values[slot.group][slot.start : slot.stop].view(slot.shape)

    def gradient(self, slot: Slot) -> Tensor:
        """Return the parameter's gradient buffer (a view)."""
        return self.gradients[slot.group][slot.start : slot.stop].view(slot.shape)

    def shadow(self, slot: Slot) -> Tensor:
        """Return the low-precision copy of a parameter (a view), or its values where there is none."""
        shadow = self.shadows[slot.group]
        return self.value(slot) if shadow is None else shadow[slot.start : slot.stop].view(slot.shape)

    def accumulate(self, slot: Slot, gradient: Tensor) -> None:
        """Add a gradient; the first of a step overwrites what the buffer held."""
        target = self.gradient(slot)
        if slot.fresh:
            target.copy_(gradient)
            slot.fresh = False
        else:
            target.add_(gradient)

    def begin_step(self, direct: set[str]) -> None:
        """Make ready for the gradients of a new step.

        Args:
            direct: Names whose gradients arrive through `accumulate`; all others arrive through autograd and are
                zeroed here.
        """
        for name, slot in self.slots.items():
            slot.fresh = slot.learns
            if slot.learns and name not in direct:
                target = self.gradient(slot).zero_()
                slot.fresh = False
                if slot.rows is None:
                    slot.parameter.grad = target

    def end_step(self) -> None:
        """Zero the gradient of every parameter that took part in nothing."""
        for slot in self.slots.values():
            if slot.fresh:
                self.gradient(slot).zero_()
                slot.fresh = False

    def norm(self) -> Tensor:
        """Return the Euclidean norm of all gradients, a float32 scalar."""
        norms: list[Tensor] = [torch.linalg.vector_norm(gradient) for gradient in self.gradients]
        return torch.stack(norms).square().sum().sqrt()

    def refresh_shadows(self, stage: int | None = None) -> None:
        """Copy the values into their low-precision copies, of one stage or of all; call after each update."""
        for key, values, shadow in zip(self.keys, self.values, self.shadows, strict=True):
            if shadow is not None and stage in (None, key.stage):
                shadow.copy_(values)

    def note_decay(self, slot: Slot, factor: float) -> None:
        """Remember one step's decay, `1 - rate * weight_decay`, for the rows outside a compact table."""
        self._decays[slot.name] = self._decays.get(slot.name, 1.0) * factor

    def synchronize(self) -> None:
        """Bring compact embeddings up to date in the model itself; call before evaluating or saving."""
        for slot in self.slots.values():
            if slot.rows is None:
                continue
            decay = self._decays.get(slot.name, 1.0)
            if decay != 1.0:
                slot.parameter.data.mul_(decay)
            slot.parameter.data[slot.rows] = self.value(slot)
        self._decays.clear()

    def reload(self) -> None:
        """Read compact embeddings from the model again and refresh the copies; call after loading weights."""
        for slot in self.slots.values():
            if slot.rows is not None:
                self.value(slot).copy_(slot.parameter.data[slot.rows])
        self._decays.clear()
        self.refresh_shadows()

    def release(self) -> None:
        """Give every parameter a tensor of its own again, up to date; the flat ones are done with."""
        self.synchronize()
        for slot in self.slots.values():
            slot.parameter.grad = None
            slot.parameter.requires_grad_()
            if slot.rows is None:
                slot.parameter.data = slot.parameter.data.clone()


def _key_order(key: GroupKey) -> tuple[bool, float, int]:
    return not key.decayed, key.learning_rate_scale, key.stage


def group_parameters(
    model: nn.Module,
    learning_rate_scales: Mapping[str, float] | None = None,
    stages: Mapping[str, int] | None = None,
) -> tuple[dict[str, nn.Parameter], dict[str, GroupKey]]:
    """Name the trainable parameters of a model and choose their groups.

    Biases and the parameters of norms (every vector) are never decayed, as in the BERT paper.

    Args:
        model: With `requires_grad` set.
        learning_rate_scales: Multiplier of the learning rate by parameter name; 1 where absent.
        stages: Stage by parameter name, where parts of the model learn in turn or are updated one by one; 0 where
            absent.
    """
    scales, stages = learning_rate_scales or {}, stages or {}
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    keys = {
        name: GroupKey(parameter.dim() > 1, scales.get(name, 1.0), stages.get(name, 0))
        for name, parameter in named.items()
    }
    return named, keys
