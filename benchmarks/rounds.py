"""Running peers in fresh processes, in turn, and putting their figures side by side."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.settings import THREADS
from benchmarks.sources import REPOSITORY

RESULTS = REPOSITORY / "benchmarks" / "results"
PACKAGES = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "numpy", "fathom-lm")

Figures = dict[str, Any]


@dataclass(frozen=True)
class Finished:
    """One process that has ended well."""

    seconds: float
    peak_memory_bytes: int
    """Highest resident set over the whole life of the process, as the kernel reports it to the parent."""
    stdout: str


def default_work() -> Path:
    """Return the folder for prepared data, random models and run folders; outside the repository."""
    return Path(os.environ.get("FATHOM_BENCHMARK_WORK", Path(tempfile.gettempdir()) / "fathom-benchmarks"))


def environment(threads: int = THREADS, **extra: str) -> dict[str, str]:
    """Return the environment of a measured process: threads pinned, no network."""
    pinned = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return {**os.environ, **pinned, "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0", **extra}


def run_process(command: Sequence[str], env: dict[str, str]) -> Finished:
    """Run a command to its end and return its wall time and peak memory; stop with its last lines if it fails."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(list(command), stdout=output, stderr=errors, env=env, cwd=REPOSITORY)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # an interrupted measurement leaves no process behind
            process.kill()
            process.wait()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            tail = errors.read()[-3000:] + output.read()[-1000:]
            raise SystemExit(f"a measured process failed ({process.returncode}): {' '.join(command)}\n{tail}")
        return Finished(seconds, usage.ru_maxrss * 1024, output.read())


def python_module(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *(str(argument) for argument in arguments)]


def fathom_command() -> list[str]:
    """Return the installed `fathom` command beside the running Python."""
    script = Path(sys.executable).with_name("fathom")
    if not script.is_file():
        raise SystemExit("the fathom command is not installed in this environment: pip install -e '.[demo,benchmark]'")
    return [str(script)]


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """Return the order of one round: every peer is first in turn, so a drift of the machine favours none."""
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def summarize(values: Sequence[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values), "rounds": len(values)}


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return the summary of our figure over theirs, round by round."""
    return summarize([mine / other for mine, other in zip(ours, theirs, strict=True)])


def versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def revision() -> str:
    """Return the commit of the repository, with '+' where files differ from it; empty outside a checkout."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


def load_average() -> float:
    """Return the processes that wanted a core in the last minute; above the threads in use, figures are not fair."""
    return os.getloadavg()[0]


def read_result(name: str) -> Figures:
    path = RESULTS / f"{name}.json"
    result: Figures = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return result


def write_result(name: str, result: Figures) -> Path:
    """Write a result file whole: a temporary sibling, then a rename."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(result, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
    return path
