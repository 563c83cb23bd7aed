"""Numbers as JSON lines: `metrics.jsonl` the same in every run of a recipe, `timing.jsonl` what the clock said."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from fathom.errors import FathomError
from fathom.log import get_console
from fathom.tracking.base import LiveTracker, Tracker, is_wall_clock

METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"


class JsonLinesTracker(Tracker):
    """A line for each event in `metrics.jsonl`; measured times, speeds and sizes go to `timing.jsonl`."""

    kind: Literal["jsonl"] = "jsonl"

    def open(self, run_folder: Path) -> LiveTracker:
        """Open both files for appending; a torn last line is cut off."""
        return LiveJsonLines(run_folder)


class LiveJsonLines(LiveTracker):
    """Appends lines; each is one write, so a kill tears at most the last."""

    kind = "jsonl"

    def __init__(self, run_folder: Path) -> None:
        run_folder.mkdir(parents=True, exist_ok=True)
        self._metrics = _LineFile(run_folder / METRICS)
        self._timing = _LineFile(run_folder / TIMING)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Write the computed values to one file and the measured ones, if any, to the other."""
        computed = {name: value for name, value in values.items() if not is_wall_clock(name)}
        measured = {name: value for name, value in values.items() if is_wall_clock(name)}
        if computed:
            self._metrics.append({"step": step, **computed})
        if measured:
            self._timing.append({"step": step, **measured})

    def position(self) -> int:
        """Return the bytes of `metrics.jsonl`, after they are on disk."""
        return self._metrics.sync()

    def rewind(self, position: int) -> None:
        """Cut `metrics.jsonl` at a position; `timing.jsonl` keeps the lines of every attempt, from 0 on none."""
        self._metrics.cut(position)
        if position == 0:
            self._timing.cut(0)

    def close(self) -> None:
        """Sync and close both files."""
        self._metrics.close()
        self._timing.close()


class _LineFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        _cut_torn_line(self._descriptor)

    def append(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(_plain(line), ensure_ascii=False, allow_nan=False) + "\n"
        data = text.encode("utf-8", "backslashreplace")
        try:
            written = os.write(self._descriptor, data)
            if written < len(data):
                os.write(self._descriptor, data[written:])
        except OSError as error:
            mend = "free some space; the same command goes on from the last checkpoint"
            raise FathomError(f"cannot be written: {error.strerror}", where=str(self._path), mend=mend) from error

    def sync(self) -> int:
        os.fsync(self._descriptor)
        return os.fstat(self._descriptor).st_size

    def cut(self, position: int) -> None:
        size = os.fstat(self._descriptor).st_size
        if size < position:
            get_console().warn(f"{self._path}: {position - size:,} bytes before the checkpoint are missing")
        else:
            os.ftruncate(self._descriptor, position)

    def close(self) -> None:
        self.sync()
        os.close(self._descriptor)


def _cut_torn_line(descriptor: int) -> None:
    """Drop what follows the last newline."""
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        begin = max(0, end - 65536)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        os.ftruncate(descriptor, end)


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are written as words, so that they are seen and the line stays JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
