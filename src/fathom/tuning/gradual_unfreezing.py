"""Blocks join from the top."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.in_turn import InTurn
from fathom.tuning.stages import Stages


class GradualUnfreezing(InTurn):
    """Train the head first, then the top block with it, then the one below, until everything learns.

    A block that has not joined has no backward pass, no update, no moments and no decay. A decoder's blocks join before
    its encoder's. A head that shares its weights with the embeddings joins with them.

    Source: Howard, Ruder, "Universal Language Model Fine-tuning", 2018 (arXiv 1801.06146).
    """

    kind: Literal["gradual-unfreezing"] = "gradual-unfreezing"
    until: float = Field(0.5, gt=0, le=1)
    """Share of all steps after which the last part has joined; parts join at equal distances."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 5e-4

    def stages(self, model: nn.Module, anatomy: Anatomy) -> Stages:
        """Return the parts, and when they join."""
        return Unfreezing(model, anatomy, self)


class Unfreezing(Stages):
    """A plain function of the step: nothing to keep between steps."""

    def __init__(self, model: nn.Module, anatomy: Anatomy, options: GradualUnfreezing) -> None:
        super().__init__(model, anatomy)
        learning = {stage for name, stage in self.by_name.items() if model.get_parameter(name).requires_grad}
        if _is_body(model) and not anatomy.final:
            learning.discard(len(self.labels) - 1)  # a pooler, which no loss reaches: the top block begins
        self._stages = sorted(learning, reverse=True)
        self._until = options.until

    def lowest(self, step: int, total_steps: int) -> int:
        """Return the stage that joined last."""
        joins = len(self._stages) - 1
        joined = joins if joins == 0 else int(step * joins / max(self._until * total_steps, 1))
        return self._stages[min(joined, joins)]


def _is_body(model: nn.Module) -> bool:
    from transformers import PreTrainedModel

    return isinstance(model, PreTrainedModel) and model.base_model is model
