"""The process that trains several trials of a search in one pass.

`python -m fathom.runs.joint_server N`, where N is the descriptor of its end of a channel. One message brings the
trials; others name, by its position among them, a trial to leave between two steps.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

from fathom.errors import FathomError
from fathom.log import quietly
from fathom.recipe import load_recipe
from fathom.runs.channel import Channel
from fathom.runs.pause import LeftError
from fathom.runs.together import train_together
from fathom.runs.trial_process import INTERRUPTED
from fathom.runs.trial_server import told_of


def serve(channel: Channel) -> None:
    """Train trials in one pass; those that nobody waits for go on to their end.

    Args:
        channel: Brings `recipes` (their files), then `leave` (a position) of a trial at a time. Answered by `runs`, for
            each trial nothing, `stopped`, or `error`, `where` and `mend`; or by such an error of all of them.
    """
    asked = channel.receive()
    assert asked is not None, "without a limit a message is waited for"
    recipes = [load_recipe(path) for path in asked["recipes"]]
    leave = _Leave(channel, [str(recipe.output) for recipe in recipes])
    try:
        answer = {"runs": [told_of(result) for result in train_together(recipes, leave=leave)]}
    except (FathomError, OSError) as error:
        answer = told_of(error)
    with suppress(BrokenPipeError):  # nobody waits for it
        channel.send(answer)


def main() -> None:
    """Serve the channel that the command line names."""
    try:
        with quietly():
            serve(Channel(socket.socket(fileno=int(sys.argv[1]))))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


class _Leave:
    """Leaves the runs whose positions have come, without a checkpoint."""

    def __init__(self, channel: Channel, outputs: list[str]) -> None:
        self.channel = channel
        self.outputs = outputs
        self.left: set[str] = set()

    def __call__(self, output: str, _: int) -> bool:
        with suppress(EOFError):
            while (said := self.channel.receive(0)) is not None:
                self.left.add(self.outputs[said["leave"]])
        if output in self.left:
            raise LeftError
        return False


if __name__ == "__main__":
    main()
