"""Two processes share one search; one of them is killed in the middle of a trial, and nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runs_for_tests import make_model, make_recipe

SOURCE = Path(__file__).resolve().parents[2] / "src"
PATIENCE_SECONDS = 600.0
TRIALS = 3
APART = ("tuning=lora", "tuning.rank=[2,4,8]", "training.max_steps=60", "training.eval_steps=10")
TOGETHER = ("tuning=head", "training.seed=[2,4,8]", "training.max_steps=1200", "training.eval_steps=200")
"""Trials that have a process of their own each, and those of one process, whose steps are shorter."""


def start(folder: Path, name: str, edits: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Begin a search in a process group of its own."""
    command = [sys.executable, "-m", "fathom", "search", str(folder / "job.yaml"), *edits]
    command += ["training.evaluate_before=false", "--output", str(folder / "out")]
    command += ["--sampler", "grid", "--pruning", "none"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment["FATHOM_CACHE"] = str(folder / "cache")
    with open(folder / f"{name}.log", "wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


def wait_until_two_train(folder: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """Wait until two trials have been scored once."""
    begun = time.monotonic()
    while sum('"validation"' in path.read_text() for path in folder.glob("out/trials/*/metrics.jsonl")) < 2:
        assert all(process.poll() is None for process in processes), logs(folder)
        assert time.monotonic() - begun < PATIENCE_SECONDS, logs(folder)
        time.sleep(0.05)


def logs(folder: Path) -> str:
    """What all processes said."""
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.log")))


@pytest.mark.parametrize("edits", [APART, TOGETHER], ids=["apart", "together"])
def test_two_processes_share_a_study_and_one_is_killed(tmp_path: Path, edits: tuple[str, ...]) -> None:
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    first, second = start(tmp_path, "first", edits), start(tmp_path, "second", edits)
    try:
        wait_until_two_train(tmp_path, [first, second])
        os.killpg(first.pid, signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        assert second.wait(PATIENCE_SECONDS) == 0, logs(tmp_path)
    finally:
        for process in (first, second):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    found = json.loads((tmp_path / "out" / "search.json").read_text(encoding="utf-8"))
    assert sorted(record["number"] for record in found["records"]) == list(range(TRIALS))
    assert {record["state"] for record in found["records"]} == {"complete"}
    assert {list(record["settings"].values())[-1] for record in found["records"]} == {"2", "4", "8"}
    assert all(len(record["curve"]) == 6 for record in found["records"])
    begun = [int(line.split()[1].rstrip(":")) for line in (tmp_path / "first.log").read_text().splitlines()
             if line.startswith("trial ")]  # fmt: skip
    said = (tmp_path / "second.log").read_text(encoding="utf-8")
    assert f"again at trial {begun[-1]}:" in said
    assert not list((tmp_path / "out" / "trials").glob("*/checkpoints"))
