"""Gradients that have memory only while they are needed: from the first that is written to the update of their part.

The flat gradients of `FlatParameters` stay what they are, tensors of a certain shape; their storage is emptied and
filled again, so that views of them that were made before (torch's optimizers keep some) are valid whenever it is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fathom.model.parameters import FlatParameters, Slot


class PassingParameters(FlatParameters):
    """Trainable parameters whose gradients come and go, one part of the model (a stage) after another.

    What looks at all gradients of a step at once (`norm`, `stage_norms`) is not for them.
    """

    def _add_group(
        self,
        index: int,
        members: Sequence[tuple[str, nn.Parameter]],
        compact: dict[str, Tensor],
        shadow_dtype: torch.dtype | None,
    ) -> None:
        super()._add_group(index, members, compact, shadow_dtype)
        self._let_go(index)

    def gradient(self, slot: Slot) -> Tensor:
        """Return the parameter's gradient buffer (a view); zeros where none was written since the last update."""
        self._hold(slot.group)
        return super().gradient(slot)

    def begin_step(self, direct: set[str]) -> None:
        """Forget every gradient; those that autograd computes itself wait in the parameters for `take_in`."""
        for group in range(len(self.keys)):
            self._let_go(group)
        for slot in self.slots.values():
            slot.fresh = True
            slot.parameter.grad = None

    def take_in(self, slot: Slot) -> None:
        """Move the gradient that autograd left in a parameter, if it did, to its buffer."""
        found = slot.parameter.grad
        if found is not None:
            self.gradient(slot).add_(found)
            slot.parameter.grad = None

    def stage_of(self, slot: Slot) -> int:
        """Return the part of the model a parameter belongs to."""
        return self.keys[slot.group].stage

    def sizes(self) -> Mapping[int, int]:
        """Return the number of parameters of each stage."""
        return Counter(self.stage_of(slot) for slot in self.slots.values())

    def norm_of(self, stage: int) -> float:
        """Return the Euclidean norm of the gradients of a stage, which have memory afterwards."""
        self.hold(stage)
        norms = [torch.linalg.vector_norm(self.gradients[group]) for group in self._groups(stage)]
        return float(torch.stack(norms).square().sum().sqrt())

    def hold(self, stage: int) -> None:
        """Give the gradients of a stage memory, zeros where they had none."""
        for group in self._groups(stage):
            self._hold(group)

    def let_go(self, stage: int) -> None:
        """Give the memory of the gradients of a stage back."""
        for group in self._groups(stage):
            self._let_go(group)

    def _groups(self, stage: int) -> list[int]:
        return [index for index, key in enumerate(self.keys) if key.stage == stage]

    def _hold(self, group: int) -> None:
        flat = self.gradients[group]
        storage = flat.untyped_storage()
        if storage.size() == 0:
            storage.resize_(flat.nbytes)
            flat.zero_()  # what lies between two parameters too: it takes part in the norm and in the update

    def _let_go(self, group: int) -> None:
        self.gradients[group].untyped_storage().resize_(0)
