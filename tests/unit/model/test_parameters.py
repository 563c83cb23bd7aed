"""Flat parameters: views of the model, exact compact embeddings, groups that are never mixed up."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fathom.errors import ModelError
from fathom.model.checkpointing import checkpoint_blocks
from fathom.model.parameters import FlatParameters, GroupKey, group_parameters


def model() -> nn.Module:
    torch.manual_seed(0)
    body = nn.ModuleDict(
        {"table": nn.Embedding(9, 4), "norm": nn.LayerNorm(4), "line": nn.Linear(4, 3), "frozen": nn.Linear(3, 3)}
    )
    body["frozen"].requires_grad_(False)
    return body


def flat_of(body: nn.Module, rows: list[int] | None = None, **options: torch.dtype) -> FlatParameters:
    named, keys = group_parameters(body, {"line.weight": 10.0, "line.bias": 10.0})
    compact = None if rows is None else {"table.weight": torch.tensor(rows)}
    return FlatParameters(named, keys, compact_rows=compact, **options)


def test_groups_leave_out_what_is_frozen_and_decay_no_vector() -> None:
    named, keys = group_parameters(model(), {"line.weight": 10.0})
    assert list(named) == ["table.weight", "norm.weight", "norm.bias", "line.weight", "line.bias"]
    assert {name for name, key in keys.items() if key.decayed} == {"table.weight", "line.weight"}
    assert keys["line.weight"] == GroupKey(True, 10.0)
    assert keys["line.bias"] == GroupKey(False, 1.0)


def test_values_are_the_parameters_and_do_not_overlap() -> None:
    body = model()
    before = {name: value.clone() for name, value in body.named_parameters()}
    flat = flat_of(body)
    assert len(flat.values) == len(flat.keys) == 4
    spans = sorted((slot.group, slot.start, slot.stop) for slot in flat.slots.values())
    assert all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(spans))
    for name, slot in flat.slots.items():
        assert torch.equal(flat.value(slot), before[name])
        flat.value(slot).add_(1.0)
        assert torch.equal(body.get_parameter(name), before[name] + 1.0)
        assert flat.slot_of(body.get_parameter(name)) is slot
    assert flat.slot_of(body.get_parameter("frozen.weight")) is None
    flat.release()
    flat.values[0].zero_()
    assert torch.equal(body.get_parameter("line.weight"), before["line.weight"] + 1.0)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=9, unique=True).map(sorted), st.integers(1, 4))
@settings(deadline=None, max_examples=30)
def test_rows_that_never_occur_decay_as_if_they_were_stepped(rows: list[int], steps: int) -> None:
    body = model()
    before = body.get_parameter("table.weight").detach().clone()
    flat = flat_of(body, rows)
    slot = flat.slots["table.weight"]
    assert slot.shape == (len(rows), 4)
    for _ in range(steps):
        flat.value(slot).mul_(0.9).add_(1.0)
        flat.note_decay(slot, 0.9)
    flat.synchronize()
    flat.synchronize()
    wanted = before * 0.9**steps
    kept = before[rows]
    for _ in range(steps):
        kept = kept * 0.9 + 1.0
    wanted[rows] = kept
    torch.testing.assert_close(body.get_parameter("table.weight").data, wanted)


def test_reload_reads_the_model_again() -> None:
    body = model()
    flat = flat_of(body, [1, 4], shadow_dtype=torch.bfloat16)
    slot = flat.slots["table.weight"]
    flat.note_decay(slot, 0.5)
    body.get_parameter("table.weight").data.fill_(2.0)
    flat.reload()
    assert torch.equal(flat.value(slot), torch.full((2, 4), 2.0))
    assert torch.equal(flat.shadow(slot), torch.full((2, 4), 2.0, dtype=torch.bfloat16))
    flat.synchronize()
    assert torch.equal(body.get_parameter("table.weight").data, torch.full((9, 4), 2.0))


def test_gradients_of_a_step_add_up_and_forget_the_step_before() -> None:
    body = model()
    flat = flat_of(body)
    slot = flat.slots["line.weight"]
    for _ in range(2):
        flat.begin_step({"line.weight"})
        body["line"](torch.ones(1, 4)).sum().backward()  # through autograd: the bias
        flat.accumulate(slot, torch.ones(3, 4))
        flat.accumulate(slot, torch.ones(3, 4))
        flat.end_step()
        assert torch.equal(flat.gradient(flat.slots["line.bias"]), torch.ones(3))
        assert torch.equal(flat.gradient(flat.slots["norm.weight"]), torch.zeros(4))
    flat.begin_step({"line.weight"})
    flat.end_step()
    assert flat.norm().item() == 0.0


def test_norm_is_that_of_all_gradients() -> None:
    flat = flat_of(model())
    total = 0.0
    for number, slot in enumerate(flat.slots.values()):
        flat.gradient(slot).fill_(number + 1.0)
        total += (number + 1.0) ** 2 * slot.shape.numel()
    assert flat.norm().item() == pytest.approx(total**0.5)


def test_shadows_follow_the_values() -> None:
    flat = flat_of(model(), shadow_dtype=torch.bfloat16)
    slot = flat.slots["line.weight"]
    flat.value(slot).fill_(1.5)
    flat.refresh_shadows()
    assert flat.shadow(slot).dtype == torch.bfloat16
    assert torch.equal(flat.shadow(slot).float(), flat.value(slot))


def test_blocks_that_cannot_be_checkpointed_are_refused() -> None:
    with pytest.raises(ModelError, match="Linear"):
        checkpoint_blocks(model(), ["line"])
