"""What finished runs took of the memory, so that the next forecast on this machine errs less.

A line of `memory.jsonl` in the cache folder for each finished run says how much more its steps took than the tensors
that were counted: the allocator's slack, which depends on the C library and on how the lengths of batches vary. The
file can be deleted at any time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from fathom.model.memory import SLACK_SHARE, Memory, Precision
from fathom.runs.calibration import append_record, read_records

HISTORY = "memory.jsonl"
RUNS_USED = 20
FEWEST_RUNS = 5
"""Before so many the default counts."""
TELLING_BYTES = 64 << 20
"""A step that holds less tells nothing about a share of it."""
CAUTION = 0.8
"""Quantile of the shares that is taken: too much memory asked for costs less than too little."""
LEAST_SHARE, MOST_SHARE = 0.03, 0.8


@dataclass(frozen=True)
class MemoryRecord:
    """What one run took."""

    machine: str
    precision: str
    heap: int
    """Bytes of its largest step in the heap, by count."""
    slack: int
    """What the measured peak had above everything counted; may be negative."""

    @classmethod
    def of(cls, kind: tuple[str, str], forecast: Memory, heap: int, peak_bytes: int) -> MemoryRecord | None:
        """Judge a forecast by the measured peak; None where loading or scoring was the peak, which tells nothing.

        Args:
            kind: Machine and precision.
            forecast: Of the run.
            heap: Bytes of a step in the heap; see `Ledger`.
            peak_bytes: Measured.
        """
        if forecast.elsewhere:
            return None
        slack = peak_bytes - (forecast.total - forecast.slack)
        return cls(*kind, heap, slack)


def remember_memory(record: MemoryRecord) -> None:
    """Note what a run took."""
    append_record(HISTORY, asdict(record))


def slack_share(machine: str, precision: Precision) -> float:
    """Return what the allocator keeps as a share of what a step holds, from the newest runs like it."""
    shares = [
        record.slack / record.heap
        for record in _records(machine)
        if record.precision == precision and record.heap >= TELLING_BYTES
    ][-RUNS_USED:]
    if len(shares) < FEWEST_RUNS:
        return SLACK_SHARE[precision]
    found = sorted(shares)[min(len(shares) - 1, int(CAUTION * len(shares)))]
    return min(MOST_SHARE, max(LEAST_SHARE, found))


def _records(machine: str) -> list[MemoryRecord]:
    names = set(MemoryRecord.__annotations__)
    return [
        MemoryRecord(**record)
        for record in read_records(HISTORY)
        if set(record) == names and record["machine"] == machine and _is_whole(record)
    ]


def _is_whole(record: dict[str, object]) -> bool:
    return all(type(record[name]) is int for name in ("heap", "slack"))
