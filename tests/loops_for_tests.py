"""A loop whose gradients and scores are scripted, for tests of what it does with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from fathom.training import loop as module
from fathom.training.guard import Guard
from fathom.training.loop import Hooks, Loop, LoopState
from fathom.training.settings import Training
from fathom.training.step import StepResult


class FakeOptimizer:
    """Notes the rate and the scale of every update."""

    def __init__(self) -> None:
        self.updates: list[tuple[float, float]] = []

    def step(self, learning_rate: float, gradient_scale: float) -> None:
        self.updates.append((learning_rate, gradient_scale))


class Bench:
    """A loop whose gradients and scores are scripted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]) -> None:
        self.settings = Training(**{"learning_rate": 1.0, "batch_size": 2, "logging_steps": 1, **settings})
        self.lines: list[tuple[int, dict[str, Any]]] = []
        self.saved: list[int] = []
        self.best: list[int] = []
        self.rows: list[list[int]] = []
        self.scores: Iterator[float] | None = None
        self.losses: dict[int, float] = {}
        self.retried: dict[int, float] = {}
        self.norm = 0.5
        self.memory_bytes: int | None = None
        self.name = ""
        self.optimizer = FakeOptimizer()
        monkeypatch.setattr(module, "compute_gradient", self._gradient)
        monkeypatch.setattr(module, "compute_gradient_in_float32", self._again)

    def _gradient(self, _: Any, rows: Any, step: int) -> StepResult:
        self.rows.append(rows.tolist())
        return StepResult(self.losses.get(step, 1.0), self.norm, 10)

    def _again(self, _: Any, rows: Any, step: int) -> StepResult:
        return StepResult(self.retried.get(step, 1.0), self.norm, 10)

    def run(self, state: LoopState | None = None, size: int = 12, most_tokens: int | None = None) -> LoopState:
        settings = self.settings
        nothing = SimpleNamespace(synchronize=lambda: None)
        model = SimpleNamespace(train=lambda: None, eval=lambda: None)
        work: Any = SimpleNamespace(
            model=model,
            parameters=nothing,
            most_tokens=most_tokens,
            store=range(size),
            sampler=None,
            num_sequences=size,
            train_mode=lambda: None,
            stages=None,
        )
        hooks = Hooks(
            log=self._log,
            evaluate=None if self.scores is None else lambda: {"f1": next(self.scores or iter(()))},
            save=lambda state: self.saved.append(state.step),
            keep_best=lambda state: self.best.append(state.step),
            places=lambda rows: [f"train.csv:{row}" for row in rows],
            progress=SimpleNamespace(update=lambda step, values: None),  # type: ignore[arg-type]
            memory_bytes=self.memory_bytes,
            name=self.name,
        )
        guard = Guard(settings.non_finite, settings.max_skipped_steps, settings.spike_factor)
        schedule = settings.lr_scheduler
        loop = Loop(work, settings, (self.optimizer, schedule, guard), hooks, "f1")  # type: ignore[arg-type]
        return loop.run(state or LoopState())

    def _log(self, step: int, values: Mapping[str, Any]) -> None:
        self.lines.append((step, dict(values)))
