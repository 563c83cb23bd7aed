"""A process for trials of a search that begin with the same: they train in it one after another, as they come."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from fathom.log import get_console
from fathom.runs.channel import STOP, Channel
from fathom.runs.trial_process import INTERRUPTED, POLL_SECONDS, Ended, end_process, read_reason, write_recipe
from fathom.runs.trials import Trial

SERVER = "fathom.runs.trial_server"
PATIENCE_SECONDS = 5.0
"""How long a trial that is to be left may take to the end of its step; then its process is ended."""


class SharedProcess:
    """A process for trials that begin with the same.

    It begins with a trial, and ends with one that begins with something else, or with the block of code it is opened
    for. Where it ends by itself, the trial in it has failed, and the next one gets another.

    Args:
        folder: Of the search; recipes and logs of the trials lie in its `trials` folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._start: str | None = None
        self._begun: tuple[subprocess.Popen[bytes], Channel] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def train(self, trial: Trial, start: str, watch: Callable[[], str | None], claim: int, to_come: int = 0) -> Ended:
        """Train a trial and wait for it.

        Args:
            trial: Its recipe names its output.
            start: What it begins with; see `shared_start`.
            watch: Asked again and again; a reason to leave the trial, or None.
            claim: Descriptor of a lock that the process holds too, so that it is held until both have ended.
            to_come: Trials that may follow it.

        Raises:
            KeyboardInterrupt: The process was interrupted, not by us.
        """
        log = self.folder / "trials" / f"{trial.name}.log"
        process, channel = self._begin(start, log)
        asked = {"recipe": write_recipe(trial, self.folder), "log": str(log), "to_come": to_come}
        try:
            channel.send(asked, claim)
            return self._wait(channel, watch, log)
        except (EOFError, ConnectionError):
            code = process.wait()
            if code in (INTERRUPTED, -signal.SIGINT):
                raise KeyboardInterrupt from None
            return Ended(error=read_reason({}, log, code))
        except BaseException:
            with suppress(OSError):
                channel.send(STOP)  # a signal alone is lost where it comes while Python frees an object
            self.close()  # nobody waits for the trial in it
            raise

    def close(self) -> None:
        """End the process, if there is one; what a trial in it has saved stays."""
        if self._begun is not None:
            process, channel = self._begun
            self._begun = None
            channel.close()  # one that waits for a trial ends by itself
            end_process(process)

    def _begin(self, start: str, log: Path) -> tuple[subprocess.Popen[bytes], Channel]:
        """Return the process of trials that begin so; it says to `log` what goes wrong before its first trial."""
        if self._begun is not None and (self._start != start or self._begun[0].poll() is not None):
            self.close()
        if self._begun is None:
            get_console().info("  it and those that follow above the same frozen blocks train in one process")
            ours, theirs = Channel.pair()
            number = theirs.end.fileno()
            command = [sys.executable, "-m", SERVER, str(number)]
            log.parent.mkdir(parents=True, exist_ok=True)
            with open(log, "wb") as stream:
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stream, pass_fds=[number])
            theirs.close()
            self._start, self._begun = start, (process, ours)
        return self._begun

    def _wait(self, channel: Channel, watch: Callable[[], str | None], log: Path) -> Ended:
        """Wait for the end of the trial, or leave it where there is a reason."""
        reason = None
        while (said := channel.receive(POLL_SECONDS)) is None:
            reason = watch()
            if reason is not None:
                channel.send(STOP)
                said = channel.receive(PATIENCE_SECONDS)
                break
        if said is None:
            self.close()
        if said is None or "stopped" in said:
            return Ended(stopped=reason)
        return Ended(error=read_reason(said, log, 0)) if "error" in said else Ended(said=said)
