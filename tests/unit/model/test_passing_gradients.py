"""Gradients that come and go: memory only between the first of them and the update, and views that stay good."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fathom.model.parameters import group_parameters
from fathom.model.passing_gradients import PassingParameters


def model() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"low": nn.Linear(3, 5), "high": nn.Linear(5, 3)})


def passing(body: nn.Module) -> PassingParameters:
    stages = {name: 0 if name.startswith("low") else 1 for name, _ in body.named_parameters()}
    return PassingParameters(*group_parameters(body, stages=stages))


def live_bytes(parameters: PassingParameters) -> int:
    return sum(gradient.untyped_storage().size() for gradient in parameters.gradients)


def test_there_is_no_memory_before_a_gradient_and_after_an_update() -> None:
    parameters = passing(model())
    assert live_bytes(parameters) == 0
    assert parameters.sizes() == {0: 2, 1: 2}
    slot = parameters.slots["high.weight"]
    parameters.accumulate(slot, torch.ones(3, 5))
    assert live_bytes(parameters) == parameters.gradients[slot.group].nbytes
    parameters.let_go(1)
    assert live_bytes(parameters) == 0


def test_a_gradient_that_nothing_wrote_is_zero_whatever_was_there_before() -> None:
    parameters = passing(model())
    for name in ("high.weight", "high.bias"):
        parameters.accumulate(parameters.slots[name], torch.full(parameters.slots[name].shape, 9.0))
    parameters.let_go(1)
    assert parameters.norm_of(1) == 0.0
    parameters.begin_step(set())
    assert parameters.norm_of(1) == 0.0


def test_views_made_before_see_what_is_written_later() -> None:
    parameters = passing(model())
    slot = parameters.slots["low.weight"]
    parameters.hold(0)
    view = parameters.gradients[slot.group][: slot.stop]
    parameters.let_go(0)
    parameters.begin_step(set())
    written = torch.arange(15.0).view(5, 3)
    parameters.accumulate(slot, written)
    assert torch.equal(view, written.flatten())


def test_gradients_of_autograd_are_moved_over() -> None:
    body = model()
    parameters = passing(body)
    parameters.begin_step(set())
    body["low"](torch.ones(2, 3)).sum().backward()
    slot = parameters.slots["low.bias"]
    parameters.take_in(slot)
    assert torch.equal(parameters.gradient(slot), torch.full((5,), 2.0))
    assert slot.parameter.grad is None
    assert parameters.norm_of(0) == pytest.approx((5 * 2.0**2) ** 0.5)
