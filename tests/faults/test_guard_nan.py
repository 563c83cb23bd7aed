"""NaN, Inf and leaps injected into a small training loop: weights and moments before the bad step are kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from fathom.errors import TrainingError
from fathom.training import checkpoint
from fathom.training.checkpoint import TrainingState
from fathom.training.guard import Guard

STEPS = 24
FAULTS = ["NaN loss", "infinite loss", "NaN in one gradient", "loss x 1000"]


class SmallRun:
    """Linear regression with AdamW and two micro-batches a step, guarded as a training loop guards."""

    def __init__(self, guard: Guard) -> None:
        torch.manual_seed(3)
        self.guard = guard
        self.model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2)
        self.skipped: list[int] = []

    def step(self, number: int, fault: str | None) -> None:
        generator = torch.Generator().manual_seed(number)
        self.optimizer.zero_grad()
        total = 0.0
        for micro_batch in range(2):
            inputs_BD = torch.randn(4, 6, generator=generator)
            loss = (self.model(inputs_BD) - inputs_BD.sum(1, keepdim=True)).square().sum() / 8
            if micro_batch == 1 and fault in {"NaN loss", "infinite loss", "loss x 1000"}:
                loss = loss * {"NaN loss": math.nan, "infinite loss": math.inf, "loss x 1000": 1000.0}[fault]
            loss.backward()
            total += loss.item()
        if fault == "NaN in one gradient":
            gradient = self.model[0].bias.grad
            assert gradient is not None
            gradient[2] = math.nan
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0).item()
        if self.guard.check(total, norm) == "bad":
            assert self.guard.action(number, ["train.csv:2"]) == "skip"
            self.skipped.append(number)
        else:
            self.optimizer.step()

    def tensors(self) -> dict[str, torch.Tensor]:
        weights = {f"model/{name}": value.detach().clone() for name, value in self.model.named_parameters()}
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        moments = {
            f"optimizer/{names[id(parameter)]}/{kind}": value.clone()
            for parameter, state in self.optimizer.state.items()
            for kind, value in state.items()
        }
        return weights | moments


def equal(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> bool:
    return set(left) == set(right) and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("at", [1, 10, 12, 17, STEPS])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_step_touches_nothing_and_the_rest_go_on(fault: str, at: int, tmp_path: Path) -> None:
    if fault == "loss x 1000" and at == 1:
        pytest.skip("a leap needs losses before it")
    run = SmallRun(Guard("skip", 3, spike_factor=20))
    for number in range(1, STEPS + 1):
        before = run.tensors()
        run.step(number, fault if number == at else None)
        assert equal(before, run.tensors()) == (number == at)
        checkpoint.save_checkpoint(tmp_path, TrainingState(number, run.tensors(), {"guard": run.guard.state()}))
    assert run.skipped == [at]
    assert run.guard.skipped_total == 1


@pytest.mark.parametrize("fault", FAULTS[:3])
def test_training_stops_after_too_many_in_a_row_with_the_weights_kept(fault: str) -> None:
    run = SmallRun(Guard("skip", 3))
    for number in range(1, 6):
        run.step(number, None)
    before = run.tensors()
    with pytest.raises(TrainingError, match=r"4 steps in a row.*step 9.*train\.csv:2"):
        for number in range(6, 20):
            run.step(number, fault)
    assert equal(before, run.tensors())


def test_abort_stops_at_the_first() -> None:
    run = SmallRun(Guard("abort", 3))
    run.step(1, None)
    with pytest.raises(TrainingError, match="step 2: the loss is NaN"):
        run.step(2, "NaN loss")
