"""How fast this machine is: probed once, and corrected by what finished runs took.

Both live in the cache folder: `rates.json` holds what a probe of part of a second measured, `speed.jsonl` a line for
each finished run. They can be deleted at any time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from fathom import files
from fathom.device import Machine
from fathom.errors import FathomError
from fathom.model.steptime import Rates, StepWork
from fathom.runs.step_fit import Observed, fitted_seconds, prior_seconds

RATES = "rates.json"
HISTORY = "speed.jsonl"
RUNS_KEPT = 200
RUNS_USED = 100
"""The newest runs of the machine; older ones were made by older code."""
FEWEST_STEPS = 20
"""A shorter run tells little: its first steps prepare the shapes of their products."""
FEW_RUNS = 3
MOST_BEYOND = 4.0
"""Times the seconds before any run that fewer than `FEW_RUNS` are believed: one that shared its machine with others
tells of those."""
PROBED_TOKENS = 1024
WIDEST_PROBE = 2048
"""Wider products run at the same rate and take long."""
COPIED_BYTES = 1 << 25
"""Small enough not to raise the peak memory of the run it is measured in."""


@dataclass(frozen=True)
class Kind:
    """What a run is, for the time of one to tell that of another."""

    machine: str
    precision: str
    packed: bool
    model: str
    """Model type and width."""
    tuning: str
    """Strategy."""


@dataclass(frozen=True)
class TimeForecast:
    """Seconds of a step, and what they rest on."""

    step_seconds: float
    runs: int
    """Finished runs on this machine behind it; 0 where a probe is all there is."""
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
    step = Observed(work, rates, kind.precision, kind.model, kind.tuning)
    seconds, known = prior_seconds(step), known_steps(kind)
    if known:
        most = MOST_BEYOND * seconds if len(known) < FEW_RUNS else float("inf")
        seconds = min(fitted_seconds(step, known), most)
    return TimeForecast(seconds, len(known), work, rates)


def machine_key(machine: Machine) -> str:
    """Return a digest of what decides the speed of a machine."""
    facts = [machine.processor, machine.gpu, machine.bf16_kernel, torch.get_num_threads(), torch.__version__]
    return files.digest(facts)[:16]


def known_steps(kind: Kind) -> list[tuple[Observed, float]]:
    """Return the steps of the newest runs on a machine, packed or not as this one, and their seconds."""
    found = []
    for record in read_records(HISTORY):
        if (record.get("machine"), record.get("packed")) != (kind.machine, kind.packed):
            continue
        try:
            work = StepWork(**{item.name: _number(record[item.name]) for item in fields(StepWork)})
            rates = Rates(**{item.name: _number(record[item.name]) for item in fields(Rates)})
            seconds = _number(record["step_seconds"])
            step = Observed(work, rates, record["precision"], record["model"], record["tuning"])
        except (KeyError, TypeError, ValueError):  # damaged, or of an older version
            continue
        if seconds and all(astuple(rates)):
            found.append((step, seconds))
    return found[-RUNS_USED:]


def _number(value: Any) -> float:
    """Return a measured number.

    Raises:
        ValueError: It is none, or below zero.
    """
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(value)
    return number


def remember(forecast: TimeForecast, kind: Kind, num_steps: int, seconds: float) -> None:
    """Note what a finished run took; too short a run is not noted."""
    if num_steps < FEWEST_STEPS or seconds <= 0:
        return
    told = {**asdict(kind), **asdict(forecast.work), **asdict(forecast.rates)}
    append_record(HISTORY, {**told, "step_seconds": seconds / num_steps})


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
