"""Updates in the backward pass: a part of the model is updated as soon as its gradients are whole, and they are freed.

A part is a block, or what lies before or behind the blocks. Autograd says when the gradient of a parameter is whole:
its accumulating node runs once in a backward pass, after everything that reads the parameter (a tied table is read at
both ends), whether or not the gradient itself went through it. Nothing in the backward pass reads the parameter later,
so it may change there and then. The update is the one that would have followed: the same numbers, part by part.

What needs the gradients of the whole step first cannot be had: clipping by their norm, sums over several passes, and a
guard that looks at gradients. The guard judges the loss before the backward pass begins; a gradient that is not finite
under a finite loss ends the run.

Source: Lv et al., "Full Parameter Fine-tuning for Large Language Models with Limited Resources" (LOMO), 2023, arXiv
2306.09782.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from fathom.data.sampler import Indices
from fathom.errors import TrainingError
from fathom.model.parameters import Slot
from fathom.model.passing_gradients import PassingParameters
from fathom.training.forward import Losses, Normalizers
from fathom.training.loop import Loop
from fathom.training.optimizers.staged import PartwiseOptimizer
from fathom.training.settings import Training
from fathom.training.step import StepResult, in_float32, is_out_of_memory


class NotFinite(Exception):
    """The gradient of a parameter is NaN or infinite; neither it nor anything of its part was updated."""


class BackwardUpdates:
    """Updates every part of a model in one backward pass.

    Args:
        parameters: Whose gradients come and go.
        optimizer: Of their parts.
    """

    def __init__(self, parameters: PassingParameters, optimizer: PartwiseOptimizer) -> None:
        self.parameters = parameters
        self.optimizer = optimizer
        self._rate = 0.0
        self._squares = 0.0
        self._waiting: dict[int, int] = {}
        """Parameters of each part whose gradient is not whole yet."""

    def run(self, loss: Tensor, learning_rate: float) -> float:
        """Run the backward pass of a loss and update on its way; returns the norm of all gradients.

        Args:
            loss: A scalar, of the whole step.
            learning_rate: Of this step, before a group's own multiplier.

        Raises:
            NotFinite: Its message names the parameter; parts before it in the backward pass are updated.
        """
        self._rate, self._squares = learning_rate, 0.0
        self._waiting = dict(self.parameters.sizes())
        handles = [
            get_gradient_edge(slot.parameter).node.register_hook(partial(self._whole, slot))
            for slot in self.parameters.slots.values()
        ]
        try:
            loss.backward()
        finally:
            for handle in handles:
                handle.remove()
        for stage in [stage for stage, count in self._waiting.items() if count]:
            self._update(stage)  # what took part in nothing has a gradient of zero, and decays
        return math.sqrt(self._squares)

    def _whole(self, slot: Slot, _: Sequence[Any], __: Sequence[Any]) -> None:
        self.parameters.take_in(slot)
        stage = self.parameters.stage_of(slot)
        self._waiting[stage] -= 1
        if self._waiting[stage] == 0:
            self._update(stage)

    def _update(self, stage: int) -> None:
        norm = self.parameters.norm_of(stage)
        if not math.isfinite(norm):
            raise NotFinite(self._name_of_bad(stage))
        self._squares += norm**2
        self.optimizer.update_part(stage, self._rate)
        self.parameters.let_go(stage)

    def _name_of_bad(self, stage: int) -> str:
        members = [slot for slot in self.parameters.slots.values() if self.parameters.stage_of(slot) == stage]
        bad = (slot.name for slot in members if not self.parameters.gradient(slot).isfinite().all())
        return next(bad, members[0].name)  # squares of finite numbers may leave float32 too


class BackwardLoop(Loop):
    """A loop that judges the loss of a step, and updates in the backward pass that follows."""

    _loss: Losses | None = None
    """Of the step that is judged, with its graph."""
    _again = False
    """Whether it was computed again in float32."""

    @cached_property
    def _updates(self) -> BackwardUpdates:
        assert isinstance(self.work.parameters, PassingParameters)
        assert isinstance(self.optimizer, PartwiseOptimizer)
        return BackwardUpdates(self.work.parameters, self.optimizer)

    def _compute(self, rows: Indices, step: int) -> StepResult:
        """Compute the loss of a batch, in one pass; its backward pass waits for the guard."""
        work = self.work
        self._loss, self._again = None, False
        work.parameters.begin_step(work.compute.direct)
        tokens = int(work.num_tokens[rows].sum())
        batch = work.make_batch(rows, step)
        if work.dropout is not None:
            work.dropout.start(work.seed, step, 0)
        with _memory_in_words(step, tokens):
            self._loss = work.runner.loss(work.runner.place(batch), Normalizers.of(work.task, [batch]))
        assert self._loss is not None
        return StepResult(self._loss.total.item(), 0.0, tokens, self._loss.side_value)

    def _compute_in_float32(self, rows: Indices, step: int) -> StepResult:
        with in_float32(self.work):
            result = self._compute(rows, step)
        self._again = True
        return result

    def _take(self, rows: Indices, result: StepResult, rate: float, step: int) -> StepResult:
        """Run the backward pass with its updates.

        Raises:
            TrainingError: A gradient is not finite, or memory does not hold the pass; some parts are updated already,
                and the run ends without saving them.
        """
        assert self._loss is not None
        loss, self._loss = self._loss, None
        try:
            with in_float32(self.work) if self._again else nullcontext(), _memory_in_words(step - 1, result.tokens):
                norm = self._updates.run(loss.total, rate)
        except NotFinite as error:
            self.guard.reason = f"the loss is {result.loss:.4g}, but the gradient of '{error}' is not finite"
            raise TrainingError(
                f"{self.guard.describe(step, self.hooks.places(rows))}; what lies above it is updated already, so the "
                "step cannot be left out; the checkpoints are sound",
                mend="lower the learning rate, take precision: fp32, or leave optimizer_in_backward off: such a step "
                "is then left out",
            ) from None
        return replace(result, grad_norm=norm)


def loop_of(settings: Training) -> type[Loop]:
    """Return the loop that the settings ask for."""
    return BackwardLoop if settings.optimizer_in_backward else Loop


@contextmanager
def _memory_in_words(step: int, tokens: int) -> Iterator[None]:
    """Say what to do where memory runs out: a batch cannot be cut."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"step {step + 1}: memory does not hold its {tokens:,} tokens in one pass, as optimizer_in_backward takes "
            "them",
            mend="lower training.batch_size or data.max_length, or set training.activation_checkpointing: true",
        ) from error
