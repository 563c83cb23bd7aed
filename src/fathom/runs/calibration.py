"""How fast this machine is: probed once, and corrected by what finished runs took.

Both live in the cache folder: `rates.json` holds what a probe of part of a second measured, `speed.jsonl` a line for
each finished run. They can be deleted at any time.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from fathom import files
from fathom.device import Machine
from fathom.errors import FathomError
from fathom.model.steptime import Rates, StepWork, ideal_seconds

RATES = "rates.json"
HISTORY = "speed.jsonl"
RUNS_KEPT = 200
RUNS_USED = 10
"""The newest runs like this one; older ones were made by older code."""
FEWEST_STEPS = 20
"""A shorter run tells little: its first steps prepare the shapes of their products."""
DEFAULT_EFFICIENCY = 0.55
"""Share of its best that a machine reaches, before a run has told (`docs/concepts/depth.md`)."""
FEW_RUNS = 3
LOWEST_EFFICIENCY = DEFAULT_EFFICIENCY / 4
"""What fewer than `FEW_RUNS` runs are believed at least: one that shared its machine with others tells of those."""
PROBED_TOKENS = 1024
WIDEST_PROBE = 2048
"""Wider products run at the same rate and take long."""
COPIED_BYTES = 1 << 25
"""Small enough not to raise the peak memory of the run it is measured in."""


@dataclass(frozen=True)
class Kind:
    """What runs must share for the time of one to tell that of another."""

    machine: str
    precision: str
    packed: bool
    family: str
    """Model type, width and strategy; runs of other families tell less, and are asked second."""

    def like(self, record: dict[str, Any], *, exactly: bool) -> bool:
        """Whether a line of the history is of this kind."""
        names = ("machine", "precision", "packed", *(("family",) if exactly else ()))
        own = asdict(self)
        return all(record.get(name) == own[name] for name in names)


@dataclass(frozen=True)
class TimeForecast:
    """Seconds of a step, and what they rest on."""

    step_seconds: float
    efficiency: float
    runs: int
    """Finished runs the efficiency comes from; 0 where it is the default."""
    work: StepWork
    rates: Rates

    def to_text(self, num_steps: int | None = None) -> str:
        """Return one line for people."""
        from fathom.log import format_duration

        steps = (
            "" if num_steps is None else f", {num_steps:,} steps in {format_duration(num_steps * self.step_seconds)}"
        )
        source = f"{self.runs} earlier runs" if self.runs else "a probe of this machine"
        speed = self.work.tokens / self.step_seconds
        return f"time forecast: {self.step_seconds:.3f} s a step{steps}; {speed:,.0f} real tokens/s (from {source})"


def forecast_time(work: StepWork, width: int, kind: Kind, device: str) -> TimeForecast:
    """Forecast the seconds of a step.

    Args:
        work: Of an average step.
        width: Of the model.
        kind: Of the run.
        device: "cpu" or "cuda".
    """
    rates = machine_rates(width, kind, device)
    found = efficiencies(kind)
    efficiency = statistics.median(found) if found else DEFAULT_EFFICIENCY
    if len(found) < FEW_RUNS:
        efficiency = max(efficiency, LOWEST_EFFICIENCY)
    return TimeForecast(ideal_seconds(work, rates) / efficiency, efficiency, len(found), work, rates)


def machine_key(machine: Machine) -> str:
    """Return a digest of what decides the speed of a machine."""
    facts = [machine.processor, machine.gpu, machine.bf16_kernel, torch.get_num_threads(), torch.__version__]
    return files.digest(facts)[:16]


def efficiencies(kind: Kind) -> list[float]:
    """Return what share of its best the machine reached in the newest runs of a kind, else of any kind like it."""
    records = _read_history()
    for exactly in (True, False):
        found = [record["efficiency"] for record in records if kind.like(record, exactly=exactly)]
        if found:
            return found[-RUNS_USED:]
    return []


def remember(forecast: TimeForecast, kind: Kind, num_steps: int, seconds: float) -> None:
    """Note what a finished run took; too short a run is not noted."""
    if num_steps < FEWEST_STEPS or seconds <= 0:
        return
    efficiency = ideal_seconds(forecast.work, forecast.rates) / (seconds / num_steps)
    record = {**asdict(kind), **asdict(forecast.work), "step_seconds": seconds / num_steps, "efficiency": efficiency}
    append_record(HISTORY, record)


def machine_rates(width: int, kind: Kind, device: str) -> Rates:
    """Return the rates of a machine at about a width; probed the first time, which takes part of a second."""
    width = min(WIDEST_PROBE, 1 << max(width - 1, 1).bit_length())
    path = files.cache_folder() / RATES
    known = _read_rates(path)
    key = f"{kind.machine} {kind.precision} {width}"
    if key not in known:
        rates = Rates(_probe_products(width, kind.precision, device), _probe_memory(device))
        known = {**_read_rates(path), key: asdict(rates)}
        _write(path, json.dumps(known, indent=1, sort_keys=True) + "\n")
    return Rates(**known[key])


def _probe_products(width: int, precision: str, device: str) -> float:
    """Operations per second of a feed-forward's first product."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    generator = torch.Generator().manual_seed(0)
    inputs_TD = torch.randn(PROBED_TOKENS, width, generator=generator).to(device, dtype)
    weight_FD = torch.randn(4 * width, width, generator=generator).to(device, dtype)
    with torch.inference_mode():
        seconds = _fastest(lambda: torch.nn.functional.linear(inputs_TD, weight_FD), device)
    return 2.0 * PROBED_TOKENS * width * 4 * width / seconds


def _probe_memory(device: str) -> float:
    """Bytes per second of a copy, read and write counted."""
    source = torch.zeros(COPIED_BYTES // 4, device=device)
    target = torch.empty_like(source)
    return 2.0 * COPIED_BYTES / _fastest(lambda: target.copy_(source), device)


def _fastest(work: Callable[[], Any], device: str, rounds: int = 4) -> float:
    best = float("inf")
    for number in range(rounds + 1):
        began = time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        if number:  # the first one prepares
            best = min(best, time.perf_counter() - began)
    return best


def _read_history() -> list[dict[str, Any]]:
    return [
        record
        for record in read_records(HISTORY)
        if isinstance(record.get("efficiency"), float) and record["efficiency"] > 0
    ]


def read_records(name: str) -> list[dict[str, Any]]:
    """Return the lines of a history that can be read: a damaged cache costs accuracy, never a run."""
    found = []
    try:
        lines = (files.cache_folder() / name).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def append_record(name: str, record: dict[str, Any]) -> None:
    """Add a line to a history, and drop the oldest beyond `RUNS_KEPT`."""
    lines = [json.dumps(line, sort_keys=True) for line in [*read_records(name)[1 - RUNS_KEPT :], record]]
    _write(files.cache_folder() / name, "\n".join(lines) + "\n")


def _read_rates(path: Path) -> dict[str, dict[str, float]]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    names = {"flops_per_s", "bytes_per_s"}
    return {key: value for key, value in known.items() if isinstance(value, dict) and set(value) == names}


def _write(path: Path, text: str) -> None:
    """Write to the cache; where it cannot be written the machine is probed again next time."""
    try:
        files.write_atomic(path, text)
    except FathomError:
        return
