"""What a run shares with the other runs of its process."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from fathom.data.hidden import HiddenStates
from fathom.model.reload import ReloadProcess


@dataclass(frozen=True)
class Shared:
    """What a run shares with the other runs of its process; nothing where it is the only one.

    At the end of the block of code it is opened for, the states are closed.

    Attributes:
        together: Runs whose memory cannot be told apart; 1 where it can.
        peak_bytes: Of the process, up to the end of their loops; None: up to the end of this run's.
        earlier: Runs that the process has trained before this one.
        to_come: Runs that may train in it after this one, above the same frozen blocks.
        began_seconds: Age of the process when this run began.
        states: Outputs of frozen blocks that are open, by the digest of their key.
        fresh: Loads what the runs save; None where each has a process of its own for that.
    """

    together: int = 1
    peak_bytes: int | None = None
    earlier: int = 0
    to_come: int = 0
    began_seconds: float = 0.0
    states: dict[str, HiddenStates] = field(default_factory=dict)
    fresh: ReloadProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for states in self.states.values():
            states.close()
        self.states.clear()
