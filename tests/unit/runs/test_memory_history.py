"""Finished runs correct the allocator's share; few runs and damaged files do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fathom.model.memory import MEBIBYTE, SLACK_SHARE, Memory
from fathom.runs import memory_history
from fathom.runs.memory_history import MemoryRecord, remember_memory, slack_share

FORECAST = Memory(*(size * MEBIBYTE for size in (400, 80, 20, 50, 100, 60, 20, 10, 10, 30, 15)))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    return tmp_path


def note(peak_mebibytes: int, forecast: Memory = FORECAST, machine: str = "m1", precision: str = "bf16") -> None:
    record = MemoryRecord.of((machine, precision), forecast, forecast.passing, peak_mebibytes * MEBIBYTE)
    assert record is not None
    remember_memory(record)


def test_the_default_counts_until_enough_runs_have_told() -> None:
    for _ in range(memory_history.FEWEST_RUNS - 1):
        note(830)
    assert slack_share("m1", "bf16") == SLACK_SHARE["bf16"]
    note(830)
    assert slack_share("m1", "bf16") == pytest.approx(50 / 100)  # 780 MiB were counted, 100 of them in the step
    assert (slack_share("m1", "fp32"), slack_share("m2", "bf16")) == (SLACK_SHARE["fp32"], SLACK_SHARE["bf16"])


def test_the_cautious_end_of_what_was_seen_is_taken() -> None:
    for peak in (790, 795, 800, 805, 810, 790, 790, 790, 790, 790):
        note(peak)
    assert slack_share("m1", "bf16") == pytest.approx(0.25)


def test_runs_that_took_less_than_counted_lower_it_to_the_least() -> None:
    for _ in range(5):
        note(700)
    assert slack_share("m1", "bf16") == memory_history.LEAST_SHARE


def test_a_peak_outside_training_tells_nothing() -> None:
    assert MemoryRecord.of(("m1", "bf16"), replace(FORECAST, elsewhere=1), 1 << 28, 10**9) is None


@pytest.mark.parametrize("text", ["", "damaged\n", "[]\n", '{"machine": "m1"}\n', '{"machine": "m1", "slack": "x"}\n'])
def test_a_damaged_history_is_no_reason_to_fail(own_cache: Path, text: str) -> None:
    (own_cache / memory_history.HISTORY).write_text(text)
    assert slack_share("m1", "bf16") == SLACK_SHARE["bf16"]
