"""Activation offload: every tensor that the backward pass needs goes through the copy, and no bit changes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from fathom.device import probe_machine
from fathom.model.offload import kept_on_host
from fathom.recipe import resolve
from fathom.runs.prepare import PreparedModel, prepare_data, prepare_model
from fathom.training import forward
from fathom.training.step import compute_gradient
from runs_for_tests import make_model, make_recipe


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedModel:
    """A workload that offloads; a recipe is refused that asks for it on a processor."""
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    machine = probe_machine()
    recipe = resolve(make_recipe(make_model(tmp_path / "tiny"), tmp_path), machine)
    found = prepare_model(recipe, prepare_data(recipe), machine)
    found.work.offload = True
    found.work.__post_init__()
    return found


def gradients(prepared: PreparedModel) -> list[Tensor]:
    work = prepared.work
    compute_gradient(work, work.store.lengths.argsort()[:8], 0)
    return [gradient.clone() for gradient in work.parameters.gradients]


def test_copies_change_no_bit(prepared: PreparedModel) -> None:
    moved = gradients(prepared)
    prepared.work.offload = False
    prepared.work.__post_init__()
    for ours, theirs in zip(moved, gradients(prepared), strict=True):
        assert torch.equal(ours, theirs)


def test_all_that_the_model_keeps_is_moved_and_comes_back(
    prepared: PreparedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stands for the processor's memory counts what is brought to it and taken from it."""
    moved: list[int] = []
    taken: list[int] = []

    def pack(tensor: Tensor) -> tuple[int, Tensor]:
        moved.append(tensor.nbytes)
        return len(moved), tensor.clone()

    def unpack(packed: tuple[int, Tensor]) -> Tensor:
        taken.append(packed[0])
        return packed[1]

    def pretended() -> AbstractContextManager[Any, None]:
        return saved_tensors_hooks(pack, unpack)

    monkeypatch.setattr(forward, "kept_on_host", pretended)
    gradients(prepared)
    blocks = len(prepared.anatomy.blocks)
    assert len(moved) > 10 * blocks  # products, norms, attention and dropout of every block
    assert set(taken) <= set(range(1, len(moved) + 1)) and len(taken) > 10 * blocks
    seen = len(moved)
    work = prepared.work
    with torch.no_grad():
        work.runner.run(work.runner.place(work.make_batch(work.store.lengths.argsort()[:2], 0)))
    assert len(moved) == seen


def test_the_context_is_torchs_own() -> None:
    with kept_on_host():
        leaf = torch.arange(3.0, requires_grad=True)
        squared = leaf * leaf
    squared.sum().backward()
    assert leaf.grad is not None and torch.equal(leaf.grad, 2 * leaf.detach())
