"""The corpus store: the token ids of all documents in memory-mapped shards, with where each document begins.

A store is a folder with a manifest: `00000.tokens.bin` (uint16 where the vocabulary fits, else uint32) and
`00000.starts.bin` (where documents begin in the shard, int64) for each shard, `documents.bin` (where each begins in the
whole, and the end: int64), `counts.bin` (how often each id occurs, int64) and `store.json`. A document may go on in the
next shard.
"""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from fathom import files
from fathom.errors import ArtifactError
from fathom.files import FileRecord

SCHEMA = 1
DESCRIPTION = "store.json"
DOCUMENTS = "documents.bin"
COUNTS = "counts.bin"
RESIDENT_BYTES = 1 << 25
"""Of mapped files, after which their pages are let go."""

Array = np.ndarray[Any, Any]


class ShardRecord(TypedDict):
    """What is known of one finished shard."""

    tokens: int
    documents: int
    """Documents that begin in it."""
    items: int
    """Texts (documents or pieces of them) that went in."""
    files: dict[str, FileRecord]


class Pages:
    """Memory-mapped files whose pages are let go from time to time, so that reading all of them leaves none resident.

    The kernel keeps what it can in its cache; letting go costs no more than mapping the page anew.
    """

    def __init__(self) -> None:
        self._maps: list[mmap.mmap] = []
        self._bytes_read = 0

    def map(self, path: Path, dtype: str) -> Array:
        """Map a file of numbers."""
        if not path.stat().st_size:
            return np.empty(0, dtype)
        with open(path, "rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps.append(mapped)
        return np.frombuffer(mapped, dtype)

    def read(self, num_bytes: int) -> None:
        """Count what was read, and let go of the pages when it is much."""
        self._bytes_read += num_bytes
        if self._bytes_read > RESIDENT_BYTES:
            self._bytes_read = 0
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class CorpusStore:
    """The token ids of a corpus.

    Attributes:
        shards: Memory-mapped ids.
        shard_offsets: First token of each shard, and the end of the last.
        document_offsets: First token of each document, and the end of the last: int64 `[documents + 1]`, memory-mapped.
        counts: How often each id occurs, int64 [V].
        facts: `store.json`: documents, characters, bytes, what filters removed.
        key: Digest of everything the store depends on (see `CorpusRequest.key`), which names its folder.
        pages: The mapped files; None where the ids are in memory.
    """

    shards: Sequence[Array]
    shard_offsets: Array
    document_offsets: Array
    counts: Array
    facts: dict[str, Any]
    key: str = ""
    pages: Pages | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens of all documents, end-of-document tokens included."""
        return int(self.shard_offsets[-1])

    @property
    def num_documents(self) -> int:
        """Documents, each with at least a part that was read."""
        return len(self.document_offsets) - 1

    def used_ids(self) -> Array:
        """Return the token ids that occur, ascending."""
        return np.flatnonzero(self.counts)

    def tokens(self, start: int, stop: int) -> Array:
        """Return the ids of a stretch of the whole stream; a view where it lies in one shard."""
        if self.pages is not None:
            # A random read maps a page or more, however few its tokens.
            self.pages.read((stop - start) * self.shards[0].itemsize + mmap.PAGESIZE)
        shard = int(np.searchsorted(self.shard_offsets, start, side="right")) - 1
        parts = []
        while start < stop:
            base, end = int(self.shard_offsets[shard]), int(self.shard_offsets[shard + 1])
            parts.append(self.shards[shard][start - base : min(stop, end) - base])
            start, shard = min(stop, end), shard + 1
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, self.shards[0].dtype)

    def document(self, index: int) -> Array:
        """Return the ids of one document."""
        return self.tokens(int(self.document_offsets[index]), int(self.document_offsets[index + 1]))


def shard_names(index: int) -> tuple[str, str]:
    """Return the names of a shard's files: its tokens, and where documents begin in them."""
    return f"{index:05}.tokens.bin", f"{index:05}.starts.bin"


def open_corpus(folder: Path) -> CorpusStore:
    """Verify a published store and map it.

    Raises:
        ArtifactError: A file is damaged or missing (names it), or the store is of another version.
    """
    files.verify(folder)
    facts = files.read_json(folder / DESCRIPTION)
    if facts["schema"] != SCHEMA:
        mend = "remove the folder; it is made again"
        raise ArtifactError("written by another version of Fathom", where=str(folder), mend=mend)
    records: list[ShardRecord] = facts["shards"]
    pages = Pages()
    shards = [pages.map(folder / shard_names(index)[0], facts["dtype"]) for index in range(len(records))]
    offsets = np.zeros(len(records) + 1, dtype=np.int64)
    np.cumsum([record["tokens"] for record in records], out=offsets[1:])
    counts = np.fromfile(folder / COUNTS, dtype=np.int64)
    return CorpusStore(shards, offsets, pages.map(folder / DOCUMENTS, "int64"), counts, facts, folder.name, pages)


def publish_corpus(folder: Path, parts: Path, facts: dict[str, Any]) -> None:
    """Make a store of finished shards visible.

    Args:
        folder: Where it appears.
        parts: Folder with the shards' files, which stay there.
        facts: What `store.json` says; `shards` holds the records.

    Raises:
        FathomError: The disk is full, read-only or failing; the shards are intact.
    """
    records: list[ShardRecord] = facts["shards"]
    known = {name: record for shard in records for name, record in shard["files"].items()}
    documents = sum(record["documents"] for record in records)
    with files.publish(folder, known=known, expected_bytes=8 * documents) as temporary:
        for name in known:
            _link(parts / name, temporary / name)
        counts = np.zeros(facts["vocabulary_size"], dtype=np.int64)
        base = 0
        with open(temporary / DOCUMENTS, "wb") as stream:
            for index, record in enumerate(records):
                tokens, starts = (parts / name for name in shard_names(index))
                if record["documents"]:
                    (np.fromfile(starts, dtype=np.int64) + base).tofile(stream)
                with open(tokens, "rb") as ids:
                    while len(some := np.fromfile(ids, dtype=facts["dtype"], count=1 << 20)):
                        counts += np.bincount(some, minlength=len(counts))
                base += record["tokens"]
            np.array([base], dtype=np.int64).tofile(stream)
        counts.tofile(temporary / COUNTS)
        files.write_json(temporary / DESCRIPTION, {**facts, "schema": SCHEMA, "tokens": base, "documents": documents})


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the disk knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
