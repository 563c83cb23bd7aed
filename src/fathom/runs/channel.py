"""Two processes that talk: lines of JSON over a socket, and descriptors beside them."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Mapping
from typing import Any

STOP: dict[str, Any] = {"stop": True}
"""Asks the other process to leave what it does."""
MOST_BYTES = 1 << 16
"""Read at once; a message is a few paths."""


class Channel:
    """One end.

    Args:
        end: A stream socket of this machine (`AF_UNIX`), which carries descriptors.
    """

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._said = b""
        self._descriptors: list[int] = []

    @classmethod
    def pair(cls) -> tuple[Channel, Channel]:
        """Return both ends."""
        ours, theirs = socket.socketpair()
        return cls(ours), cls(theirs)

    def send(self, told: Mapping[str, Any], descriptor: int | None = None) -> None:
        """Send a message, and a descriptor that the other process then has too.

        Raises:
            BrokenPipeError: The other end is closed.
        """
        line = json.dumps(told).encode() + b"\n"
        if descriptor is None:
            self.end.sendall(line)
        else:
            socket.send_fds(self.end, [line], [descriptor])

    def receive(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Return the next message; None where none has come within so many seconds. Without a limit, wait for it.

        Raises:
            EOFError: The other end is closed, and nothing is left to read.
        """
        while b"\n" not in self._said:
            if not select.select([self.end], [], [], timeout)[0]:
                return None
            try:
                said, descriptors, _, _ = socket.recv_fds(self.end, MOST_BYTES, 1)
            except ConnectionResetError:  # it was closed with a message of ours unread
                said, descriptors = b"", []
            if not said:
                raise EOFError
            self._said += said
            self._descriptors += descriptors
        line, _, self._said = self._said.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        return told

    def take_descriptor(self) -> int:
        """Return the descriptor that came with a message, the first that was not taken yet; the taker closes it."""
        return self._descriptors.pop(0)

    def close(self) -> None:
        """Close this end."""
        self.end.close()
