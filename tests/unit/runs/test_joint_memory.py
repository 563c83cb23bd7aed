"""The memory of runs in one pass: their base once, what is each one's own, and how many go together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fathom.device import probe_machine
from fathom.model.anatomy import find_anatomy
from fathom.model.ledger import Course, Ledger, build_ledger
from fathom.model.load import build_on_meta, load_config
from fathom.model.memory import MicroBatch, Setting
from fathom.model.prepared import micro_batch_layouts
from fathom.recipe import Recipe
from fathom.runs import together
from fathom.runs.joint_memory import fits, joint_memory, most_tokens
from fathom.runs.micro_batch import Room
from fathom.runs.open_run import RunResult
from fathom.runs.together import train_together
from fathom.tuning.lora import Lora
from runs_for_tests import make_model, make_recipe

BATCH = MicroBatch.of([32] * 16)
GIGABYTE = 10**9


def ledger(rank: int, setting: Setting, batch: MicroBatch = BATCH, slack_share: float | None = None) -> Ledger:
    model = build_on_meta(
        load_config("bert-base", {"num_hidden_layers": 2}, from_preset=True), "AutoModelForSequenceClassification"
    )
    course = Course(micro_batch_layouts(batch), slack_share=slack_share)
    return build_ledger(Lora(rank=rank).apply(model, find_anatomy(model)), batch, setting, course=course)


@pytest.mark.parametrize("setting", [Setting(), Setting(precision="bf16", stream="bf16")])
def test_the_base_is_counted_once_and_what_is_a_run_s_own_for_each(setting: Setting) -> None:
    ledgers = [ledger(rank, setting) for rank in (4, 64)]
    low, high = (one.memory for one in ledgers)
    assert joint_memory(ledgers[:1]) == low
    both = joint_memory(ledgers)
    more = ledgers[0].trainable * 4
    assert both.weights == high.weights + more
    assert both.gradients == low.gradients + high.gradients
    assert both.optimizer == low.optimizer + high.optimizer
    assert high.copies <= both.copies < low.copies + high.copies or high.copies == 0
    assert (both.process, both.prepared) == (high.process, high.prepared)
    assert both.passing == low.passing + high.passing
    assert both.total < low.total + high.total


def test_passes_that_are_cut_take_less() -> None:
    ledgers = [ledger(4, Setting())] * 4
    whole, half = joint_memory(ledgers), joint_memory(ledgers, 2 * BATCH.tokens)
    assert half.passing == pytest.approx(whole.passing / 2, abs=4)
    assert half.states == whole.states
    assert joint_memory(ledgers, 100 * BATCH.tokens) == whole


@pytest.mark.parametrize("slack_share", [None, 0.1])
def test_a_pass_is_cut_to_what_fits_with_the_holes_it_is_forecast_to_leave(slack_share: float | None) -> None:
    """Wide tensors leave none, and the share of the others is what this machine's runs have shown."""
    wide = MicroBatch.of([128] * 128)
    ledgers = [ledger(4, Setting(), wide, slack_share)] * 3
    half = joint_memory(ledgers, 3 * wide.tokens // 2)
    found = most_tokens(ledgers, half.passing + half.slack)
    assert found == pytest.approx(3 * wide.tokens / 2, abs=2)
    assert most_tokens(ledgers, -GIGABYTE) == 1


def test_as_many_go_together_as_fit() -> None:
    machine = replace(probe_machine(), device="cpu", memory_bytes=1000 * GIGABYTE)
    one = ledger(64, Setting())
    room = Room(one.memory.states, 10 * GIGABYTE)
    assert fits([one] * 4, machine, room)
    assert not fits([one] * 4, machine, replace(room, left_bytes=one.memory.passing))
    assert not fits([one] * 4, replace(machine, memory_bytes=one.memory.weights), room)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    return make_model(tmp_path / "tiny")


def recipes(tiny: Path, folder: Path) -> list[Recipe]:
    folder.mkdir()
    own = [(f"training.seed={number}", f"output={folder / str(number)}") for number in range(3)]
    return [make_recipe(tiny, folder, "single", "tuning={kind: lora, rank: 2}", *edits) for edits in own]


def test_what_does_not_fit_one_pass_comes_in_the_next(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_together(recipes(tiny, tmp_path / "whole"))
    monkeypatch.setattr(together, "fits", lambda ledgers, *_: len(ledgers) < 3)
    cut = train_together(recipes(tiny, tmp_path / "cut"))
    assert [one.metrics.get("together") for one in cut if isinstance(one, RunResult)] == [2, 2, None]
    for first, second in zip(whole, cut, strict=True):
        assert isinstance(first, RunResult) and isinstance(second, RunResult)
        assert first.metrics["validation"]["loss"] == pytest.approx(second.metrics["validation"]["loss"], abs=1e-5)


def test_every_run_expects_the_memory_of_its_process(tiny: Path, tmp_path: Path) -> None:
    results = train_together(recipes(tiny, tmp_path / "joint"))
    found = [one.metrics for one in results if isinstance(one, RunResult)]
    assert len({one["forecast"]["peak_memory_bytes"] for one in found}) == 1
    assert all("memory_error" in one["measured"] and "step_seconds_error" not in one["measured"] for one in found)
