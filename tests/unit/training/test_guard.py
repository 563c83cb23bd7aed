"""The guard: what is judged bad, what is done about it, and that nothing bad lingers."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.errors import TrainingError
from fathom.training.guard import FEWEST, Guard

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("loss", "norm", "reason"),
    [
        (NAN, 1.0, "the loss is NaN"),
        (INF, 1.0, "the loss is infinite"),
        (-INF, 1.0, "the loss is infinite"),
        (1.0, NAN, "the gradient norm is NaN"),
        (1.0, INF, "the gradient norm is infinite"),
    ],
)
def test_what_is_not_finite_is_bad(loss: float, norm: float, reason: str) -> None:
    guard = Guard("retry", 5)
    assert guard.check(loss, norm) == "bad"
    assert guard.reason == reason
    assert guard.check(1.0, 1.0) == "ok"
    assert guard.reason == ""


def test_retry_comes_once_and_then_the_step_is_skipped() -> None:
    guard = Guard("retry", 5)
    guard.check(NAN, 1.0)
    assert guard.action(4, retried=False) == "retry"
    assert guard.skipped_total == 0
    assert guard.action(4, retried=True) == "skip"
    assert guard.skipped_total == 1


def test_abort_names_the_step_and_the_examples() -> None:
    guard = Guard("abort", 5)
    guard.check(NAN, 1.0)
    places = [f"train.csv:{row}" for row in range(12)]
    with pytest.raises(
        TrainingError, match=r"step 17: the loss is NaN \(batch: train\.csv:0, .*train\.csv:7 and 4 more\)"
    ):
        guard.action(17, places)


@pytest.mark.parametrize("max_skipped", [0, 1, 5])
def test_more_than_max_skipped_in_a_row_stops(max_skipped: int) -> None:
    guard = Guard("skip", max_skipped)
    for step in range(max_skipped):
        guard.check(NAN, 1.0)
        assert guard.action(step) == "skip"
    guard.check(NAN, 1.0)
    with pytest.raises(TrainingError, match="in a row"):
        guard.action(max_skipped)


def test_a_good_step_ends_the_row() -> None:
    guard = Guard("skip", 1)
    for step in range(20):
        guard.check(NAN, 1.0)
        assert guard.action(2 * step) == "skip"
        assert guard.check(1.0, 1.0) == "ok"
    assert guard.skipped_total == 20


def test_a_leap_is_bad_and_no_healthy_step_after_it_is() -> None:
    guard = Guard("skip", 5, spike_factor=10)
    for _ in range(FEWEST):
        assert guard.check(2.0, 1.0) == "ok"
    assert guard.check(2000.0, 1.0) == "bad"
    assert "1e+03 times its running median 2" in guard.reason
    assert all(guard.check(2.0, 1.0) == "ok" for _ in range(200))
    assert guard.check(19.9, 1.0) == "ok"


def test_leaps_are_not_judged_before_enough_losses_or_without_a_factor() -> None:
    guard = Guard("skip", 5, spike_factor=10)
    assert [guard.check(loss, 1.0) for loss in (0.001, 5.0, 1.0)] == ["ok"] * 3
    unbounded = Guard("skip", 5)
    assert all(unbounded.check(10.0**power, 1.0) == "ok" for power in range(20))


@given(st.lists(st.one_of(st.floats(), st.floats(0.1, 3)), max_size=120), st.integers(0, 120))
def test_a_restored_guard_judges_as_one_that_never_stopped(losses: list[float], stop: int) -> None:
    whole, before = Guard("skip", 1000, 5.0), Guard("skip", 1000, 5.0)

    def judge(guard: Guard, loss: float) -> str:
        verdict: str = guard.check(loss, 1.0)
        return verdict if verdict == "ok" else guard.action(1)

    expected = [judge(whole, loss) for loss in losses]
    verdicts = [judge(before, loss) for loss in losses[:stop]]
    after = Guard("skip", 1000, 5.0)
    after.restore(json.loads(json.dumps(before.state(), allow_nan=False)))
    verdicts += [judge(after, loss) for loss in losses[stop:]]
    assert verdicts == expected
    assert after.state() == whole.state()
