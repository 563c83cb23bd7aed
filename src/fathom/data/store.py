"""The packed token store: encoded sequences in a few memory-mapped files, made once and read by every later run.

A store is a folder published atomically: one binary file per field, `offsets.bin` with where each sequence begins, and
`store.json`. Its key is a digest of everything the encoding depends on, so a stale store is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fathom import files
from fathom.data.example import PER_TOKEN_PADDING, Features
from fathom.errors import ArtifactError, FathomError
from fathom.log import get_console

SCHEMA = 1
DESCRIPTION = "store.json"
OFFSETS = "offsets.bin"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TokenStore:
    """Encoded sequences of one split: tokens, or images and sounds with the positions a model's blocks run on.

    Attributes:
        fields: Every field's data: of a per-token field the tokens of all sequences one after another, of a
            per-sequence field one row per sequence.
        offsets: Where each sequence begins in a per-token field, and the end of the last: int64 `[sequences + 1]`.
    """

    fields: dict[str, Array]
    offsets: Array

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Array:
        """Tokens of each sequence, int64; made once, for every step reads it. Of images and sounds, their `length`."""
        return np.asarray(self.fields["length"]) if "length" in self.fields else np.diff(self.offsets)

    @property
    def num_tokens(self) -> int:
        """Tokens of all sequences."""
        return int(self.lengths.sum())

    def __getitem__(self, index: int) -> Features:
        begin, end = self.offsets[index], self.offsets[index + 1]
        return {
            name: data[begin:end] if name in PER_TOKEN_PADDING else data[index] for name, data in self.fields.items()
        }

    @property
    def num_truncated(self) -> int:
        """Sequences whose text lost its end; 0 where long texts are split into windows."""
        return int(np.asarray(self.fields["truncated"]).sum()) if "truncated" in self.fields else 0

    @property
    def owners(self) -> Array:
        """Index of the example each sequence is from, ascending."""
        return np.asarray(self.fields["example"])

    def used_ids(self) -> Array:
        """Return the token ids that occur, ascending."""
        return np.unique(self.fields["input_ids"]) if "input_ids" in self.fields else np.empty(0, dtype=np.int64)


def from_features(features: Sequence[Features]) -> TokenStore:
    """Put encoded sequences one after another.

    Raises:
        ValueError: There are none, or one lacks a field another has.
    """
    if not features:
        raise ValueError("a token store needs at least one sequence")
    names = list(features[0])
    odd = next((index for index, item in enumerate(features) if item.keys() != features[0].keys()), None)
    if odd is not None:
        raise ValueError(f"sequence {odd} has the fields {sorted(features[odd])}, the first has {sorted(names)}")
    along = next((name for name in ("input_ids", "input_values") if name in features[0]), None)
    offsets = np.zeros(len(features) + 1, dtype=np.int64)
    if along is not None:
        lengths = np.fromiter((len(item[along]) for item in features), dtype=np.int64, count=len(features))
        np.cumsum(lengths, out=offsets[1:])
    fields = {
        name: (np.concatenate if name in PER_TOKEN_PADDING else np.stack)([item[name] for item in features])
        for name in names
    }
    return TokenStore(fields, offsets)


def from_stream(features: Iterable[Features]) -> TokenStore:
    """Put encoded sequences one after another, as they come."""
    return from_features(list(features))


def open_or_build(
    key: dict[str, Any],
    build: Callable[[], Iterable[Features]],
    collect: Callable[[Iterable[Features]], TokenStore] = from_stream,
) -> TokenStore:
    """Return the store of a key from the cache, building it on the first use.

    A cache that cannot be written (full or read-only disk) is no reason to fail: the store then stays in memory.

    Args:
        key: Everything the encoding depends on, as JSON.
        build: Encodes the split.
        collect: Puts the sequences together; `data.spool` has one for sequences that together do not fit the memory.
    """
    name = files.digest({"schema": SCHEMA, **key})
    folder = files.cache_folder() / "tokens" / name[:32]
    if folder.is_dir():
        try:
            return open_store(folder)
        except ArtifactError as error:
            get_console().warn(f"{error.problem}; the tokens are encoded again")
            files.remove_folder(folder)
    store = collect(build())
    try:
        write_store(store, folder)
    except FathomError as error:
        if not folder.is_dir():  # another process may have been first
            get_console().warn(f"the encoded tokens are not cached: {error}")
    return store


def write_store(store: TokenStore, folder: Path) -> None:
    """Publish a store.

    Raises:
        ArtifactError: The folder is there already.
        FathomError: The disk is full or read-only.
    """
    size = store.offsets.nbytes + sum(data.nbytes for data in store.fields.values())
    description = {
        name: {"dtype": str(data.dtype), "shape": list(data.shape)} for name, data in sorted(store.fields.items())
    }
    with files.publish(folder, expected_bytes=size) as temporary:
        store.offsets.tofile(temporary / OFFSETS)
        for name, data in store.fields.items():
            np.ascontiguousarray(data).tofile(temporary / f"{name}.bin")
        files.write_json(temporary / DESCRIPTION, {"schema": SCHEMA, "sequences": len(store), "fields": description})


def open_store(folder: Path) -> TokenStore:
    """Verify a published store and map it.

    Raises:
        ArtifactError: A file is damaged or missing, or the store is of another version.
    """
    files.verify(folder)
    description = files.read_json(folder / DESCRIPTION)
    if description["schema"] != SCHEMA:
        mend = "remove the folder; it is made again"
        raise ArtifactError("written by another version of Fathom", where=str(folder), mend=mend)
    fields = {
        name: np.memmap(folder / f"{name}.bin", dtype=entry["dtype"], mode="r", shape=tuple(entry["shape"]))
        for name, entry in description["fields"].items()
    }
    offsets = np.fromfile(folder / OFFSETS, dtype=np.int64)
    return TokenStore(dict(fields), offsets)
