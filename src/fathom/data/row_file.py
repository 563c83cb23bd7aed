"""Rows of a file of numbers, read where they lie.

A mapped file is in a process's memory as far as it was read, by pages and what the kernel takes in around them; rows
that are read are there once, and only as long as they are wanted.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np

from fathom.data.sequences import Array
from fathom.errors import ArtifactError, FathomError

ANEW = "remove its folder; it is made again"


class RowFile:
    """A file that holds `[rows, width]` numbers and nothing else; it stays readable when it is removed, until `close`.

    Args:
        path: Of the file.
        dtype: Of its numbers.
        shape: (rows, width).

    Raises:
        ArtifactError: There is no such file, or it is of another size.
        FathomError: It cannot be opened.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int, int]) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.shape = shape
        try:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - it is read until `close`
        except FileNotFoundError:
            raise ArtifactError("it has been removed", where=str(path), mend=ANEW) from None
        except OSError as error:
            raise self._unreadable(error) from error
        if os.fstat(self._file.fileno()).st_size != self.nbytes:
            self.close()
            raise ArtifactError(f"not the {shape[0]:,} rows it is said to have", where=str(path), mend=ANEW)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def close(self) -> None:
        """Give the file back; it is not read any more."""
        self._file.close()

    def read(self, starts: Array, lengths: Array) -> Array:
        """Return some runs of rows, one after another: `[lengths.sum(), width]`.

        Raises:
            ArtifactError: The file has become shorter than it was.
            FathomError: The disk does not give it.
        """
        found = np.empty((int(lengths.sum()), self.shape[1]), dtype=self.dtype)
        bytes_of_row = self.shape[1] * self.dtype.itemsize
        view = found.reshape(-1).view(np.uint8).data
        descriptor, place = self._file.fileno(), 0
        for offset, size in zip((starts * bytes_of_row).tolist(), (lengths * bytes_of_row).tolist(), strict=True):
            end = place + size
            while place < end:
                try:
                    read = os.preadv(descriptor, [view[place:end]], offset + size - (end - place))
                except OSError as error:
                    raise self._unreadable(error) from error
                if read == 0:
                    raise ArtifactError("it has been cut short", where=str(self.path), mend=ANEW)
                place += read
        return found

    def _unreadable(self, error: OSError) -> FathomError:
        mend = "check the disk and the permissions; without the file: training.frozen_cache=off"
        if error.errno in (errno.EMFILE, errno.ENFILE):
            mend = "allow more open files (ulimit -n), or end what holds them"
        return FathomError(f"cannot be read: {error.strerror}", where=str(self.path), mend=mend)
