"""The contract of a tuning strategy: which parameters learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from fathom.config import Part
from fathom.model.anatomy import Anatomy
from fathom.tuning.stages import Stages


class Tuning(Part, ABC):
    """A strategy as written in a recipe."""

    keeps_prefix: ClassVar[bool] = True
    """Whether the blocks below the lowest parameter that learns at the start never learn and are read through the
    output of the last of them only; their outputs are then computed once. False for a strategy that lets blocks join
    later, or whose own modules read inside the frozen blocks."""

    saves_adapter: ClassVar[bool] = False
    """Whether the trained part is saved in PEFT's format beside the base model's name, not as a whole model."""

    trains_whole: ClassVar[bool] = False
    """Whether every weight learns, at some time of the run, unless an option says otherwise."""

    updates_apart: ClassVar[bool] = True
    """Whether each part of the model may be updated as soon as its own gradients are whole
    (`training.optimizer_in_backward`); False for a strategy that adds to the loss, does something after a step, or lets
    parts learn in turn."""

    kind: str
    learning_rate: float | None = None
    """Peak learning rate for this strategy; the recipe's `training.learning_rate` comes first, then this, then the
    strategy's own default."""

    @property
    @abstractmethod
    def default_learning_rate(self) -> float:
        """A peak learning rate at which this strategy really learns a classification task in three epochs."""

    @abstractmethod
    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Set `requires_grad` on every parameter, adding modules where the method has them; returns the model.

        The task head is always trainable. Raises `ModelError` where the family cannot take the strategy. It is tried on
        a model on the meta device first, which has shapes and no numbers: what cannot work is refused before a weight
        is loaded.
        """

    def learning_rate_scales(self, model: nn.Module, anatomy: Anatomy) -> dict[str, float]:
        """Return multipliers of the learning rate by parameter name; names left out have 1."""
        return {}

    def stages(self, model: nn.Module, anatomy: Anatomy) -> Stages | None:
        """Open the parts of the model that learn in turn; None where all learn from the first step to the last."""
        return None

    @property
    def virtual_tokens(self) -> int:
        """Positions the strategy puts before every sequence; a text has so many fewer."""
        return 0

    def after_step(self, model: nn.Module, step: int, total_steps: int) -> bool:
        """Do what the strategy does between updates (AdaLoRA takes ranks away); returns whether weights changed.

        Called after every update, with the gradients of that update still in place; not after a step the guard left
        out, so a strategy must not wait for one certain step.

        Args:
            model: As `apply` returned it.
            step: Updates made so far, counted from 1.
            total_steps: Of the whole run.
        """
        return False

    def penalty(self, model: nn.Module) -> Tensor | None:
        """Return what is added to the mean loss of every step, a scalar; None where the strategy adds nothing.

        It has its part in the gradient; the loss that is logged stays the task's.
        """
        return None

    def fold(self, model: nn.Module) -> None:
        """Write into the weights what modules added to a model that is saved whole have learned; in place."""

    def state_tensors(self, model: nn.Module) -> dict[str, Tensor]:
        """Return what the strategy keeps between steps besides the weights; a checkpoint needs it to go on exactly."""
        return {}

    def load_state_tensors(self, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state_tensors` returned."""
