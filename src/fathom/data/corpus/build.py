"""Raw text to a corpus store: parallel, resumable after a kill at any point, the same whatever the number of processes.

Texts are read, filtered and cut into batches in one order; shards end where a batch ends. So the content of every shard
is a function of sources, filters and tokenizer alone, and a finished shard is never made again: after a kill the reader
goes over the texts of the finished shards without encoding them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from fathom import files
from fathom.data.corpus.digests import source_bytes, source_key
from fathom.data.corpus.documents import read_documents
from fathom.data.corpus.encoding import Batch, Encode, encode_in_order
from fathom.data.corpus.filters.base import CorpusFilter, FilterChain
from fathom.data.corpus.store import (
    DESCRIPTION,
    SCHEMA,
    CorpusStore,
    ShardRecord,
    open_corpus,
    publish_corpus,
    shard_names,
)
from fathom.data.section import DataSection
from fathom.errors import ArtifactError, DataError, FathomError, ModelError
from fathom.files import FileRecord
from fathom.locks import only_one
from fathom.log import Progress, get_console

BATCH_CHARACTERS = 1 << 18
BATCH_TEXTS = 4096
SHARD_TOKENS = 1 << 24
SMALL_BYTES = 8 << 20
"""Below this much text, starting processes takes longer than encoding."""
JOURNAL = "journal.json"

Array = np.ndarray[Any, Any]
Item = tuple[str, bool, bool]
"""A text, whether it begins a document, whether it ends one."""


@dataclass(frozen=True)
class CorpusRequest:
    """Everything a store depends on.

    Attributes:
        sources: As `read_documents` takes them, read one after another.
        section: How they are read.
        tokenizer: Digest of the tokenizer.
        vocabulary_size: Ids are below it.
        end_of_document: Id put after each document; None puts none.
        filters: Which documents are left out; in this order.
        shard_tokens: A shard ends with the batch that reaches so many.
    """

    sources: tuple[str, ...]
    section: DataSection
    tokenizer: str
    vocabulary_size: int
    end_of_document: int | None = None
    filters: tuple[CorpusFilter, ...] = ()
    shard_tokens: int = SHARD_TOKENS

    def key(self) -> str:
        """Return the digest of the store's content.

        Raises:
            DataError: A source does not exist.
        """
        return files.digest(
            {
                "schema": SCHEMA,
                "sources": [source_key(source, self.section) for source in self.sources],
                "tokenizer": self.tokenizer,
                "vocabulary_size": self.vocabulary_size,
                "end_of_document": self.end_of_document,
                "filters": [part.model_dump(mode="json") for part in self.filters],
                "shard_tokens": self.shard_tokens,
                "batch": [BATCH_CHARACTERS, BATCH_TEXTS],
            }
        )[:32]


def open_or_build_corpus(
    request: CorpusRequest, open_encoder: Callable[[], Encode], processes: int | None = None
) -> CorpusStore:
    """Return the store of a request from the cache; build, finish or mend it where it is not whole.

    Args:
        request: What it depends on.
        open_encoder: Loads the tokenizer (see `FastEncoder`); sent to worker processes.
        processes: How many encode; None takes the cores there are. The store does not depend on it.

    Raises:
        DataError: A source is missing, wrong or holds no text.
        ModelError: The tokenizer gives ids beyond the vocabulary.
        FathomError: The disk is full, another process is building the same store, or a worker was killed. Finished
            shards are kept, the same call goes on.
    """
    folder = files.cache_folder() / "corpus" / request.key()
    parts = folder.parent / f".{folder.name}.parts"
    store = _open_whole(folder)
    if store is not None:
        if parts.is_dir():  # whoever published it was killed before these were removed, or is removing them
            with suppress(FathomError), only_one(parts):
                files.remove_folder(parts)
        return store
    with only_one(parts, "another process that encodes this corpus"):
        if folder.is_dir():
            if (store := _open_whole(folder)) is not None:  # another process has just published it
                files.remove_folder(parts)
                return store
            _recover(folder, parts)
        size = sum(map(source_bytes, request.sources))
        if processes is None:
            processes = len(os.sched_getaffinity(0)) if size > SMALL_BYTES else 1
        files.require_space(parts, size // 2)
        with get_console().progress(max(size, 1), "tokenize") as progress:
            facts = _Builder(request, parts, progress).run(open_encoder, processes)
        publish_corpus(folder, parts, facts)
        files.remove_folder(parts)
    return open_corpus(folder)


def _open_whole(folder: Path) -> CorpusStore | None:
    """Return a published store; None, and why, where it is damaged."""
    if not folder.is_dir():
        return None
    try:
        return open_corpus(folder)
    except ArtifactError as error:
        get_console().warn(f"{error.problem}; the damaged part is made again")
        return None


def _recover(folder: Path, parts: Path) -> None:
    """Take the shards of a damaged store back among the parts; those that are damaged are made again."""
    records = _read_records(folder / DESCRIPTION)
    for record in records:
        for name in record["files"]:
            if (folder / name).is_file():
                (parts / name).unlink(missing_ok=True)
                os.rename(folder / name, parts / name)
    _write_records(parts / JOURNAL, records)
    files.remove_folder(folder)


def _write_records(path: Path, records: list[ShardRecord]) -> None:
    files.write_json(path, {"shards": records, "shards_digest": files.digest(records)})


def _read_records(path: Path) -> list[ShardRecord]:
    """Return what a journal or a description says of its shards; nothing where it is damaged."""
    if not path.is_file():
        return []
    try:
        found = files.read_json(path)
        if files.digest(found["shards"]) == found["shards_digest"]:
            return cast(list[ShardRecord], found["shards"])
    except (ArtifactError, KeyError, TypeError):
        pass
    get_console().warn(f"{path}: damaged; the text is encoded from its beginning")
    return []


class _Builder:
    """Makes the shards of one store that are not there yet."""

    def __init__(self, request: CorpusRequest, parts: Path, progress: Progress) -> None:
        self._request = request
        self._parts = parts
        self._progress = progress
        self._chain = FilterChain(request.filters)
        self._records: list[ShardRecord] = []
        self._characters = self._bytes = 0
        wide = request.vocabulary_size > 1 << 16
        self._dtype = np.dtype(np.uint32 if wide else np.uint16)

    def run(self, open_encoder: Callable[[], Encode], processes: int) -> dict[str, Any]:
        """Return what `store.json` says."""

        def encode(items: Iterable[Item]) -> Iterator[tuple[Batch, Array, Array]]:
            return encode_in_order(_batches(items), open_encoder, processes)

        items = self._items()
        self._records = _read_records(self._parts / JOURNAL)
        for index, record in enumerate(self._records):
            some = islice(items, record["items"])
            if self._whole(record):
                count = sum(1 for _ in some)
            else:
                shard = _Shard(self._request, self._dtype)
                for batch, ids, lengths in encode(some):
                    shard.add(batch, ids, lengths)
                count = shard.items
                self._keep(index, shard)
            if count != record["items"]:
                raise DataError(
                    "the text changed while it was read", where=self._request.sources[0], mend="start again"
                )
        shard = _Shard(self._request, self._dtype)
        for batch, ids, lengths in encode(items):
            shard.add(batch, ids, lengths)
            if shard.tokens >= self._request.shard_tokens:
                self._keep(len(self._records), shard)
                shard.clear()
        if shard.items:
            self._keep(len(self._records), shard)
        if not sum(record["tokens"] for record in self._records):
            raise self._nothing_left()
        return {
            "dtype": str(self._dtype),
            "vocabulary_size": self._request.vocabulary_size,
            "end_of_document": self._request.end_of_document,
            "characters": self._characters,
            "bytes": self._bytes,
            "documents_read": self._chain.num_read,
            "removed": self._chain.removed,
            "shards": self._records,
            "shards_digest": files.digest(self._records),
        }

    def _items(self) -> Iterator[Item]:
        begins = True
        for source in self._request.sources:
            for document in self._chain.keep(read_documents(source, self._request.section)):
                text = document.text
                self._characters += len(text)
                self._bytes += len(text) if text.isascii() else len(text.encode())
                self._progress.update(self._bytes)
                yield text, begins, not document.continues
                begins = not document.continues

    def _whole(self, record: ShardRecord) -> bool:
        try:
            for name, written in record["files"].items():
                files.check_file(self._parts / name, written)
        except ArtifactError as error:
            get_console().warn(f"{error.problem}; this shard is made again")
            return False
        return True

    def _keep(self, index: int, shard: _Shard) -> None:
        """Write a finished shard, then its place in the journal."""
        contents = (shard.ids.view(np.uint8).data, shard.starts.view(np.uint8).data)
        record = ShardRecord(tokens=shard.tokens, documents=len(shard.starts), items=shard.items, files={})
        for name, content in zip(shard_names(index), contents, strict=True):
            files.write_atomic(self._parts / name, cast(bytes, content))  # a view: a shard is not copied
            record["files"][name] = FileRecord(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
        self._records[index : index + 1] = [record]
        _write_records(self._parts / JOURNAL, self._records)

    def _nothing_left(self) -> DataError:
        removed = ", ".join(f"{kind} {count:,}" for kind, count in self._chain.removed.items() if count)
        return DataError(
            f"no token is left of {self._chain.num_read:,} documents" + (f" (removed: {removed})" if removed else ""),
            where=", ".join(self._request.sources),
            mend="loosen the filters, or give files with text",
        )


class _Shard:
    """The ids of the shard that is being filled, in memory that is used again for the next."""

    def __init__(self, request: CorpusRequest, dtype: np.dtype[Any]) -> None:
        self._request = request
        self._ids: Array = np.empty(min(request.shard_tokens, 1 << 20), dtype=dtype)
        self.clear()

    def clear(self) -> None:
        self.tokens = self.items = 0
        self._starts: list[Array] = []

    @property
    def ids(self) -> Array:
        return self._ids[: self.tokens]

    @property
    def starts(self) -> Array:
        return np.concatenate(self._starts)

    def add(self, batch: Batch, ids: Array, lengths: Array) -> None:
        """Take the ids of one batch.

        Raises:
            ModelError: An id is beyond the vocabulary.
        """
        size = self._request.vocabulary_size
        if len(ids) and int(ids.max()) >= size:
            raise ModelError(
                f"the tokenizer gives the id {int(ids.max())}, and the vocabulary has {size}",
                mend="take the tokenizer that belongs to the model",
            )
        if self._request.end_of_document is not None:
            ends = np.array(batch.ends)
            ids = np.insert(ids, np.cumsum(lengths)[ends], self._request.end_of_document)
            lengths = lengths + ends
        stop = self.tokens + len(ids)
        if stop > len(self._ids):
            self._ids = np.concatenate([self.ids, np.empty(stop, dtype=self._ids.dtype)])
        self._ids[self.tokens : stop] = ids
        self._starts.append((self.tokens + np.cumsum(lengths) - lengths)[np.array(batch.begins)])
        self.tokens = stop
        self.items += len(batch.texts)


def _batches(items: Iterable[Item]) -> Iterator[Batch]:
    batch, size = Batch([], [], []), 0
    for text, begins, ends in items:
        batch.texts.append(text)
        batch.begins.append(begins)
        batch.ends.append(ends)
        size += len(text)
        if size >= BATCH_CHARACTERS or len(batch.texts) == BATCH_TEXTS:
            yield batch
            batch, size = Batch([], [], []), 0
    if batch.texts:
        yield batch
