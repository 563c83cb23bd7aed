"""One optimizer for each stage of a model whose parts learn in turn, or are updated one by one."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from fathom.model.parameters import FlatParameters
from fathom.model.passing_gradients import PassingParameters
from fathom.training.optimizers.base import LiveOptimizer, Optimizer, Places
from fathom.training.settings import Training

Open = Callable[[FlatParameters], LiveOptimizer]


def open_optimizer(
    optimizer: Optimizer, parameters: FlatParameters, settings: Training, places: Places
) -> LiveOptimizer:
    """Open an optimizer; where parts of the model learn in turn or are updated one by one, one for each of them.

    Args:
        optimizer: As the recipe has it.
        parameters: In flat groups.
        settings: The recipe's `training` section, resolved.
        places: Where each parameter lies in the model.
    """
    if isinstance(parameters, PassingParameters):
        return PartwiseOptimizer(parameters, lambda part: optimizer.open(part, settings, places))
    if len(parameters.stages) == 1:
        return optimizer.open(parameters, settings, places)
    return StagedOptimizer(parameters, lambda part: optimizer.open(part, settings, places))


class StagedOptimizer(LiveOptimizer):
    """Opens a stage's optimizer at the first step the stage learns in, and lets go of it when it no longer does.

    So a part that does not learn has no moments and does not decay, and one that joins late begins as at its first
    step: Adam corrects the bias of its moments by its own steps, not by the run's.
    """

    def __init__(self, parameters: FlatParameters, open_part: Open) -> None:
        super().__init__(parameters)
        self._open_part = open_part
        self._live: dict[int, LiveOptimizer] = {}

    def update(self, learning_rate: float, gradient_scale: float) -> None:
        """Update the stages that learn."""
        wanted = [stage for stage in self.parameters.stages if stage >= self.parameters.lowest_stage]
        self._live = {stage: self._live.get(stage) or self._open(stage) for stage in wanted}
        for live in self._live.values():
            live.update(learning_rate, gradient_scale)

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the state of the stages at work by `<stage>/<name>`."""
        return {
            f"{stage}/{name}": value
            for stage, live in self._live.items()
            for name, value in live.state_tensors().items()
        }

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Open the stages that have a state, and copy it back."""
        parts: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            stage, _, own = name.partition("/")
            parts.setdefault(int(stage), {})[own] = value
        self._live = {stage: self._open(stage) for stage in parts}
        for number, live in self._live.items():
            live.load_state_tensors(parts[number])

    def _open(self, stage: int) -> LiveOptimizer:
        return self._open_part(self.parameters.of_stage(stage))


class PartwiseOptimizer(StagedOptimizer):
    """Has every stage's optimizer from the start, and updates one alone when its gradients are there."""

    def __init__(self, parameters: PassingParameters, open_part: Open) -> None:
        super().__init__(parameters, open_part)
        for stage in parameters.stages:
            parameters.hold(stage)  # torch's optimizers take a view of the gradients
            self._live[stage] = self._open(stage)
            parameters.let_go(stage)

    def update_part(self, stage: int, learning_rate: float) -> None:
        """Update the parameters of a stage and their low-precision copies; their gradients are in place."""
        self._live[stage].update(learning_rate, 1.0)
        self.parameters.refresh_shadows(stage)

    def load_state_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Copy the state of every stage back."""
        for stage, live in self._live.items():
            prefix = f"{stage}/"
            own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            live.load_state_tensors(own)
