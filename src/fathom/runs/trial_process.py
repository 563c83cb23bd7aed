"""A trial, or several, as a process: its peak memory is its own, its failure is not ours, and it can be stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fathom import files
from fathom.recipe import dump_recipe
from fathom.runs.trials import Trial

POLL_SECONDS = 0.2
PATIENCE_SECONDS = 30.0
"""How long a process that was asked to stop may take before it is killed."""
INTERRUPTED = 130


@dataclass(frozen=True)
class Ended:
    """How the process of a trial ended.

    Attributes:
        error: Why it failed.
        stopped: Why we stopped it; its checkpoints stay and it can go on.
        said: What it printed as JSON, where it ended well.
    """

    error: str | None = None
    stopped: str | None = None
    said: dict[str, Any] = field(default_factory=dict)


def train_trial(
    trial: Trial,
    folder: Path,
    options: Sequence[str] = (),
    watch: Callable[[], str | None] | None = None,
    held: int | None = None,
) -> Ended:
    """Run `fathom train` on a trial and wait for it.

    Args:
        trial: Its recipe names its output.
        folder: The recipe and the log of the process lie in its `trials` folder.
        options: Of the command.
        watch: Asked again and again; a reason to stop the process, or None.
        held: Descriptor of a lock that the process holds too, so that it is held until both have ended.

    Raises:
        KeyboardInterrupt: The process was interrupted, not by us.
    """
    return _train([write_recipe(trial, folder), *options], folder / "trials" / f"{trial.name}.log", watch, held)


def train_group(trials: Sequence[Trial], folder: Path, options: Sequence[str] = ()) -> Ended:
    """Run `fathom train` on trials that train in one process, and wait for it.

    Args:
        trials: At least two; each recipe names its output.
        folder: As for `train_trial`; the log has the name of the first.
        options: Of the command.

    Raises:
        KeyboardInterrupt: The process was interrupted, not by us.
    """
    first, *others = (write_recipe(trial, folder) for trial in trials)
    beside = [part for other in others for part in ("--beside", other)]
    return _train([first, *beside, *options], folder / "trials" / f"{trials[0].name}.together.log")


def write_recipe(trial: Trial, folder: Path) -> str:
    """Write a trial's recipe to the `trials` folder and return its path."""
    written = folder / "trials" / f"{trial.name}.yaml"
    files.write_atomic(written, dump_recipe(trial.recipe))
    return str(written)


def _train(
    arguments: Sequence[str],
    log: Path,
    watch: Callable[[], str | None] | None = None,
    held: int | None = None,
) -> Ended:
    command = [sys.executable, "-m", "fathom", "train", *arguments, "--json"]
    with open(log, "wb") as stream, tempfile.TemporaryFile() as answer:
        process = subprocess.Popen(command, stdout=answer, stderr=stream, pass_fds=[] if held is None else [held])
        try:
            stopped = _wait(process, watch)
        finally:
            end_process(process)
        answer.seek(0)
        said = answer.read()
    if stopped is not None:
        return Ended(stopped=stopped)
    told = _json_of(said)
    if process.returncode == 0 or "runs" in told:  # of several runs each says for itself whether it failed
        return Ended(said=told)
    if process.returncode in (INTERRUPTED, -signal.SIGINT):
        raise KeyboardInterrupt
    return Ended(error=read_reason(told, log, process.returncode))


def _wait(process: subprocess.Popen[bytes], watch: Callable[[], str | None] | None) -> str | None:
    """Wait for the end, or for a reason to stop."""
    if watch is None:
        process.wait()
        return None
    while process.poll() is None:
        reason = watch()
        if reason is not None:
            return reason
        time.sleep(POLL_SECONDS)
    return None


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, gently at first."""
    if process.poll() is not None:
        return
    os.kill(process.pid, signal.SIGINT)
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _json_of(said: bytes) -> dict[str, Any]:
    """What a process said; nothing where it was cut short."""
    try:
        told = json.loads(said)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def read_reason(told: dict[str, Any], log: Path, code: int) -> str:
    """Return why a process failed: what it told, else the last line of its log, else its exit code."""
    if "error" in told:
        place = f"{told['where']}: " if told.get("where") else ""
        return f"{place}{told['error']}" + (f" ({told['mend']})" if told.get("mend") else "")
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else f"ended with {code}"
    return f"{last} (the whole output: {log})"
