"""Rows of a file of numbers, read where they lie.

A mapped file is in a process's memory as far as it was read, by pages and what the kernel takes in around them; rows
that are read are there once, and only as long as they are wanted.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from fathom.data.sequences import Array
from fathom.errors import ArtifactError


class RowFile:
    """A file that holds `[rows, width]` numbers and nothing else; it stays readable when it is removed.

    Args:
        path: Of the file.
        dtype: Of its numbers.
        shape: (rows, width).

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int, int]) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - it is read as long as the object lives

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def read(self, starts: Array, lengths: Array) -> Array:
        """Return some runs of rows, one after another: `[lengths.sum(), width]`.

        Raises:
            ArtifactError: The file has become shorter than it was.
        """
        found = np.empty((int(lengths.sum()), self.shape[1]), dtype=self.dtype)
        bytes_of_row = self.shape[1] * self.dtype.itemsize
        view = found.reshape(-1).view(np.uint8).data
        descriptor, place = self._file.fileno(), 0
        for offset, size in zip((starts * bytes_of_row).tolist(), (lengths * bytes_of_row).tolist(), strict=True):
            end = place + size
            while place < end:
                read = os.preadv(descriptor, [view[place:end]], offset + size - (end - place))
                if read == 0:
                    mend = "remove its folder; it is made again"
                    raise ArtifactError("it has been cut short", where=str(self.path), mend=mend)
                place += read
        return found
