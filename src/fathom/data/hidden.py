"""Hidden states on disk: what enters a block, for every token of a split; of a batch, only its own are in memory.

A folder published atomically: `hidden.bin` (and `scales.bin` for int8) and `hidden.json`. Its key is a digest of
everything the states depend on; a stale one is never read. All of them together are held below a limit; the one that
was used least recently goes first.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fathom import files
from fathom.data.example import PER_TOKEN_PADDING, Features
from fathom.data.row_file import RowFile
from fathom.data.sequences import Array, Sequences
from fathom.errors import ArtifactError, FathomError

SCHEMA = 1
FOLDER = "hidden"
DESCRIPTION = "hidden.json"
VALUES = "hidden.bin"
SCALES = "scales.bin"
INT8_LEVELS = 127

Format = Literal["float32", "bfloat16", "int8"]
BYTES: dict[Format, int] = {"float32": 4, "bfloat16": 2, "int8": 1}
_NUMPY: dict[Format, str] = {"float32": "float32", "bfloat16": "uint16", "int8": "int8"}


@dataclass(frozen=True)
class HiddenStates:
    """The states of a split's tokens, one sequence after another.

    Attributes:
        values: `[tokens, D]` in the format's type; bfloat16 as its bits.
        scales: What a token's int8 values are multiplied with, float32 `[tokens, 1]`; None in other formats.
        format: How they are kept.
        error: Root mean square of what the format lost, as a share of the states' own.
    """

    values: RowFile
    scales: RowFile | None
    format: Format
    error: float

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return self.values.nbytes + (0 if self.scales is None else self.scales.nbytes)

    def close(self) -> None:
        """Give their files back; nothing is read any more."""
        self.values.close()
        if self.scales is not None:
            self.scales.close()

    def take(self, starts: Array, lengths: Array) -> Tensor:
        """Return the states of some runs of tokens, one after another: `[T, D]`, float32 or bfloat16."""
        chosen = torch.from_numpy(self.values.read(starts, lengths))
        if self.format == "bfloat16":
            return chosen.view(torch.bfloat16)
        if self.scales is None:
            return chosen
        return chosen.float() * torch.from_numpy(self.scales.read(starts, lengths))


class CachedSequences:
    """Encoded sequences together with the hidden states that enter block k.

    Args:
        base: The sequences.
        hidden: Their states: of all tokens, or of the one token of each sequence that is read.
        reads: Which tokens of a sequence are read above block k; where it is one, a sequence has one token.
    """

    def __init__(self, base: Sequences, hidden: HiddenStates, reads: Literal["all", "first", "last"]) -> None:
        self.base = base
        self.hidden = hidden
        self.reads = reads
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])

    def __len__(self) -> int:
        return len(self.base)

    def __getitem__(self, index: int) -> Features:
        features = self.base[index]
        if self.reads == "all":
            return features
        kept = slice(0, 1) if self.reads == "first" else slice(-1, None)
        return {name: value[kept] if name in PER_TOKEN_PADDING else value for name, value in features.items()}

    @cached_property
    def lengths(self) -> Array:
        """Tokens that are read of each sequence, int64."""
        return self.base.lengths if self.reads == "all" else np.ones(len(self.base), dtype=np.int64)

    @property
    def num_tokens(self) -> int:
        """Tokens that are read of all sequences."""
        return int(self.lengths.sum())

    @property
    def owners(self) -> Array:
        """Index of the example each sequence is from, ascending."""
        return self.base.owners

    def used_ids(self) -> Array:
        """Return the token ids that occur, ascending."""
        return self.base.used_ids()

    def states(self, rows: Array) -> Tensor:
        """Return the states of some sequences, one after another: `[tokens, D]`."""
        return self.hidden.take(self._starts[rows], self.lengths[rows])


def digest_tokens(store: Sequences, fields: Iterable[str]) -> str:
    """Return the digest of what a model reads of every sequence, in their order."""
    hasher = hashlib.sha256()
    names = [name for name in fields if name in store[0]]
    hasher.update(repr(names).encode())
    for index in range(len(store)):
        features = store[index]
        for name in names:
            values = np.ascontiguousarray(features[name], dtype=np.int64)
            hasher.update(len(values).to_bytes(8, "little"))
            hasher.update(values.data)
    return hasher.hexdigest()


def find_states(key: dict[str, Any]) -> HiddenStates | None:
    """Return the states of a key, verified; None where there are none.

    Raises:
        ArtifactError: They are damaged; they have been removed.
        FathomError: Their files cannot be opened.
    """
    folder = _folder(key)
    if not folder.is_dir():
        return None
    try:
        return _open(folder)
    except ArtifactError:
        files.remove_folder(folder)
        raise


def write_states(key: dict[str, Any], pieces: Iterable[Tensor], shape: tuple[int, int], format: Format) -> HiddenStates:
    """Write states piece by piece as they are computed, and open them.

    Args:
        key: Everything they depend on, as JSON.
        pieces: `[n, D]` each, in the order of the tokens.
        shape: (tokens, D) of all pieces together.
        format: How to keep them.

    Raises:
        FathomError: The disk is full or read-only; nothing is left behind.
    """
    folder = _folder(key)
    size = num_bytes(shape, format)
    meter = _ErrorMeter()
    try:
        with files.publish(folder, expected_bytes=size) as temporary:
            with open(temporary / VALUES, "wb") as values, open(temporary / SCALES, "wb") as scales:
                for piece_TD in pieces:
                    bits, scale_T = _pack(piece_TD.cpu(), format, meter)
                    values.write(bits.tobytes())
                    scales.write(scale_T.tobytes())
            description = {"schema": SCHEMA, "shape": list(shape), "format": format, "error": meter.error, "key": key}
            files.write_json(temporary / DESCRIPTION, description)
    except ArtifactError:
        if not folder.is_dir():
            raise  # else another process was first
    return _open(folder)


def make_room(num_bytes: int, limit_bytes: int) -> bool:
    """Remove what was used least recently until so many bytes more stay within a limit; returns whether they do."""
    root = files.cache_folder() / FOLDER
    entries = sorted(entry for entry in map(_entry, root.glob("*")) if entry is not None)
    while entries and sum(size for _, _, size in entries) + num_bytes > limit_bytes:
        files.remove_folder(entries.pop(0)[1])
    return num_bytes <= limit_bytes


def num_bytes(shape: tuple[int, int], format: Format) -> int:
    """Return the bytes the states of (tokens, D) take."""
    tokens, width = shape
    return tokens * (width * BYTES[format] + (4 if format == "int8" else 0))


class _ErrorMeter:
    def __init__(self) -> None:
        self.lost = 0.0
        self.total = 0.0

    @property
    def error(self) -> float:
        return float(np.sqrt(self.lost / self.total)) if self.total else 0.0

    def add(self, exact_TD: Tensor, kept_TD: Tensor) -> None:
        self.lost += (exact_TD.float() - kept_TD).square().sum().item()
        self.total += exact_TD.float().square().sum().item()


def _pack(states_TD: Tensor, format: Format, meter: _ErrorMeter) -> tuple[Array, Array]:
    none = np.empty(0, dtype=np.float32)
    if format == "float32":
        return states_TD.float().numpy(), none
    if format == "bfloat16":
        kept = states_TD.to(torch.bfloat16)
        meter.add(states_TD, kept.float())
        return kept.view(torch.uint16).numpy(), none
    exact = states_TD.float()
    scale_T = (exact.abs().amax(1) / INT8_LEVELS).clamp_min(torch.finfo(torch.float32).tiny)
    levels = (exact / scale_T[:, None]).round().to(torch.int8)
    meter.add(exact, levels.float() * scale_T[:, None])
    return levels.numpy(), scale_T.numpy()


def _folder(key: dict[str, Any]) -> Path:
    return files.cache_folder() / FOLDER / files.digest({"schema": SCHEMA, **key})[:32]


def _open(folder: Path) -> HiddenStates:
    files.verify(folder)
    said = files.read_json(folder / DESCRIPTION)
    format: Format = said["format"]
    shape = tuple(said["shape"])
    values = RowFile(folder / VALUES, _NUMPY[format], shape)
    try:
        scales = RowFile(folder / SCALES, "float32", (shape[0], 1)) if format == "int8" else None
    except FathomError:
        values.close()
        raise
    with suppress(OSError):  # a cache that may only be read
        os.utime(folder / DESCRIPTION)
    return HiddenStates(values, scales, format, float(said["error"]))


def _entry(folder: Path) -> tuple[float, Path, int] | None:
    """Last use, folder and bytes; None where there is no entry, or another process removes it just now."""
    try:
        used = (folder / DESCRIPTION).stat().st_mtime
        return used, folder, sum(item.stat().st_size for item in folder.iterdir())
    except OSError:
        return None
