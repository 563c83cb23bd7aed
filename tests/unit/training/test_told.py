"""What the loop tells the user while it trains: evaluations, the best of them, and steps gone bad."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from fathom.log import quietly
from fathom.training.loop import LoopState
from loops_for_tests import Bench


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    return lambda **settings: Bench(monkeypatch, settings)


def test_evaluation_every_few_epochs_and_at_the_end(bench: Callable[..., Bench]) -> None:
    made = bench(epochs=5, eval_epochs=2)
    made.scores = iter([0.1, 0.2, 0.15])
    made.run()
    assert made.saved == [12, 24, 30]
    stopped = bench(epochs=5, eval_epochs=2)
    stopped.scores = iter([0.2, 0.15])
    state = stopped.run(LoopState(step=13, best_score=0.1, best_step=12))
    assert stopped.saved == [24, 30]
    assert (state.best_step, state.evaluations_without_gain) == (24, 1)


def test_each_evaluation_is_told_in_a_line_and_the_best_is_marked(
    bench: Callable[..., Bench], capsys: pytest.CaptureFixture[str]
) -> None:
    made = bench(max_steps=12, eval_steps=4)
    made.scores = iter([0.25, 0.5, 0.125])
    made.run()
    assert capsys.readouterr().err.splitlines() == [
        "validation  4/12  f1 0.2500  best",
        "validation  8/12  f1 0.5000  best",
        "validation  12/12  f1 0.1250",
    ]


def test_machines_are_told_of_bad_steps_and_of_nothing_else(
    bench: Callable[..., Bench], capsys: pytest.CaptureFixture[str]
) -> None:
    made = bench(max_steps=4, eval_steps=2, non_finite="skip")
    made.scores = iter([0.25, 0.5])
    made.losses = {1: math.nan}
    with quietly():
        made.run()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [f"warning: {skipped_line(made, 2)}"]


def skipped_line(made: Bench, step: int) -> str:
    rows = made.rows[step - 1]
    places = ", ".join(f"train.csv:{row}" for row in rows)
    return f"step {step}: the loss is NaN (batch: {places}); the step is left out"


def test_a_bad_step_is_told_with_what_became_of_it(
    bench: Callable[..., Bench], capsys: pytest.CaptureFixture[str]
) -> None:
    made = bench(max_steps=6, non_finite="retry")
    made.name = "runs/one"
    made.losses = {1: math.nan, 3: math.nan}
    made.retried = {3: math.nan}
    made.run()
    places = ", ".join(f"train.csv:{row}" for row in made.rows[1])
    assert capsys.readouterr().err.splitlines() == [
        f"warning: runs/one: step 2: the loss is NaN (batch: {places}); computed again in float32 it is sound, "
        "and the step is made",
        f"warning: runs/one: {skipped_line(made, 4)}",
    ]
