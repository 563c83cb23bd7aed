"""Schedules against `transformers.get_scheduler`, on every step of a run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from fathom import catalog
from fathom.training.schedule import Schedule

TOTAL = 57
CASES: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"kind": "linear"}, "linear", {}),
    ({"kind": "cosine"}, "cosine", {}),
    ({"kind": "cosine", "min_lr_rate": 0.1}, "cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ({"kind": "cosine-with-restarts", "num_cycles": 3}, "cosine_with_restarts", {"num_cycles": 3}),
    ({"kind": "constant"}, "constant_with_warmup", {}),
    ({"kind": "polynomial"}, "polynomial", {"lr_end": 0.0}),
    ({"kind": "polynomial", "power": 2.5, "min_lr_rate": 0.05}, "polynomial", {"lr_end": 0.05, "power": 2.5}),
    ({"kind": "inverse-square-root"}, "inverse_sqrt", {}),
    ({"kind": "inverse-square-root", "timescale": 30}, "inverse_sqrt", {"timescale": 30}),
    ({"kind": "warmup-stable-decay"}, "warmup_stable_decay", {"num_decay_steps": 11, "decay_type": "1-sqrt"}),
    (
        {"kind": "warmup-stable-decay", "decay_ratio": 0.4, "decay_type": "cosine"},
        "warmup_stable_decay",
        {"num_decay_steps": 23, "decay_type": "cosine"},
    ),
]


def make(options: dict[str, Any]) -> Schedule:
    made: Schedule = catalog.load("lr_scheduler", options["kind"])(**options)
    return made


@pytest.mark.parametrize("warmup", [0, 6])
@pytest.mark.parametrize(("options", "name", "given"), CASES, ids=[f"{c[0]['kind']}-{i}" for i, c in enumerate(CASES)])
def test_every_step_is_that_of_transformers(
    options: dict[str, Any], name: str, given: dict[str, Any], warmup: int
) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = transformers.get_scheduler(
        name, optimizer, num_warmup_steps=warmup, num_training_steps=TOTAL, scheduler_specific_kwargs=given or None
    )
    ours = make(options)
    for step in range(TOTAL):
        assert ours.multiplier(step, warmup, TOTAL) == pytest.approx(reference.get_last_lr()[0], abs=1e-12), step
        optimizer.step()
        reference.step()


def test_steps_are_those_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = torch.optim.lr_scheduler.StepLR(optimizer, step_size=13, gamma=0.3)
    ours = make({"kind": "step", "gamma": 0.3, "every": 13})
    for step in range(TOTAL):
        assert ours.multiplier(step, 0, TOTAL) == pytest.approx(reference.get_last_lr()[0], abs=1e-12), step
        optimizer.step()
        reference.step()


@pytest.mark.parametrize("name", catalog.names("lr_scheduler"))
@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (1, 1), (5, 5), (3, 40)])
def test_every_multiplier_is_between_zero_and_one(name: str, warmup: int, total: int) -> None:
    schedule = make({"kind": name})
    rates = [schedule.multiplier(step, warmup, total) for step in range(total)]
    assert all(0 <= rate <= 1 for rate in rates)
    if warmup < total:
        assert rates[warmup] == 1.0


def test_a_step_schedule_falls_twice_by_default() -> None:
    rates = [make({"kind": "step"}).multiplier(step, 3, 33) for step in range(33)]
    assert sorted({round(rate, 9) for rate in rates[3:]}) == [0.01, 0.1, 1.0]


def test_the_least_rate_is_reached_by_all_that_fall() -> None:
    for name in ("cosine", "cosine-with-restarts", "polynomial", "warmup-stable-decay"):
        assert make({"kind": name, "min_lr_rate": 0.25}).multiplier(40, 4, 40) == pytest.approx(0.25)
