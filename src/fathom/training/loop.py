"""The one training loop. What varies (task, tuning, precision) is in the objects it is handed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fathom.data.sampler import Indices, Sampler
from fathom.device import current_memory_bytes, keep_within, process_age_seconds
from fathom.log import Progress, format_bytes, get_console
from fathom.training.clock import Clock
from fathom.training.diagnostics import GradientWatch
from fathom.training.guard import Guard
from fathom.training.optimizers.base import LiveOptimizer, Places
from fathom.training.schedule import Schedule
from fathom.training.scores import evaluation_line, is_better, plain_scores, require_score
from fathom.training.settings import Training
from fathom.training.step import StepResult, Workload, compute_gradient, compute_gradient_in_float32

STEPS_BETWEEN_RELEASES = 2
"""Giving memory back costs page faults when it is taken again: about a twentieth of a step."""


@dataclass
class LoopState:
    """Where a run stands; all of it is in a checkpoint."""

    step: int = 0
    """Steps done, skipped ones included."""
    best_score: float | None = None
    best_step: int | None = None
    evaluations_without_gain: int = 0
    stopped_early: bool = False
    loss_sum: float = 0.0
    """Sum of the losses since the last log line."""
    loss_count: int = 0
    side_sum: float = 0.0
    """Of the second objective's parts of those losses."""
    side_count: int = 0
    tokens: int = 0
    """Real tokens trained on."""
    most_tokens: int | None = None
    lowest_stage: int | None = None
    """Of the parts that learn in turn, as it was told last."""
    before: dict[str, Any] = field(default_factory=dict)
    """Scores of the untrained model on the validation split."""
    noise: dict[str, float] = field(default_factory=dict)
    """Running means of the gradient noise scale, where gradients are logged."""

    def to_json(self) -> dict[str, Any]:
        """Return JSON for a checkpoint."""
        return asdict(self)


@dataclass(frozen=True)
class Hooks:
    """What the loop calls; `runs` makes them.

    Attributes:
        log: Takes (step, values).
        evaluate: Scores the validation split with the model as it stands; None where there is no such split.
        save: Writes a checkpoint.
        keep_best: Writes the weights as the best so far.
        places: Names where sequences come from, for messages.
        progress: The bar.
        after_step: What the tuning strategy does after update `step` of `total_steps`, gradients still in place;
            returns whether it changed weights.
        pause: Says after a step whether to leave the loop before the plan ends, to go on another time.
        memory_bytes: What the process should take at most, by forecast; above it, memory that the allocator keeps of
            what was freed is given back.
        name: Of the run in what the user is told, where several train at once.
    """

    log: Callable[[int, Mapping[str, Any]], None]
    evaluate: Callable[[], dict[str, Any]] | None
    save: Callable[[LoopState], None]
    keep_best: Callable[[LoopState], None]
    places: Callable[[Indices], Sequence[str]]
    progress: Progress
    after_step: Callable[[int, int], bool] | None = None
    pause: Callable[[int], bool] | None = None
    memory_bytes: int | None = None
    name: str = ""


@dataclass(frozen=True)
class Plan:
    """The length of a run in steps."""

    total_steps: int
    warmup_steps: int
    steps_per_epoch: int
    steps_per_evaluation: int

    @classmethod
    def of(cls, settings: Training, num_sequences: int) -> Plan:
        """Derive it from the settings and the size of the training split."""
        steps_per_epoch = -(-num_sequences // settings.batch_size)
        total = settings.max_steps or max(1, math.ceil(settings.epochs * steps_per_epoch))
        warmup = settings.warmup_steps
        if warmup is None:
            warmup = math.ceil(settings.warmup_ratio * total)
        between = settings.eval_steps or (settings.eval_epochs or 1) * steps_per_epoch
        return cls(total, min(warmup, total), steps_per_epoch, between)


class Loop:
    """Trains a workload from a state to the end of its plan.

    Args:
        work: What is trained.
        settings: The recipe's `training` section, resolved.
        parts: Optimizer, schedule, and the guard that judges each step.
        hooks: What to call.
        metric: Key of the score that chooses the best model.
        places: Where each parameter lies in the model; needed where gradients are logged.
    """

    def __init__(
        self,
        work: Workload,
        settings: Training,
        parts: tuple[LiveOptimizer, Schedule, Guard],
        hooks: Hooks,
        metric: str,
        *,
        places: Places | None = None,
    ) -> None:
        assert settings.learning_rate is not None  # resolved
        self.work = work
        self.settings = settings
        self.optimizer, self.schedule, self.guard = parts
        self.hooks = hooks
        self.metric = metric
        self.peak_rate = settings.learning_rate
        self.sampler = work.sampler or Sampler(len(work.store), settings.batch_size, settings.seed)
        self.plan = Plan.of(settings, work.num_sequences)
        self.clock = Clock()
        self.paused = False
        """Whether it left before its plan ended; the same run can go on."""
        self.watch = None if settings.log_gradients == "none" else GradientWatch(work, places or {})
        self._seen: dict[str, float] = {}

    def run(self, state: LoopState) -> LoopState:
        """Train until the plan ends, a stop is due or the run is paused; `state` is updated in place and returned."""
        self.start(state)
        while self.goes_on(state):
            self.follow(state, self._step(state))
        self.clock.stop()
        return state

    def start(self, state: LoopState) -> None:
        """Make ready for the first step of this process."""
        self.work.train_mode()
        if state.step > 0:  # None too: where the run began with whole batches, they stay whole
            self.work.most_tokens = state.most_tokens
        self.clock.began = time.perf_counter()

    def goes_on(self, state: LoopState) -> bool:
        """Whether another step is due."""
        return self._has_more(state) and not self.paused

    def follow(self, state: LoopState, result: StepResult) -> None:
        """Do what comes after a step: log, evaluate, save."""
        self.clock.tokens += result.tokens
        self.clock.steps += 1
        if self.clock.seconds_to_first_step is None:
            self.clock.seconds_to_first_step = process_age_seconds()
        self._keep_within_memory()
        self._log_step(state, result)
        evaluated = self._evaluate_if_due(state)
        pause = self.hooks.pause
        self.paused = pause is not None and self._has_more(state) and pause(state.step)
        self._save_if_due(state, evaluated)

    def _has_more(self, state: LoopState) -> bool:
        return state.step < self.plan.total_steps and not state.stopped_early

    def _keep_within_memory(self) -> None:
        """Passes of ever new sizes leave holes in the heap, half as large as all that a step needs."""
        if self.clock.steps % STEPS_BETWEEN_RELEASES == 0:
            keep_within(self.hooks.memory_bytes)

    def _step(self, state: LoopState) -> StepResult:
        """Compute one step and, if it is sound, update."""
        rows = self.next_rows(state)
        return self.update(state, rows, self._compute(rows, state.step))

    def _compute(self, rows: Indices, step: int) -> StepResult:
        """Compute what the guard judges: here the gradient of a batch, into the flat buffers."""
        return compute_gradient(self.work, rows, step)

    def _compute_in_float32(self, rows: Indices, step: int) -> StepResult:
        """Compute the same again without low-precision arithmetic."""
        return compute_gradient_in_float32(self.work, rows, step)

    def _take(self, rows: Indices, result: StepResult, rate: float, step: int) -> StepResult:
        """Update, once the guard has found a step sound; returns what is logged."""
        limit = self.settings.max_grad_norm
        scale = min(1.0, limit / (result.grad_norm + 1e-6)) if limit > 0 else 1.0
        self.optimizer.step(rate, scale)
        return result

    def next_rows(self, state: LoopState) -> Indices:
        """Return the sequences of the coming step, whose gradient is wanted next."""
        rows = self.sampler.batch(state.step)
        self._choose_stages(state)
        if self.watch is not None and self._logs(state.step + 1):
            self.watch.sample(rows, state.step)
        return rows

    def update(self, state: LoopState, rows: Indices, result: StepResult) -> StepResult:
        """Judge what was computed of a batch and, if it is sound, update; returns what is logged."""
        rate = self.peak_rate * self.schedule.multiplier(state.step, self.plan.warmup_steps, self.plan.total_steps)
        watch = self.watch if self._logs(state.step + 1) else None
        sound = self.guard.check(result.loss, result.grad_norm) == "ok"
        if not sound:
            result, sound = self._second_try(result, rows, state)
        state.step += 1
        state.most_tokens = self.work.most_tokens
        if sound:
            state.loss_sum += result.loss
            state.loss_count += 1
            if result.side_loss is not None:
                state.side_sum += result.side_loss
                state.side_count += 1
            state.tokens += result.tokens
            if watch is not None:
                self._seen = watch.look(len(rows), result.grad_norm, state.noise)
            result = self._take(rows, result, rate, state.step)
            after = self.hooks.after_step
            if after is not None and after(state.step, self.plan.total_steps):
                self.work.parameters.refresh_shadows()
            if self.work.stages is not None:
                norms = self.work.parameters.stage_norms()
                self.work.stages.after_step(norms, state.step, self.plan.total_steps)
            if watch is not None:
                self._seen |= watch.compare()
        return result

    def _choose_stages(self, state: LoopState) -> None:
        """Let those parts of the model learn in the coming step that are to, and say when they change."""
        stages, parameters = self.work.stages, self.work.parameters
        if stages is None:
            return
        now = stages.lowest(state.step, self.plan.total_steps)
        if now != parameters.lowest_stage:
            parameters.let_learn(now)
        if now != state.lowest_stage:
            said = stages.describe(state.lowest_stage, now)
            state.lowest_stage = now
            self.hooks.log(state.step + 1, {"split": "train", "event": said})
            get_console().info(f"step {state.step + 1}: {said}")

    def _second_try(self, result: StepResult, rows: Indices, state: LoopState) -> tuple[StepResult, bool]:
        """Let the guard's policy decide on a bad step, and tell it; weights and moments are as before it."""
        step = state.step + 1
        places = self.hooks.places(rows)
        action = self.guard.action(step, places)
        self.hooks.log(step, {"split": "train", "event": f"{action}: {self.guard.describe(step, places)}"})
        if action == "retry":
            result = self._compute_in_float32(rows, state.step)
            found = self.guard.describe(step, places)
            if self.guard.check(result.loss, result.grad_norm) == "ok":
                self._warn(f"{found}; computed again in float32 it is sound, and the step is made")
                return result, True
            self.guard.action(step, places, retried=True)
            self.hooks.log(step, {"split": "train", "event": f"skip: {self.guard.describe(step, places)}"})
        self._warn(f"{self.guard.describe(step, places)}; the step is left out")
        return result, False

    def _warn(self, text: str) -> None:
        get_console().warn(f"{self.hooks.name}: {text}" if self.hooks.name else text)

    def _log_step(self, state: LoopState, result: StepResult) -> None:
        rate = self.peak_rate * self.schedule.multiplier(state.step - 1, self.plan.warmup_steps, self.plan.total_steps)
        speed = self.clock.tokens / max(self.clock.train_seconds, 1e-9)
        self.hooks.progress.update(
            state.step,
            {"loss": result.loss, "tokens/s": round(speed), "memory": format_bytes(current_memory_bytes())},
        )
        if not self._logs(state.step):
            return
        loss = _mean_losses(state)
        values = {
            "split": "train",
            "epoch": round(state.step / self.plan.steps_per_epoch, 6),
            **loss,
            "learning_rate": rate,
            "grad_norm": result.grad_norm,
            "tokens": state.tokens,
            "tokens_per_second": speed,
            **self._seen,
        }
        self._seen = {}
        state.loss_sum, state.loss_count, state.side_sum, state.side_count = 0.0, 0, 0.0, 0
        self.hooks.log(state.step, values)

    def _logs(self, step: int) -> bool:
        """Whether a line is logged after a step, counted from 1."""
        return step % self.settings.logging_steps == 0 or step == self.plan.total_steps

    def _evaluate_if_due(self, state: LoopState) -> bool:
        if self.hooks.evaluate is None:
            return False
        last = state.step == self.plan.total_steps
        if state.step % self.plan.steps_per_evaluation and not last:
            return False
        began = time.perf_counter()
        self.work.parameters.synchronize()
        self.work.model.eval()
        scores = self.hooks.evaluate()
        self.work.train_mode()
        self.clock.evaluate_seconds += time.perf_counter() - began
        epoch = round(state.step / self.plan.steps_per_epoch, 6)
        self.hooks.log(state.step, {"split": "validation", "epoch": epoch, **plain_scores(scores)})
        self._judge(state, scores)
        mark = "best" if state.best_step == state.step else ""
        at = (state.step, self.plan.total_steps)
        get_console().info(evaluation_line(at, (self.metric, scores[self.metric]), mark, self.hooks.name))
        return True

    def _judge(self, state: LoopState, scores: Mapping[str, Any]) -> None:
        """Keep the best and count evaluations without gain."""
        score = require_score(self.metric, scores)
        if is_better(self.metric, score, state.best_score):
            state.best_score, state.best_step, state.evaluations_without_gain = score, state.step, 0
            if self.settings.load_best_model_at_end:
                self.hooks.keep_best(state)
            return
        state.evaluations_without_gain += 1
        patience = self.settings.early_stopping_patience
        state.stopped_early = patience is not None and state.evaluations_without_gain >= patience

    def _save_if_due(self, state: LoopState, evaluated: bool) -> None:
        every = self.settings.save_steps
        due = evaluated if every is None else state.step % every == 0
        if not due and not self.paused and self._has_more(state):
            return
        began = time.perf_counter()
        self.work.parameters.synchronize()
        self.hooks.save(state)
        self.clock.save_seconds += time.perf_counter() - began


def _mean_losses(state: LoopState) -> dict[str, float]:
    """Return the mean loss since the last line, and that of each objective where there are two.

    Where every step was skipped there is no loss to tell; 0 would be a lie.
    """
    if not state.loss_count:
        return {}
    loss = state.loss_sum / state.loss_count
    if state.side_count != state.loss_count:  # of none, or only of steps since an older version's checkpoint
        return {"loss": loss}
    side = state.side_sum / state.side_count
    return {"loss": loss, "token_loss": loss - side, "sentence_loss": side}
