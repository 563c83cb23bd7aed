"""Several runs step by step in one process: one pass over the base they share, everything else each run's own.

The loops are those that run alone. What differs is where a gradient comes from: in each round every loop names the
sequences it wants, all of them go through the shared blocks together, and every loop judges and applies its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fathom.data.batch import model_inputs
from fathom.data.sampler import Indices
from fathom.errors import FathomError, ModelError, TrainingError
from fathom.log import get_console
from fathom.model.many_lora import AdapterBatch, SharedBase
from fathom.model.prefix import TRIAL_ERRORS
from fathom.tasks.base import Batch
from fathom.training.forward import HIDDEN, Losses, Normalizers
from fathom.training.loop import Loop, LoopState
from fathom.training.step import StepResult, Workload, compute_gradient, is_out_of_memory, passes

TOLERANCE = 1e-4
"""Largest difference of a loss in one pass from the same loss alone, relative to it or to 1, in float32."""
COMPARED = 8
"""Sequences of each run that are compared."""

Answer = StepResult | TrainingError


@dataclass(frozen=True)
class Asked:
    """A step that a run wants.

    Attributes:
        number: Of the run, as the shared base counts its adapters.
        rows: Sequences of its batch.
        step: Counted from 0.
    """

    number: int
    rows: Indices
    step: int


class JointSteps:
    """Computes the gradients of several runs in one pass.

    Args:
        base: What they share, with their adapters.
        works: Of each adapter, by its number.
        most_tokens: Most tokens of one pass of all of them; None for no limit.
    """

    def __init__(self, base: SharedBase, works: Sequence[Workload], most_tokens: int | None = None) -> None:
        self.base = base
        self.works = works
        self.most_tokens = most_tokens

    def compute(self, asked: Sequence[Asked]) -> dict[int, Answer]:
        """Return by number the loss and norm of each run, gradients in its own buffers; or why it cannot go on.

        A batch that memory cuts into several passes is computed alone, as ever.
        """
        found: dict[int, Answer] = {}
        waiting = list(asked)
        while waiting:
            group = self._group(waiting)
            if len(group) > 1:
                try:
                    found |= self._joint(group)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    self._halve(group)
                    continue
            else:
                found[group[0].number] = self._alone(group[0])
            done = {item.number for item in group}
            waiting = [item for item in waiting if item.number not in done]
        return found

    def compare(self, asked: Sequence[Asked]) -> None:
        """Compare some losses in one pass with those of each run alone, under the same dropout masks.

        Raises:
            ModelError: They differ, or the blocks cannot run so.
        """
        chosen = [Asked(item.number, item.rows[:COMPARED], item.step) for item in asked]
        for model in (self.base.base, *(work.model for work in self.works)):
            model.train(self.base.dropout is not None)  # masks that torch draws cannot be the same
        try:
            with torch.no_grad(), self.base.in_float32():
                alone = [self._loss(item, batch) for item, batch in self._begin(chosen)]
                losses = self._losses(self._begin(chosen))
        except TRIAL_ERRORS as error:  # its trials are then trained one by one
            raise ModelError(f"the joint pass failed: {type(error).__name__}: {error}") from error
        finally:
            self.base.base.train()
        for (loss, _), (expected, _) in zip(losses, alone, strict=True):
            if not torch.allclose(loss, expected, rtol=TOLERANCE, atol=TOLERANCE):
                raise ModelError(f"in one pass a loss is {loss.item():.6g}, alone {expected.item():.6g}")

    def _group(self, waiting: Sequence[Asked]) -> list[Asked]:
        """Return those that go next: one that needs several passes, or as many as fit one."""
        for item in waiting:
            if len(passes(self.works[item.number], item.rows)) > 1:
                return [item]
        chosen: list[Asked] = []
        tokens = 0
        for item in waiting:
            tokens += self._tokens(item)
            if chosen and self.most_tokens is not None and tokens > self.most_tokens:
                break
            chosen.append(item)
        return chosen

    def _tokens(self, item: Asked) -> int:
        return int(self.works[item.number].num_tokens[item.rows].sum())

    def _halve(self, group: Sequence[Asked]) -> None:
        in_use = sum(self._tokens(item) for item in group)
        self.most_tokens = max(1, in_use // 2)
        get_console().warn(f"out of memory; one pass now holds at most {self.most_tokens:,} tokens of all runs")

    def _alone(self, item: Asked) -> Answer:
        try:
            return compute_gradient(self.works[item.number], item.rows, item.step)
        except TrainingError as error:
            return error

    def _joint(self, group: Sequence[Asked]) -> dict[int, Answer]:
        for item in group:
            work = self.works[item.number]
            work.parameters.begin_step(work.compute.direct)
        losses = self._losses(self._begin(group))
        torch.stack([loss.total for loss in losses]).sum().backward()
        found: dict[int, Answer] = {}
        for item, loss in zip(group, losses, strict=True):
            parameters = self.works[item.number].parameters
            parameters.end_step()
            norm = parameters.norm().item()
            found[item.number] = StepResult(loss.total.item(), norm, self._tokens(item), loss.side_value)
        return found

    def _begin(self, group: Sequence[Asked]) -> list[tuple[Asked, Batch]]:
        """Place the batches, each run's masks at the beginning of its pass."""
        begun = []
        for item in group:
            work = self.works[item.number]
            if work.dropout is not None:
                work.dropout.start(work.seed, item.step, 0)
            begun.append((item, work.runner.place(work.make_batch(item.rows, item.step))))
        return begun

    def _losses(self, group: Sequence[tuple[Asked, Batch]]) -> list[Losses]:
        batches = {item.number: AdapterBatch(model_inputs(batch), batch.get("segment")) for item, batch in group}
        hidden = self.base.run(batches)
        losses = []
        for item, batch in group:
            with self.base.head_of(item.number):
                losses.append(self._loss(item, {**batch, HIDDEN: hidden[item.number]}))
        return losses

    def _loss(self, item: Asked, batch: Batch) -> Losses:
        work = self.works[item.number]
        return work.runner.loss(batch, Normalizers.of(work.task, [batch]))


class Together:
    """Runs several loops to their ends, in rounds.

    Args:
        steps: Computes their gradients.
        loops: By number; each is ready to start.
        states: Where each stands; updated in place.
    """

    def __init__(self, steps: JointSteps, loops: Sequence[Loop], states: Sequence[LoopState]) -> None:
        self.steps = steps
        self.loops = loops
        self.states = states
        self.failed: dict[int, FathomError | OSError] = {}
        """Why a run was left before its end; the others went on."""

    def run(self) -> None:
        """Train until every run has ended or failed."""
        live = []
        for number, (loop, state) in enumerate(zip(self.loops, self.states, strict=True)):
            loop.start(state)
            loop.clock.hold()
            if loop.goes_on(state):
                live.append(number)
            else:
                self._leave(number)
        while live:
            asked = [Asked(n, self.loops[n].next_rows(self.states[n]), self.states[n].step) for n in live]
            began = time.perf_counter()
            answers = self.steps.compute(asked)
            seconds = time.perf_counter() - began
            tokens = {item.number: int(self.loops[item.number].work.num_tokens[item.rows].sum()) for item in asked}
            for item in asked:
                share = seconds * tokens[item.number] / max(sum(tokens.values()), 1)
                if not self._follow(item, answers[item.number], share):
                    live.remove(item.number)
                    self._leave(item.number)

    def _follow(self, item: Asked, answer: Answer, seconds: float) -> bool:
        """Let a loop take its gradient; returns whether it goes on."""
        loop, state = self.loops[item.number], self.states[item.number]
        loop.clock.go_on(seconds)
        try:
            if isinstance(answer, TrainingError):
                raise answer
            loop.follow(state, loop.update(state, item.rows, answer))
        except (FathomError, OSError) as error:
            self.failed[item.number] = error
        loop.clock.hold()
        return item.number not in self.failed and loop.goes_on(state)

    def _leave(self, number: int) -> None:
        self.loops[number].clock.stop()
        self.steps.base.release(number)
