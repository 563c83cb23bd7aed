"""A process killed anywhere inside `publish`: the old folder or the new one is there, whole, and never neither."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fathom import files

WRITER = """
import sys, os
from pathlib import Path
from fathom import files
folder = Path(sys.argv[1])
print("ready", flush=True)
for version in range(1_000_000):
    with files.publish(folder, replace=True) as temporary:
        for name in "abcd":
            (temporary / name).write_bytes(str(version).encode().ljust(200_000, b"."))
    files.write_atomic(folder.parent / "pointer", str(version) * 1000)
"""

TRACED = """
import os, sys, signal
from pathlib import Path
from fathom import files
folder, stop_at = Path(sys.argv[1]), int(sys.argv[2])
count = 0
def trace(event, arguments):
    global count
    if event in {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}:
        count += 1
        if count == stop_at:
            os.kill(os.getpid(), signal.SIGKILL)
import safetensors
sys.addaudithook(trace)
with files.publish(folder, replace=True) as temporary:
    (temporary / "a").write_text("new")
    (temporary / "b").write_text("new")
"""


def check_whole(folder: Path) -> str:
    """Verify, and return the one version that all files hold."""
    manifest = files.verify(folder)
    versions = {(folder / name).read_bytes().rstrip(b".") for name in manifest["files"]}
    assert len(versions) == 1
    return versions.pop().decode()


def kill_writer(folder: Path, delay_seconds: float) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    time.sleep(delay_seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def run_kills(folder: Path, kills: int) -> None:
    chance = random.Random(kills)
    with files.publish(folder) as temporary:
        (temporary / "a").write_text("first")
    for _ in range(kills):
        kill_writer(folder, chance.uniform(0, 0.15))
        check_whole(folder)
        pointer = folder.parent / "pointer"
        if pointer.exists():
            text = pointer.read_text()
            assert text == text[: len(text) // 1000] * 1000
    files.remove_temporaries(folder.parent)
    assert set(os.listdir(folder.parent)) <= {folder.name, "pointer"}


def test_killed_at_random_moments(tmp_path: Path) -> None:
    run_kills(tmp_path / "model", 8)


@pytest.mark.slow
def test_killed_at_random_moments_often(tmp_path: Path) -> None:
    run_kills(tmp_path / "model", 100)


def test_killed_before_each_call_that_touches_the_disk(tmp_path: Path) -> None:
    outcomes = []
    for stop_at in range(1, 60):
        folder = tmp_path / f"run-{stop_at}" / "model"
        with files.publish(folder) as temporary:
            (temporary / "a").write_text("old")
            (temporary / "b").write_text("old")
        status = subprocess.run([sys.executable, "-c", TRACED, str(folder), str(stop_at)], check=False).returncode
        outcomes.append(check_whole(folder))
        files.remove_temporaries(folder.parent)
        assert os.listdir(folder.parent) == ["model"]
        if status == 0:
            break
    else:
        pytest.fail("the writer never came to its end")
    assert len(outcomes) > 12
    assert outcomes == sorted(outcomes, reverse=True)  # old ones, then from one call on new ones
    assert {"old", "new"} == set(outcomes)
