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
    make_writable(root)
    descriptor = os.open(root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if hold(descriptor) is False:
            raise FathomError(f"{what} is at work here", where=str(root), mend="wait for it, or choose another folder")
        yield
    finally:
        os.close(descriptor)


def make_writable(folder: Path) -> None:
    """Make a folder that results are to be written to, before any work is done for them.

    Raises:
        InputError: A file is in its place, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        mend = "name a folder that is not there yet, or remove the file"
        raise InputError(
            "this is a file, or lies below one, and a folder is needed", where=str(folder), mend=mend
        ) from None
    except OSError as error:
        raise _unwritable(folder, error.strerror) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(folder, "it is read-only for this user")


def _unwritable(folder: Path, reason: str) -> InputError:
    mend = "name a folder that you may write to, or change its permissions"
    return InputError(f"nothing can be written here: {reason}", where=str(folder), mend=mend)


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
