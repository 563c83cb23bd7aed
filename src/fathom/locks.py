"""Locks on files and folders: one process at a time, and no lock outlives its process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fathom.errors import FathomError, InputError


@contextmanager
def only_one(folder: str | Path, what: str = "another process") -> Iterator[None]:
    """Make a folder and hold it until the block or the process ends.

    Raises:
        FathomError: Another process holds it.
        InputError: A file is in its place, or nothing can be written there.
    """
    root = Path(folder)
    require_writable(root)
    root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if hold(descriptor) is False:
            raise FathomError(f"{what} is at work here", where=str(root), mend="wait for it, or choose another folder")
        yield
    finally:
        os.close(descriptor)


def require_writable(folder: str | Path) -> None:
    """Refuse a folder that results cannot be written to, before any work is done for them; makes nothing.

    Raises:
        InputError: A file is in its place, or nothing can be written there.
    """
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        message = "this is a file" if place == Path(folder).absolute() else f"'{place}' is a file"
        mend = "name another folder, or remove the file"
        raise InputError(f"{message}, and a folder is to be written here", where=str(folder), mend=mend)
    if not os.access(place, os.W_OK | os.X_OK):
        mend = "name a folder that you may write to, or change its permissions"
        raise InputError(f"nothing can be written to '{place}'", where=str(folder), mend=mend)


def hold(descriptor: int) -> bool | None:
    """Lock an open file or folder: True held, False someone else holds it, None where the disk knows no locks."""
    # The kernel drops the lock of a dead process; a process number may be used again or be another container's.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
