"""What a run will write is counted beforehand: saves by the plan, and a tiny run's own folder as the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from fathom.runs.disk import Disk, folder_bytes, num_saves
from fathom.training.loop import Plan
from fathom.training.settings import Training


@pytest.mark.parametrize(
    ("settings", "evaluates", "saves"),
    [
        (Training(epochs=3, batch_size=10), True, 3),  # at the end of each epoch of ten steps
        (Training(epochs=3, batch_size=10, eval_steps=4), True, 8),  # the last step too
        (Training(epochs=3, batch_size=10, eval_steps=4, save_steps=15), True, 2),
        (Training(epochs=3, batch_size=10), False, 1),
        (Training(epochs=3, batch_size=10, save_steps=1000), True, 1),
    ],
)
def test_saves_follow_the_plan(settings: Training, evaluates: bool, saves: int) -> None:
    assert num_saves(settings, Plan.of(settings, 100), evaluates=evaluates) == saves


def test_a_total_is_what_stays() -> None:
    disk = Disk(checkpoints=20, best=3, model=5, writing=10)
    assert disk.total == 28
    assert disk.to_json() == {"checkpoints": 20, "best": 3, "model": 5, "writing": 10, "total": 28}


def test_a_folder_is_measured_with_what_lies_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"12345")
    (tmp_path / "other").write_bytes(b"1")
    assert folder_bytes(tmp_path) == 6
