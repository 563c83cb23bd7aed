"""`fathom train` killed anywhere and run again ends bit for bit as if it had never been stopped."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import kill_resume


def check(folder: Path, anywhere: int, inside: int) -> None:
    outcomes = list(kill_resume.measure(folder, anywhere, inside))
    assert len(outcomes) == anywhere + inside
    assert [outcome for outcome in outcomes if outcome.differences] == []
    assert sum(bool(outcome.lines) for outcome in outcomes) >= len(outcomes) // 2


def test_killed_and_resumed(tmp_path: Path) -> None:
    check(tmp_path, anywhere=2, inside=2)


@pytest.mark.slow
def test_killed_and_resumed_often(tmp_path: Path) -> None:
    check(tmp_path, anywhere=20, inside=20)
