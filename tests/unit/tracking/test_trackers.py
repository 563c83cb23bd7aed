"""Trackers: lines that survive a kill and a rewind, numbers that TensorBoard reads."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fathom import catalog
from fathom.tracking.base import TrackerGroup, is_wall_clock
from fathom.tracking.jsonl import JsonLinesTracker
from fathom.tracking.tensorboard import TensorBoardTracker


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_computed_and_measured_values_go_to_different_files(tmp_path: Path) -> None:
    tracker = JsonLinesTracker().open(tmp_path)
    tracker.log(3, {"split": "train", "loss": 0.1 + 0.2, "tokens_per_second": 2100.5, "step_seconds": 0.1})
    tracker.log(3, {"split": "validation", "f1": 0.5, "per_class": {"人": [1, 2]}})
    tracker.log(4, {"peak_memory_bytes": 1})
    tracker.close()
    assert lines(tmp_path / "metrics.jsonl") == [
        {"step": 3, "split": "train", "loss": 0.30000000000000004},
        {"step": 3, "split": "validation", "f1": 0.5, "per_class": {"人": [1, 2]}},
    ]
    assert [sorted(line) for line in lines(tmp_path / "timing.jsonl")] == [
        ["step", "step_seconds", "tokens_per_second"],
        ["peak_memory_bytes", "step"],
    ]


def test_lines_after_a_resume_equal_those_of_an_uninterrupted_run(tmp_path: Path) -> None:
    def log(run: Path, first: int, last: int, position: int | None) -> int:
        tracker = JsonLinesTracker().open(run)
        if position is not None:
            tracker.rewind(position)
        saved = 0
        for step in range(first, last + 1):
            tracker.log(step, {"loss": 1 / step, "step_seconds": 0.1})
            if step == 6:
                saved = tracker.position()
        tracker.close()
        return saved

    log(tmp_path / "whole", 1, 10, 0)
    saved = log(tmp_path / "killed", 1, 8, 0)
    with open(tmp_path / "killed" / "metrics.jsonl", "ab") as stream:
        stream.write(b'{"step": 9, "lo')
    log(tmp_path / "killed", 7, 10, saved)
    whole, killed = ((tmp_path / run / "metrics.jsonl").read_bytes() for run in ("whole", "killed"))
    assert killed == whole
    assert len(lines(tmp_path / "killed" / "timing.jsonl")) == 12


@pytest.mark.parametrize("torn", [b'{"step": 2, "lo', b"\x00\x00", b"x" * 200_000])
def test_a_torn_last_line_is_cut_when_the_file_is_opened(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    for whole in (b'{"step": 1}\n', b""):
        path.write_bytes(whole + torn)
        JsonLinesTracker().open(tmp_path).close()
        assert path.read_bytes() == whole


def test_missing_bytes_before_the_checkpoint_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracker = JsonLinesTracker().open(tmp_path)
    tracker.log(1, {"loss": 1.0})
    tracker.rewind(1000)
    assert "missing" in capsys.readouterr().err
    tracker.log(2, {"loss": 1.0})
    tracker.close()
    assert [line["step"] for line in lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_rewind_to_zero_empties_both_files(tmp_path: Path) -> None:
    tracker = JsonLinesTracker().open(tmp_path)
    tracker.log(1, {"loss": 1.0, "step_seconds": 2.0})
    tracker.rewind(0)
    assert tracker.position() == 0
    tracker.close()
    assert (tmp_path / "timing.jsonl").read_bytes() == b""


def test_what_is_not_finite_stays_visible_and_json(tmp_path: Path) -> None:
    tracker = JsonLinesTracker().open(tmp_path)
    tracker.log(1, {"loss": math.nan, "norms": [math.inf, 1.0], "note": "\ud800"})
    tracker.close()
    assert lines(tmp_path / "metrics.jsonl")[0]["loss"] == "nan"
    assert lines(tmp_path / "metrics.jsonl")[0]["norms"] == ["inf", 1.0]


@pytest.mark.parametrize("name", ["seconds", "step_seconds", "tokens_per_second", "peak_memory_bytes", "latency_ms"])
def test_names_of_measured_values(name: str) -> None:
    assert is_wall_clock(name)
    assert not is_wall_clock("loss")
    assert not is_wall_clock("learning_rate")


def test_the_catalog_knows_both() -> None:
    assert catalog.load("tracker", "jsonl") is JsonLinesTracker
    assert catalog.load("tracker", "tensorboard") is TensorBoardTracker


def read_scalars(folder: Path, tag: str) -> list[int]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return [event.step for event in events.Scalars(tag)]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_hides_what_a_killed_run_logged_after_its_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    first = TensorBoardTracker().open(tmp_path)
    for step in range(1, 9):
        first.log(step, {"split": "train", "loss": 1.0, "name": "text"})
        if step == 6:
            position = first.position()
    first.close()
    second = TensorBoardTracker().open(tmp_path)
    second.rewind(position)
    for step in range(7, 11):
        second.log(step, {"split": "train", "loss": 2.0})
    assert second.position() == 11
    second.close()
    assert read_scalars(tmp_path / "tensorboard", "train/loss") == list(range(1, 11))
    third = TensorBoardTracker().open(tmp_path)
    third.rewind(0)
    third.log(1, {"loss": 1.0})
    third.close()
    assert read_scalars(tmp_path / "tensorboard", "loss") == [1]


def test_a_group_speaks_to_all_and_rewinds_each_to_its_own_place(tmp_path: Path) -> None:
    one, two = JsonLinesTracker().open(tmp_path / "a"), JsonLinesTracker().open(tmp_path / "b")
    group = TrackerGroup([one])
    group.log(1, {"loss": 1.0})
    positions = group.positions()
    group.log(2, {"loss": 1.0})
    group.rewind(positions)
    group.close()
    assert len(lines(tmp_path / "a" / "metrics.jsonl")) == 1
    two.log(1, {"loss": 1.0})
    TrackerGroup([two]).rewind({})
    assert two.position() == 0
    two.close()
