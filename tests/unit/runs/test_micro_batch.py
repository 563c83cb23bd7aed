"""Automatic passes: whole batches where they fit, the largest that fits by forecast where they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from torch import nn

from fathom.data.sampler import Sampler
from fathom.data.store import TokenStore, from_features
from fathom.device import Machine, probe_machine
from fathom.log import get_console
from fathom.model.ledger import build_ledger
from fathom.model.load import build_on_meta, load_config
from fathom.model.memory import MicroBatch, Setting
from fathom.model.prepared import Layouts
from fathom.runs.micro_batch import MEMORY_SHARE, RECYCLED_BYTES, Passes, Room, fit_micro_batch
from fathom.training.settings import Training

SETTING = Setting()


def model(**options: Any) -> nn.Module:
    size = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
    config = load_config("bert-base", {**size, "vocab_size": 100, "num_labels": 3, **options}, from_preset=True)
    return build_on_meta(config, "AutoModelForTokenClassification")


def store(lengths: list[int]) -> TokenStore:
    return from_features([{"input_ids": np.zeros(length, dtype=np.int32)} for length in lengths])


def passes(split: TokenStore, training: Training | None = None, *, packed: bool = True) -> Passes:
    return Passes.of(training or TRAINING, (split, None), model(), packed=packed)


def machine(memory_bytes: float) -> Machine:
    return replace(probe_machine(), memory_bytes=int(memory_bytes), device="cpu")


def needed(built: nn.Module, lengths: list[int]) -> int:
    return build_ledger(built, MicroBatch.of(lengths), SETTING).memory.total


LENGTHS = [128, 16, 64, 32] * 64
TRAINING = Training(batch_size=64)


def test_what_the_recipe_says_is_taken() -> None:
    wanted = Training(micro_batch_tokens=17)
    assert fit_micro_batch(wanted, passes(store(LENGTHS)), model(), SETTING, machine(1)) == 17


def test_whole_batches_where_they_fit() -> None:
    assert fit_micro_batch(TRAINING, passes(store(LENGTHS)), model(), SETTING, machine(1 << 40)) is None


def test_large_batches_go_in_passes_whose_tensors_the_allocator_keeps() -> None:
    large = Training(batch_size=256, epochs=1)
    split = store([64] * 256)
    fast = RECYCLED_BYTES // (1024 * 4)
    roomy = machine(1 << 40)
    built = model()
    assert fit_micro_batch(large, passes(split, large), built, SETTING, roomy) == fast == 8192
    little = store([64] * 180)
    assert fit_micro_batch(large, passes(little, large), built, SETTING, roomy) is None
    whole = Passes.of(large, (split, None), built, packed=True, whole=True)
    assert fit_micro_batch(large, whole, built, SETTING, roomy) is None


def test_the_largest_pass_fits_the_memory_and_hardly_a_larger_one_would() -> None:
    built, split = model(), store(LENGTHS)
    smallest, whole = needed(built, [128]), needed(built, sorted(LENGTHS)[-64:])
    limit = (smallest + whole) / 2
    most = fit_micro_batch(TRAINING, passes(split), built, SETTING, machine(limit / MEMORY_SHARE))
    assert most is not None
    chosen = passes(split).largest(most)
    larger = passes(split).largest(most + most // 8)
    assert build_ledger(built, chosen, SETTING).memory.total <= limit
    assert build_ledger(built, larger, SETTING).memory.total > limit


def test_more_memory_larger_passes() -> None:
    built, split = model(), store(LENGTHS)
    smallest, whole = needed(built, [128]), needed(built, sorted(LENGTHS)[-64:])
    limits = [smallest + share * (whole - smallest) for share in (0.1, 0.2, 0.4)]
    most = [fit_micro_batch(TRAINING, passes(split), built, SETTING, machine(limit / MEMORY_SHARE)) for limit in limits]
    found = [tokens for tokens in most if tokens is not None]
    assert len(set(found)) == 3
    assert found == sorted(found)


def test_a_sequence_too_long_for_the_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(get_console(), "warn", told.append)
    assert fit_micro_batch(TRAINING, passes(store(LENGTHS)), model(), SETTING, machine(1 << 20)) == 128
    assert "one sequence of 128 tokens" in told[0]


def test_the_largest_pass_is_the_one_with_most_to_hold() -> None:
    split = store([4] * 30 + [60, 60])
    eights = Training(batch_size=8, epochs=1)
    assert passes(split, eights).largest(None).length == 60
    assert passes(split, eights).largest(8).tokens == 60  # a longer sequence stands alone


def test_only_the_steps_of_the_run_are_looked_at() -> None:
    split = store([4] * 30 + [60, 60])
    order = Sampler(32, 8, Training().seed)
    long_steps = [step for step in range(4) if max(split.lengths[order.batch(step)]) == 60]
    short = next(steps for steps in range(1, 5) if steps not in [step + 1 for step in long_steps])
    before = any(step < short for step in long_steps)
    found = passes(split, Training(batch_size=8, max_steps=short)).largest(None)
    assert (found.length == 60) == before


def test_padded_batches_go_through_in_groups_of_like_length() -> None:
    split = store([64] * 8 + [8] * 24)
    whole = Training(batch_size=32, epochs=1)
    padded = passes(split, whole, packed=False)
    assert padded.largest(None) == MicroBatch.padded([64] * 8)
    assert padded.layouts(None) == Layouts(slots=2, buckets=2)
    assert passes(split, whole).layouts(None).slots == 1


def test_what_the_process_takes_already_is_counted() -> None:
    built, split = model(), store(LENGTHS)
    limit = 1.2 * needed(built, sorted(LENGTHS)[-64:])
    fits = machine(limit / MEMORY_SHARE)
    assert fit_micro_batch(TRAINING, passes(split), built, SETTING, fits) is None
    resident = int(0.95 * limit)
    cut = fit_micro_batch(TRAINING, passes(split), built, SETTING, fits, room=Room(resident))
    assert cut is not None


def test_what_other_programs_leave_is_the_limit() -> None:
    built, split = model(), store(LENGTHS)
    resident = needed(built, [128]) // 2
    large = machine(1 << 40)
    whole = needed(built, sorted(LENGTHS)[-64:])
    most = {
        room: fit_micro_batch(TRAINING, passes(split), built, SETTING, large, room=Room(resident, room))
        for room in (2 * whole, whole // 4)
    }
    assert most[2 * whole] is None
    assert most[whole // 4] is not None


def test_a_batch_whose_gradients_are_used_up_on_the_way_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(get_console(), "warn", said.append)
    apart = Training(batch_size=64, optimizer_in_backward=True, max_grad_norm=0)
    setting = replace(SETTING, passing_gradients=True)
    padded = passes(store(LENGTHS), apart, packed=False)
    assert [len(part) for part in padded.cut(np.asarray(LENGTHS), None)] == [len(LENGTHS)]
    assert fit_micro_batch(apart, passes(store(LENGTHS), apart), model(), setting, machine(1 << 40)) is None
    assert not said
    assert fit_micro_batch(apart, passes(store(LENGTHS), apart), model(), setting, machine(1 << 20)) is None
    assert len(said) == 1 and "lower training.batch_size" in said[0]
