"""The contract of a tracker: where the numbers of a run go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.config import Part

WALL_CLOCK_ENDINGS = ("seconds", "_per_second", "_ms", "_bytes", "_time")
"""A value whose name ends so is measured, not computed: two runs of one recipe differ in it."""


class Tracker(Part, ABC):
    """A tracker as written in a recipe."""

    kind: str

    @abstractmethod
    def open(self, run_folder: Path) -> LiveTracker:
        """Begin to write below a run folder; what an earlier process wrote there is kept until `rewind`."""


class LiveTracker(ABC):
    """An open tracker."""

    kind: str

    @abstractmethod
    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Record one event; `values` may hold names such as `split` beside numbers."""

    @abstractmethod
    def position(self) -> int:
        """Make what was logged durable and return the place where the next event will go, for a checkpoint."""

    @abstractmethod
    def rewind(self, position: int) -> None:
        """Drop all that was logged after a position; 0 drops everything."""

    @abstractmethod
    def close(self) -> None:
        """Finish writing."""


class TrackerGroup:
    """Several trackers used as one."""

    def __init__(self, trackers: list[LiveTracker]) -> None:
        self.trackers = trackers

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Record one event in each."""
        for tracker in self.trackers:
            tracker.log(step, values)

    def positions(self) -> dict[str, int]:
        """Return the position of each by kind; JSON for a checkpoint."""
        return {tracker.kind: tracker.position() for tracker in self.trackers}

    def rewind(self, positions: Mapping[str, int]) -> None:
        """Rewind each; one that the checkpoint does not know begins anew."""
        for tracker in self.trackers:
            tracker.rewind(positions.get(tracker.kind, 0))

    def close(self) -> None:
        """Close each."""
        for tracker in self.trackers:
            tracker.close()


def is_wall_clock(name: str) -> bool:
    """Return whether a value is measured by clock or memory, so that it differs between equal runs."""
    return name.endswith(WALL_CLOCK_ENDINGS)
