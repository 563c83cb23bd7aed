"""Large features on their way into a store: they wait on disk, so that a split of images need not fit the memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from fathom import files
from fathom.data.example import Features
from fathom.data.store import TokenStore, from_features

LARGE = ("pixel_values", "input_features", "input_values", "label")
"""Fields that are spooled, where they are more than a number; all others are a few bytes of a sequence."""

Array = np.ndarray[Any, Any]


def spooled(features: Iterable[Features]) -> TokenStore:
    """Put encoded images or sounds one after another, the large fields in unnamed files beside the cache.

    Raises:
        ValueError: There are none.
    """
    folder = _folder()
    small: list[Features] = []
    spools: dict[str, _Spool] = {}
    for item in features:
        large = [name for name in LARGE if name in item and item[name].ndim]
        for name in large:
            spools.setdefault(name, _Spool(folder)).add(item[name])
        small.append({name: value for name, value in item.items() if name not in large})
    store = from_features(small)
    fields = dict(store.fields)
    offsets = store.offsets
    for name, spool in spools.items():
        fields[name] = spool.array(along=name == "input_values")
        if name == "input_values":
            offsets = np.concatenate([[0], np.cumsum(spool.lengths)]).astype(np.int64)
    return TokenStore(fields, offsets)


class _Spool:
    """One field, appended to an unnamed file that the system removes with the process."""

    def __init__(self, folder: str | None) -> None:
        self.stream: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (the map holds it open)
        self.lengths: list[int] = []
        self.shape: tuple[int, ...] = ()
        self.dtype = np.dtype(np.float32)

    def add(self, value: Array) -> None:
        """Append one sequence's array."""
        self.shape, self.dtype = value.shape, value.dtype
        self.lengths.append(len(value))
        self.stream.write(np.ascontiguousarray(value).data)

    def array(self, *, along: bool) -> Array:
        """Map what was written: one after another `along` the sequence, or `[sequences, ...]`."""
        self.stream.flush()
        shape = (sum(self.lengths),) if along else (len(self.lengths), *self.shape)
        return np.memmap(self.stream, dtype=self.dtype, mode="r", shape=shape)


def _folder() -> str | None:
    """Where the cache lies, or the system's own place where it cannot be written."""
    root: Path = files.cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return str(root)
    except OSError:
        return None
