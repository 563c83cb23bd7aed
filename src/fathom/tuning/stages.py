"""Parts of a model that learn in turn, numbered by depth: which of them learn in which step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from fathom.model.anatomy import Anatomy


class Stages(ABC):
    """What the loop asks before each step; the live side of a strategy whose parts learn in turn.

    Stage 0 is the embeddings, 1 the block nearest to them, and the head with the norms before it the last. What learns
    is always one stage and all above it, so the backward pass ends there.

    Args:
        model: With the strategy applied.
        anatomy: Of the model.
    """

    def __init__(self, model: nn.Module, anatomy: Anatomy) -> None:
        self.labels = stage_labels(anatomy)
        self.by_name = stages_by_name(model, anatomy)

    @abstractmethod
    def lowest(self, step: int, total_steps: int) -> int:
        """Return the lowest stage that learns in a step.

        Args:
            step: Steps made before it.
            total_steps: Of the whole run.
        """

    def after_step(self, gradient_norms: Mapping[int, float], step: int, total_steps: int) -> None:  # noqa: B027
        """Look at the gradients of an update.

        Args:
            gradient_norms: By stage, of those that learn.
            step: Steps made, this one included.
            total_steps: Of the whole run.
        """

    def describe(self, before: int | None, now: int) -> str:
        """Say in words what a new lowest stage changes; without one before, what learns."""
        if before is None:
            learning = self.labels[now:]
            return f"learning: {learning[0]}" + (f" to {learning[-1]}" if len(learning) > 1 else "")
        low, high = sorted((before, now))
        return f"{', '.join(self.labels[low:high])}: learning {'stopped' if now > before else 'began'}"

    def state_tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint needs to go on exactly."""
        return {}

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Put back what `state_tensors` returned."""


def stage_labels(anatomy: Anatomy) -> Sequence[str]:
    """Return what each stage is called."""
    return ["embeddings", *(f"block {block.index}" for block in anatomy.blocks), "head"]


def stages_by_name(model: nn.Module, anatomy: Anatomy) -> dict[str, int]:
    """Return the stage of every parameter; a tensor with two names (tied weights) has the lower one's."""
    last = len(anatomy.blocks) + 1
    lowest: dict[int, int] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        depth, component = anatomy.component_of(name)
        stage = depth + 1 if depth is not None else 0 if component == "embeddings" else last
        lowest[id(tensor)] = min(stage, lowest.get(id(tensor), last))
    return {name: lowest[id(tensor)] for name, tensor in model.named_parameters()}
