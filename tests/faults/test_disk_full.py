"""A full or failing disk: the write stops with one clear error and what was there before is whole."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from fathom import files
from fathom.errors import FathomError
from fathom.tracking.jsonl import JsonLinesTracker
from fathom.training import checkpoint
from fathom.training.checkpoint import TrainingState

SIZES = [
    0,
    1,
    7,
    8,
    9,
    64,
    200,
    500,
    1_000,
    2_000,
    4_000,
    8_000,
    16_000,
    20_000,
    30_000,
    40_000,
    50_000,
    60_000,
    70_000,
    80_000,
]


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """No file may grow above a size: the write that would is refused, as by a full disk or a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def make_state(step: int) -> TrainingState:
    tensors = {"model/weight": torch.full((160, 128), float(step)), "optimizer/weight/exp_avg": torch.ones(160, 128)}
    return TrainingState(step, tensors, {"best": 0.5})


def assert_only_the_old_one(run: Path) -> None:
    loaded = checkpoint.load_latest(run)
    assert loaded is not None
    assert loaded.step == 3
    assert bool((loaded.tensors["model/weight"] == 3).all())
    assert sorted(os.listdir(run / "checkpoints")) == ["LATEST", "step-3"]


@pytest.mark.parametrize("num_bytes", SIZES)
def test_the_old_checkpoint_survives(tmp_path: Path, num_bytes: int) -> None:
    checkpoint.save_checkpoint(tmp_path, make_state(3))
    with largest_file(num_bytes), pytest.raises(FathomError) as caught:
        checkpoint.save_checkpoint(tmp_path, make_state(6))
    assert "step-6" in str(caught.value)
    assert "full" in str(caught.value)
    assert f"{160 * 128 * 4 * 2:,} bytes are needed" in str(caught.value)
    assert "mend" in str(caught.value)
    assert_only_the_old_one(tmp_path)


@pytest.mark.parametrize("num_bytes", SIZES[::4])
def test_replacing_a_checkpoint_of_the_same_step_survives_too(tmp_path: Path, num_bytes: int) -> None:
    checkpoint.save_checkpoint(tmp_path, make_state(3))
    again = make_state(3)
    again.tensors["model/weight"] = torch.zeros(160, 128)
    with largest_file(num_bytes), pytest.raises(FathomError):
        checkpoint.save_checkpoint(tmp_path, again)
    assert_only_the_old_one(tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", [1, 2, 3, 4, 5])
def test_a_failing_fsync_publishes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: int
) -> None:
    checkpoint.save_checkpoint(tmp_path, make_state(3))
    calls = 0

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", failing)
    with pytest.raises(FathomError, match="what was there before is intact"):
        checkpoint.save_checkpoint(tmp_path, make_state(6))
    monkeypatch.undo()
    assert_only_the_old_one(tmp_path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    checkpoint.save_checkpoint(tmp_path, make_state(3))
    monkeypatch.setattr(files.Path, "mkdir", refuse)
    with pytest.raises(FathomError, match=os.strerror(number)):
        checkpoint.save_checkpoint(tmp_path, make_state(6))
    monkeypatch.undo()
    assert_only_the_old_one(tmp_path)


def test_a_file_is_kept_when_its_new_content_does_not_fit(tmp_path: Path) -> None:
    files.write_json(tmp_path / "metrics.json", {"f1": 0.5})
    with largest_file(10), pytest.raises(FathomError, match=r"metrics\.json"):
        files.write_json(tmp_path / "metrics.json", {"f1": 0.6, "more": "x" * 100})
    assert files.read_json(tmp_path / "metrics.json") == {"f1": 0.5}
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_safetensors_own_writer_gets_the_same_error(tmp_path: Path) -> None:
    """Model folders are written by other libraries inside `publish`."""
    from safetensors.torch import save_file

    with largest_file(1000), pytest.raises(FathomError, match="full"), files.publish(tmp_path / "model") as temporary:
        save_file({"weight": torch.zeros(1000)}, temporary / "model.safetensors")
    assert os.listdir(tmp_path) == []


def test_a_log_that_cannot_grow_says_where(tmp_path: Path) -> None:
    tracker = JsonLinesTracker().open(tmp_path)
    with largest_file(40), pytest.raises(FathomError, match=r"metrics\.jsonl"):
        for step in range(10):
            tracker.log(step, {"loss": 0.5})
    tracker.close()
    again = JsonLinesTracker().open(tmp_path)
    again.log(99, {"loss": 0.5})
    again.close()
    assert all(
        line.startswith("{") and line.endswith("}") for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    )


def test_the_space_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save_checkpoint(tmp_path, make_state(3))
    usage = files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(FathomError, match="has 1,000 bytes free and 163,840 are needed"):
        checkpoint.save_checkpoint(tmp_path, make_state(6))
    assert_only_the_old_one(tmp_path)


FILL = """
import sys, torch
from fathom.errors import FathomError
from fathom.training import checkpoint
from fathom.training.checkpoint import TrainingState
from fathom import files
files.require_space = lambda *_: None  # the check before is tested elsewhere; here the disk fills while writing
for step in range(1, 100):
    try:
        state = TrainingState(step, {"model/w": torch.full((250_000,), float(step))}, {})
        checkpoint.save_checkpoint(sys.argv[1], state)
    except FathomError as error:
        sys.exit(0 if "full" in str(error) else 1)
sys.exit(2)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_really_is_full(tmp_path: Path) -> None:
    small = tmp_path / "disk"
    small.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], check=False, capture_output=True)
    if mount.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        assert subprocess.run([sys.executable, "-c", FILL, str(small)], check=False).returncode == 0
        steps = checkpoint.checkpoint_steps(small)
        assert 4 <= len(steps) <= 6
        for step in steps:
            loaded = checkpoint.load_checkpoint(small / "checkpoints" / f"step-{step}")
            assert bool((loaded.tensors["model/w"] == step).all())
        del loaded
    finally:
        subprocess.run(["umount", "-l", small], check=True)
