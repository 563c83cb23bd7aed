"""The loop: rates as transformers has them, evaluation, the best model, early stops, and steps gone bad."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import fathom
from fathom import catalog, device
from fathom.errors import TrainingError
from fathom.training import loop as module
from fathom.training.clock import Clock
from fathom.training.forward import Losses, Runner
from fathom.training.loop import LoopState, Plan
from fathom.training.scores import is_better
from fathom.training.settings import Training
from loops_for_tests import Bench
from runs_for_tests import make_model, make_recipe

REFERENCES: dict[str, Callable[..., Any]] = {
    "linear": transformers.get_linear_schedule_with_warmup,
    "cosine": transformers.get_cosine_schedule_with_warmup,
    "constant": lambda optimizer, warmup, _: transformers.get_constant_schedule_with_warmup(optimizer, warmup),
}


@pytest.mark.parametrize("name", list(REFERENCES))
@pytest.mark.parametrize(("warmup", "total"), [(0, 7), (1, 7), (3, 20), (20, 20), (0, 1), (5, 100)])
def test_rates_are_those_of_transformers(name: str, warmup: int, total: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = REFERENCES[name](optimizer, warmup, total)
    schedule = catalog.load("lr_scheduler", name)()
    for step in range(total):
        assert schedule.multiplier(step, warmup, total) == pytest.approx(reference.get_last_lr()[0], abs=1e-12), step
        optimizer.step()
        reference.step()


@given(st.integers(1, 500), st.integers(1, 64), st.floats(0.1, 6), st.floats(0, 1))
def test_the_plan_covers_the_epochs(size: int, batch: int, epochs: float, ratio: float) -> None:
    plan = Plan.of(Training(epochs=epochs, batch_size=batch, warmup_ratio=ratio), size)
    assert plan.steps_per_epoch == math.ceil(size / batch)
    assert plan.total_steps - 1 < epochs * plan.steps_per_epoch <= plan.total_steps
    assert 0 <= plan.warmup_steps <= plan.total_steps


def test_max_steps_and_warmup_steps_come_first() -> None:
    plan = Plan.of(Training(epochs=9, max_steps=5, warmup_steps=70, warmup_ratio=0.1, batch_size=4), 100)
    assert (plan.total_steps, plan.warmup_steps, plan.steps_per_epoch) == (5, 5, 25)


def test_better() -> None:
    assert is_better("f1", 0.5, 0.4)
    assert not is_better("f1", 0.4, 0.4)
    assert is_better("loss", 0.4, 0.5)
    assert not is_better("f1", math.nan, 0.1)
    assert is_better("f1", 0.1, None)
    assert not is_better("loss", math.nan, None)


@pytest.mark.parametrize(
    ("metric", "right", "wrong"),
    [
        ("mse", (2.0, 2.0), (2.0, 3.0)),
        ("perplexity", ((0.1, 2, 2), 4), ((9.0, 2, 1), 4)),
        ("calibration", (np.array([1.0, 0.0]), 0), (np.array([0.9, 0.1]), 1)),
        ("accuracy", (np.array([1.0, 0.0]), 0), (np.array([0.9, 0.1]), 1)),
        ("f1", (np.array([1.0, 0.0]), 0), (np.array([0.9, 0.1]), 1)),
        ("top-k", (np.arange(9.0), 8), (np.arange(9.0), 0)),
        ("recommendation", (1.0, 1.0), (math.inf, math.inf)),
        ("squad", (("a", "a", 0.0), ["a"]), (("a", "a", 0.0), ["b"])),
        ("reranking", ([1.0, 0.0], ("q", [1.0, 0.0])), ([0.0, 1.0], ("q", [1.0, 0.0]))),
        ("ter", ("a b c d", {"references": ["a b c d"]}), ("x y", {"references": ["a b c d"]})),
    ],
)
def test_what_is_right_is_better_by_every_score_of_a_metric(metric: str, right: Any, wrong: Any) -> None:
    """A metric that chooses must not choose the worst."""
    found = []
    for pair in (right, wrong):
        accumulator = catalog.load("metric", metric)().open(("a", "b"))
        accumulator.update(*pair)
        found.append(accumulator.compute())
    names = [name for name, value in found[0].items() if isinstance(value, float) and value != found[1][name]]
    assert names
    assert [name for name in names if not is_better(name, found[0][name], found[1][name])] == []


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    return lambda **settings: Bench(monkeypatch, settings)


def test_steps_follow_the_sampler_and_rates_the_schedule(bench: Callable[..., Bench]) -> None:
    made = bench(epochs=1.5, warmup_steps=3, max_grad_norm=0.25)
    state = made.run()
    assert state.step == 9
    assert sorted(row for rows in made.rows[:6] for row in rows) == list(range(12))
    rates = [rate for rate, _ in made.optimizer.updates]
    assert rates == pytest.approx([0, 1 / 3, 2 / 3, *(1 - i / 6 for i in range(6))])
    assert [scale for _, scale in made.optimizer.updates] == pytest.approx([0.5] * 9, rel=1e-5)
    assert [values["learning_rate"] for _, values in made.lines] == pytest.approx(rates)
    assert state.tokens == 90


def test_evaluation_and_saving_have_their_own_rhythm(bench: Callable[..., Bench]) -> None:
    made = bench(max_steps=11, eval_steps=4, save_steps=3)
    made.scores = iter([0.1, 0.3, 0.2])
    state = made.run()
    evaluated = [step for step, values in made.lines if values["split"] == "validation"]
    assert evaluated == [4, 8, 11]
    assert made.saved == [3, 6, 9, 11]
    assert made.best == [4, 8]
    assert (state.best_step, state.best_score) == (8, 0.3)


def test_each_epoch_is_evaluated_and_saved_by_default(bench: Callable[..., Bench]) -> None:
    made = bench(epochs=2)
    made.scores = iter([0.1, 0.2])
    made.run()
    assert made.saved == made.best == [6, 12]


def test_without_validation_only_the_end_is_saved(bench: Callable[..., Bench]) -> None:
    made = bench(epochs=2)
    assert made.run().best_step is None
    assert made.saved == [12]


def test_early_stop_waits_its_patience(bench: Callable[..., Bench]) -> None:
    made = bench(epochs=50, eval_steps=2, early_stopping_patience=3)
    made.scores = iter([0.5, 0.4, 0.6, 0.6, 0.1, 0.59, 9.0])
    state = made.run()
    assert state.stopped_early
    assert (state.step, state.best_step, state.best_score) == (12, 6, 0.6)
    assert made.saved[-1] == 12


def test_a_score_that_is_no_number_is_never_the_best(bench: Callable[..., Bench]) -> None:
    made = bench(epochs=50, eval_steps=1, max_steps=4)
    made.scores = iter([math.nan, 0.2, math.nan, 0.1])
    assert made.run().best_step == 2


def test_logged_loss_is_the_mean_since_the_last_line(bench: Callable[..., Bench]) -> None:
    made = bench(max_steps=7, logging_steps=3)
    made.losses = {step: float(step) for step in range(7)}
    made.run()
    assert [(step, values["loss"]) for step, values in made.lines] == [(3, 1.0), (6, 4.0), (7, 6.0)]


@pytest.mark.parametrize(("began", "now", "step", "used"), [(None, 40, 2, None), (60, 40, 2, 60), (None, 40, 0, 40)])
def test_batches_are_cut_as_where_the_run_began(
    bench: Callable[..., Bench], began: int | None, now: int, step: int, used: int | None
) -> None:
    state = bench(max_steps=3).run(LoopState(step=step, most_tokens=began), most_tokens=now)
    assert state.most_tokens == used


def test_going_on_is_the_same_as_never_stopping(bench: Callable[..., Bench]) -> None:
    whole = bench(max_steps=9, logging_steps=2)
    whole.losses = {step: step**0.5 for step in range(9)}
    whole.run()
    stopped = bench(max_steps=9, logging_steps=2)
    stopped.losses = dict(whole.losses)
    stopped.run(LoopState(step=5, loss_sum=2.0, loss_count=1, tokens=50))
    assert stopped.optimizer.updates == whole.optimizer.updates[5:]

    def plain(lines: Sequence[tuple[int, dict[str, Any]]]) -> list[Any]:
        return [(step, {k: v for k, v in values.items() if k != "tokens_per_second"}) for step, values in lines]

    assert plain(stopped.lines) == plain(whole.lines[2:])


def test_skip_makes_no_update_and_tells(bench: Callable[..., Bench]) -> None:
    made = bench(max_steps=6, non_finite="skip", warmup_ratio=0)
    made.losses = {2: math.nan}
    state = made.run()
    assert state.step == 6
    assert [rate for rate, _ in made.optimizer.updates] == pytest.approx([1, 5 / 6, 3 / 6, 2 / 6, 1 / 6])
    told = [values["event"] for step, values in made.lines if "event" in values and step == 3]
    assert len(told) == 1
    assert "step 3: the loss is NaN" in told[0]
    assert "train.csv:" in told[0]
    assert state.tokens == 50
    logged = [values for step, values in made.lines if step == 3 and "event" not in values]
    assert len(logged) == 1
    assert "loss" not in logged[0]


def test_retry_updates_with_what_float32_gives(bench: Callable[..., Bench]) -> None:
    made = bench(max_steps=4, non_finite="retry")
    made.losses = {1: math.inf}
    made.retried = {1: 0.75}
    made.run()
    assert len(made.optimizer.updates) == 4
    assert [values["loss"] for step, values in made.lines if step == 2 and "loss" in values] == [0.75]
    assert sum("event" in values for _, values in made.lines) == 1


def test_retry_that_fails_skips(bench: Callable[..., Bench]) -> None:
    made = bench(max_steps=4, non_finite="retry")
    made.losses = {1: math.nan}
    made.retried = {1: math.nan}
    made.run()
    assert len(made.optimizer.updates) == 3
    assert [values["event"].partition(":")[0] for _, values in made.lines if "event" in values] == ["retry", "skip"]


def test_abort_stops_before_the_update(bench: Callable[..., Bench]) -> None:
    made = bench(max_steps=4, non_finite="abort")
    made.losses = {1: math.nan}
    with pytest.raises(TrainingError, match="step 2: the loss is NaN"):
        made.run()
    assert len(made.optimizer.updates) == 1


def test_too_many_skipped_in_a_row_stop(bench: Callable[..., Bench]) -> None:
    made = bench(max_steps=20, non_finite="skip", max_skipped_steps=2)
    made.losses = {1: math.nan, 3: math.nan, 5: math.nan, 6: math.nan, 7: math.nan}
    with pytest.raises(TrainingError, match="3 steps in a row"):
        made.run()
    assert len(made.optimizer.updates) == 3


@contextmanager
def nan_at(monkeypatch: pytest.MonkeyPatch, call: int) -> Iterator[None]:
    """Multiply the loss of one training forward by NaN, so that every gradient of it is NaN too."""
    real, calls = Runner.loss, [0]

    def broken(*arguments: Any) -> Losses:
        calls[0] += 1
        found = real(*arguments)
        return found._replace(total=found.total * (math.nan if calls[0] == call else 1.0))

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "loss", broken)
        yield


@pytest.mark.parametrize("policy", ["retry", "skip", "abort"])
def test_a_real_loss_of_nan_reaches_neither_weights_nor_moments(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    model = make_model(tmp_path / "tiny")
    recipe = make_recipe(model, tmp_path, "single", f"training.non_finite={policy}", "training.save_steps=1")
    recipe = replace_output(recipe, tmp_path / "bad", kept=9)
    with nan_at(monkeypatch, call=4):
        if policy == "abort":
            with pytest.raises(TrainingError, match=r"step 4.*train\.csv"):
                fathom.train(recipe)
        else:
            fathom.train(recipe)
    bad = tmp_path / "bad" / "checkpoints"
    if policy == "abort":
        assert sorted(path.name for path in bad.glob("step-*")) == ["step-1", "step-2", "step-3"]
    elif policy == "skip":
        before, after = (tensors(bad / f"step-{step}") for step in (3, 4))
        assert before.keys() == after.keys()
        learned = [name for name in before if name.startswith(("model/", "optimizer/"))]
        assert len(learned) > 10
        assert all(torch.equal(before[name], after[name]) for name in learned)
        assert any(not torch.equal(before[name], tensors(bad / "step-5")[name]) for name in learned)
    else:
        fathom.train(replace_output(recipe, tmp_path / "good", kept=9))
        good = tensors(tmp_path / "good" / "checkpoints" / "step-8")
        assert all(torch.equal(value, good[name]) for name, value in tensors(bad / "step-8").items())


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        found |= load_file(path)
    return found


def replace_output(recipe: Any, folder: Path, kept: int) -> Any:
    training = recipe.training.model_copy(update={"save_total_limit": kept})
    return recipe.model_copy(update={"output": str(folder), "training": training})


@pytest.mark.parametrize(("limit", "released"), [(None, 0), (1000, 0), (999, 3)])
def test_freed_memory_is_given_back_above_the_forecast(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, limit: int | None, released: int
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(device, "current_memory_bytes", lambda: 1000)
    monkeypatch.setattr(device, "release_free_memory", lambda: calls.append(1))
    made = bench(epochs=1)
    made.memory_bytes = limit
    assert made.run().step == 6
    assert len(calls) == released  # at every second step


def test_a_held_clock_counts_what_was_worked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "perf_counter", lambda: now)
    clock = Clock(began=now)
    now = 103.0
    clock.hold()
    now = 150.0
    assert clock.train_seconds == 3.0
    clock.go_on(2.0)
    now = 151.0
    clock.evaluate_seconds = 0.5
    assert clock.train_seconds == 5.5
    clock.hold()
    now = 199.0
    clock.stop()
    assert clock.train_seconds == 5.5
