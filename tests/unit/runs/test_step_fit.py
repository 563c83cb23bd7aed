"""The cost of a step's parts is found again from steps made of them, and one odd run does not bend it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import nnls

from fathom.model.steptime import Rates, StepWork
from fathom.runs.step_fit import (
    PRIOR,
    Observed,
    fit_costs,
    fitted_seconds,
    nonnegative_least_squares,
    prior_seconds,
)

COSTS = np.array([1.3, 2.2, 1.5, 0.002, 0.0005, 0.004])
RATES = Rates(1e11, 3e10)


def steps(count: int, seed: int = 0) -> list[Observed]:
    """Steps of many sizes."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(count):
        flops, moved = 10 ** generator.uniform(8, 11, 2)
        work = StepWork(flops, moved / 10, 100.0, float(generator.integers(2, 24)), float(generator.integers(0, 60)))
        found.append(Observed(work, RATES, ("fp32", "bf16")[number % 2], "bert 384", "lora"))
    return found


def made_of(costs: np.ndarray, found: list[Observed]) -> list[tuple[Observed, float]]:
    return [(step, float(step.parts @ costs)) for step in found]


def test_costs_are_found_again() -> None:
    known = made_of(COSTS, steps(60))
    unseen = steps(20, seed=1)
    forecast = np.array([fitted_seconds(step, known) for step in unseen])
    errors = np.abs(forecast / [seconds for _, seconds in made_of(COSTS, unseen)] - 1)
    assert np.median(errors) < 0.03
    assert errors.max() < 0.15  # the smallest steps, of which the prior still tells a part


def test_without_a_run_the_prior_counts() -> None:
    assert fit_costs([]) == pytest.approx(PRIOR)
    [step] = steps(1)
    assert fitted_seconds(step, []) == pytest.approx(prior_seconds(step))


def test_runs_on_a_busy_machine_do_not_bend_the_rest() -> None:
    known = made_of(COSTS, steps(60))
    for number in (3, 17, 40):
        step, seconds = known[number]
        known[number] = (replace(step, tuning="full"), 6 * seconds)
    unseen = steps(20, seed=1)
    forecast = np.array([fitted_seconds(step, known) for step in unseen])
    errors = np.abs(forecast / [seconds for _, seconds in made_of(COSTS, unseen)] - 1)
    assert np.median(errors) < 0.03


def test_what_a_strategy_takes_beyond_the_fit_is_remembered() -> None:
    known = made_of(COSTS, steps(60))
    slow = [(replace(step, tuning="dora"), 2 * seconds) for step, seconds in made_of(COSTS, steps(8, seed=2))]
    step = replace(steps(1, seed=3)[0], tuning="dora")
    right = 2 * float(step.parts @ COSTS)
    errors = [abs(fitted_seconds(step, known + slow[:count]) / right - 1) for count in (0, 2, 8)]
    assert errors[0] > 0.4
    assert max(errors[1:]) < 0.2
    plain = steps(1, seed=4)[0]
    assert fitted_seconds(plain, known + slow) == pytest.approx(float(plain.parts @ COSTS), rel=0.1)


def test_the_same_model_tells_most() -> None:
    known = made_of(COSTS, steps(60))
    step = replace(steps(1, seed=5)[0], model="gpt2 768")
    seconds = 1.5 * float(step.parts @ COSTS)
    found = fitted_seconds(step, [*known, *[(step, seconds)] * 5])
    assert found == pytest.approx(seconds, rel=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_least_squares_equal_scipy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows, targets = generator.normal(size=(12, 6)), generator.normal(size=12)
    expected, _ = nnls(rows, targets)
    found = nonnegative_least_squares(rows, targets, np.ones(6))
    assert found == pytest.approx(expected, abs=1e-6)
