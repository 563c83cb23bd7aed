"""The process that trains trials of a search one after another, as they are given to it.

`python -m fathom.runs.trial_server N`, where N is the descriptor of its end of a channel. A message brings a trial, and
with it the descriptor of the trial's claim, which is held until the trial has ended, whatever becomes of the search.
Another message asks to leave the trial between two steps.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fathom.device import Machine, probe_machine
from fathom.errors import FathomError
from fathom.locks import only_one
from fathom.log import quietly
from fathom.model.reload import ReloadProcess
from fathom.recipe import load_recipe, resolve
from fathom.runs.channel import STOP, Channel
from fathom.runs.one_process import Result, Series
from fathom.runs.open_run import RunResult
from fathom.runs.pause import LeftError
from fathom.runs.shared import Shared
from fathom.runs.trial_process import INTERRUPTED


def serve(channel: Channel) -> None:
    """Train trials one after another until nobody can give another; one that fails harms no other.

    Args:
        channel: Brings `recipe` (its file), `log` (where messages go) and `to_come` (trials that may follow), with a
            claim. Answered by nothing, by `stopped`, or by `error`, `where` and `mend`.
    """
    with ReloadProcess() as fresh, Shared(fresh=fresh) as shared:
        server = _Server(channel, probe_machine(), shared)
        while (asked := _next(channel)) is not None:
            claim = channel.take_descriptor()
            try:
                answer = server.train(asked)
            finally:
                os.close(claim)
            with suppress(BrokenPipeError):  # nobody waits for it
                channel.send(answer)


def main() -> None:
    """Serve the channel that the command line names."""
    try:
        with quietly():
            serve(Channel(socket.socket(fileno=int(sys.argv[1]))))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


class _Server:
    def __init__(self, channel: Channel, machine: Machine, shared: Shared) -> None:
        self.channel = channel
        self.machine = machine
        self.shared = shared
        self.series: Series | None = None
        """From the first trial on whose data could be read."""

    def train(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Train a trial, and return what is told of it."""
        _write_errors_to(asked["log"])
        try:
            recipe = resolve(load_recipe(asked["recipe"]), self.machine)
            with only_one(Path(str(recipe.output)), what="another training run"):
                self.series = self.series or Series(recipe, self.machine, self.shared)
                result = self.series.train(recipe, asked["to_come"], pause=self._pause)
        except (FathomError, OSError) as error:
            return told_of(error)
        return told_of(result)

    def _pause(self, _: int) -> bool:
        """Leave the loop where that is asked, without a checkpoint; a trial nobody waits for goes on to its end."""
        with suppress(EOFError):
            if self.channel.receive(0) is not None:
                raise LeftError
        return False


def _next(channel: Channel) -> Mapping[str, Any] | None:
    """Return the next trial; what asked for the end of one that had ended by itself is passed over."""
    try:
        while (asked := channel.receive()) == STOP:
            pass
    except EOFError:
        return None
    return asked


def told_of(result: Result) -> dict[str, Any]:
    """Return what is told of a trial: nothing where it ended well, that it was left, or why it failed."""
    if isinstance(result, RunResult):
        return {}
    if isinstance(result, LeftError):
        return {"stopped": True}
    if isinstance(result, FathomError):
        return {"error": result.message, "where": result.where, "mend": result.mend}
    return {"error": result.strerror or str(result), "where": result.filename, "mend": None}


def _write_errors_to(log: str) -> None:
    """Let standard error, also that of libraries in C, go to a file."""
    sys.stderr.flush()
    with open(log, "wb") as stream:
        os.dup2(stream.fileno(), 2)


if __name__ == "__main__":
    main()
