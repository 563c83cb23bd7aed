"""The contract of a tuning strategy: which parameters learn."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from fathom.config import Part
from fathom.model.anatomy import Anatomy


class Tuning(Part, ABC):
    """A strategy as written in a recipe."""

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

        The task head is always trainable. Raises `ModelError` where the family cannot take the strategy.
        """

    @property
    def saves_adapter(self) -> bool:
        """Whether the trained part is saved in PEFT's format beside the base model's name, not as a whole model."""
        return False

    def learning_rate_scales(self, model: nn.Module, anatomy: Anatomy) -> dict[str, float]:
        """Return multipliers of the learning rate by parameter name; names left out have 1."""
        return {}
