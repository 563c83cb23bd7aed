"""A process for trials of a search that train in one pass, each of which can be left by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.errors import TrainingError
from fathom.runs.channel import Channel
from fathom.runs.trial_process import INTERRUPTED, POLL_SECONDS, Ended, end_process, read_reason, write_recipe
from fathom.runs.trials import Trial

SERVER = "fathom.runs.joint_server"
PATIENCE_SECONDS = 5.0
"""How long trials may take to the end of their step once all of them are to be left; then the process is ended."""

MEND = "train them one by one: fathom search --at-once 1"


@dataclass(frozen=True)
class Watched:
    """A trial, and what is to be known while it trains.

    Attributes:
        trial: Its recipe names its output.
        watch: Asked again and again; a reason to leave the trial, or None.
        claim: Descriptor of a lock that the process holds too, so that it is held until both have ended.
    """

    trial: Trial
    watch: Callable[[], str | None]
    claim: int


def train_joint(watched: Sequence[Watched], folder: Path) -> list[Ended]:
    """Train trials in one pass, in a process of their own, and wait for all of them.

    Args:
        watched: LoRA trials over one base.
        folder: Of the search; recipes lie in its `trials` folder, and the log under the name of the first.

    Returns:
        For each trial how it ended.

    Raises:
        TrainingError: They cannot be trained so, or the process ended by itself; what is done by then stays.
        KeyboardInterrupt: The process was interrupted, not by us.
    """
    log = folder / "trials" / f"{watched[0].trial.name}.together.log"
    recipes = [write_recipe(one.trial, folder) for one in watched]
    ours, theirs = Channel.pair()
    number = theirs.end.fileno()
    command = [sys.executable, "-m", SERVER, str(number)]
    with open(log, "wb") as stream:
        held = [number, *(one.claim for one in watched)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stream, pass_fds=held)
    theirs.close()
    reasons: dict[int, str] = {}
    try:
        ours.send({"recipes": recipes})
        said = _wait(ours, watched, reasons)
    except (EOFError, ConnectionError):
        code = process.wait()
        if code in (INTERRUPTED, -signal.SIGINT):
            raise KeyboardInterrupt from None
        raise TrainingError(read_reason({}, log, code), mend=MEND) from None
    except BaseException:
        with suppress(OSError):  # a signal alone is lost where it comes while Python frees an object
            for position in range(len(watched)):
                ours.send({"leave": position})
        raise
    finally:
        ours.close()
        end_process(process)
    if said is None:
        return [Ended(stopped=reasons[position]) for position in range(len(watched))]
    if "runs" not in said:
        raise TrainingError(read_reason(dict(said), log, 0), mend=MEND)
    return [_ended(told, reasons.get(position), log) for position, told in enumerate(said["runs"])]


def _wait(channel: Channel, watched: Sequence[Watched], reasons: dict[int, str]) -> Mapping[str, Any] | None:
    """Wait for the answer, and leave trials as there is reason to; None where all are left and none comes."""
    while (said := channel.receive(POLL_SECONDS)) is None:
        for position, one in enumerate(watched):
            reason = None if position in reasons else one.watch()
            if reason is not None:
                reasons[position] = reason
                with suppress(BrokenPipeError):  # it has ended: what it said is read next
                    channel.send({"leave": position})
        if len(reasons) == len(watched):
            return channel.receive(PATIENCE_SECONDS)
    return said


def _ended(told: dict[str, Any], reason: str | None, log: Path) -> Ended:
    if "stopped" in told:
        return Ended(stopped=reason)
    return Ended(error=read_reason(told, log, 0)) if "error" in told else Ended()
