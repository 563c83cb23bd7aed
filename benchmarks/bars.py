"""What a ratio has to reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """What a ratio has to reach; `at_most` for memory, where less is better. Without an aim the bar is all there is."""

    needed: float
    aim: float | None = None
    at_most: bool = False

    def judge(self, ratio: float) -> str:
        sign = -1 if self.at_most else 1
        if self.aim is not None and sign * ratio >= sign * self.aim:
            return "aim reached"
        return "reached" if sign * ratio >= sign * self.needed else "missed"
