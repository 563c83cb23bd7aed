"""Searches that are killed in a trial, in several of one pass, or beside another process: nothing is lost."""

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
APART = ("tuning=lora", "tuning.rank=[2,4,8]", "training.max_steps=60", "training.eval_steps=10", "--at-once", "1")
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


def test_a_search_that_was_killed_in_a_pass_goes_on(tmp_path: Path) -> None:
    make_recipe(make_model(tmp_path / "base"), tmp_path)
    edits = APART[:-2]
    first = start(tmp_path, "first", edits)
    try:
        wait_until_two_train(tmp_path, [first])
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert not list(tmp_path.glob("out/trials/*/metrics.json"))
    second = start(tmp_path, "second", edits)
    try:
        assert second.wait(PATIENCE_SECONDS) == 0, logs(tmp_path)
    finally:
        if second.poll() is None:
            os.killpg(second.pid, signal.SIGKILL)
            second.wait()
    said = (tmp_path / "second.log").read_text(encoding="utf-8")
    assert f"{TRIALS} trials share a frozen base and train in one pass" in said
    assert all(f"again at trial {number}:" in said for number in range(TRIALS))
    found = json.loads((tmp_path / "out" / "search.json").read_text(encoding="utf-8"))
    assert [(record["state"], len(record["curve"])) for record in found["records"]] == [("complete", 6)] * TRIALS
