"""A time to spend: how it is written, and how much of it is left."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from fathom.errors import ConfigError

UNITS = (3600.0, 60.0, 1.0)
WRITTEN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def parse_duration(text: str | float) -> float:
    """Return the seconds of `90s`, `10m`, `1h30m` or of a plain number of seconds.

    Raises:
        ConfigError: It is nothing of the kind, or no time at all.
    """
    if isinstance(text, str):
        found = WRITTEN.fullmatch(text.replace(" ", "").lower())
        parts = found.groups(default="0") if found else ()
        seconds = sum(float(part) * unit for part, unit in zip(parts, UNITS, strict=False))
    else:
        seconds = float(text)
    if seconds <= 0:
        raise ConfigError(f"'{text}' is no time to spend", where="budget", mend="write 90s, 10m or 1h30m")
    return seconds


@dataclass(frozen=True)
class Budget:
    """Seconds to spend, from now on; None for as long as it takes."""

    seconds: float | None
    began: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds left, at least 0; infinite without a limit."""
        return float("inf") if self.seconds is None else max(0.0, self.seconds - self.spent)
