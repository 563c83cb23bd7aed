"""Documents of a held-out split that are learnt from as well, told to the letter by their tokens.

The answer is kept beside the encoded corpora, under a digest of everything it depends on: another start of the run and
other trials over the same splits read it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from fathom import files
from fathom.data.corpus.store import CorpusStore
from fathom.data.corpus.windows import Spans
from fathom.errors import ArtifactError, FathomError

MOST_COMPARED = 1_000_000
"""Documents of the training text that are looked at: those as long as one that is held out. Some seconds."""

SCHEMA = 1
FOLDER = "repeats"

Part = tuple[CorpusStore, Spans]


def repeated_share(train: Sequence[Part], held: Part) -> float:
    """Return the share of a split's tokens that stand in documents the training split has too.

    Only whole documents count: where one document is cut in two for validation, its parts differ.

    Args:
        train: The sources that are learnt from, in one tokenizer's ids.
        held: The split.
    """
    key = _key(train, held)
    if key is None:
        return _count(train, held)
    note = files.cache_folder() / FOLDER / f"{key[:32]}.json"
    known = _read(note, key)
    if known is not None:
        return known
    share = _count(train, held)
    with suppress(FathomError):  # a full or read-only cache: it is counted again next time
        files.write_json(note, {"share": share, "digest": files.digest([key, share])})
    return share


def _key(train: Sequence[Part], held: Part) -> str | None:
    """Return the digest of the splits: which tokens of which texts; None where a text is in memory and has no name."""
    parts = [*train, held]
    if not all(store.key for store, _ in parts):
        return None
    return files.digest([SCHEMA, MOST_COMPARED, *([store.key, spans.digest()] for store, spans in parts)])


def _read(note: Path, key: str) -> float | None:
    """Return what is known of the splits; None where nothing is, or the note is damaged."""
    if not note.is_file():
        return None
    try:
        found = files.read_json(note)
        share = float(found["share"])
        return share if found["digest"] == files.digest([key, share]) else None
    except (ArtifactError, KeyError, TypeError, ValueError):
        return None


def _count(train: Sequence[Part], held: Part) -> float:
    store, spans = held
    digests = list(_digests(store, spans.document[_whole(store, spans)]))
    wanted = dict.fromkeys(digest for digest, _ in digests)
    lengths = np.unique(np.array([length for _, length in digests], dtype=np.int64))
    found: set[bytes] = set()
    left = MOST_COMPARED
    for other, learnt in train:
        alike = _whole(other, learnt) & np.isin(learnt.length, lengths)
        documents = learnt.document[alike][:left]
        left -= len(documents)
        found.update(digest for digest, _ in _digests(other, documents) if digest in wanted)
    repeated = sum(length for digest, length in digests if digest in found)
    return repeated / max(spans.num_tokens, 1)


def _whole(store: CorpusStore, spans: Spans) -> np.ndarray:
    """Whether each span is its whole document, and has a token."""
    offsets = store.document_offsets
    lengths = offsets[spans.document + 1] - offsets[spans.document]
    whole: np.ndarray = (spans.length == lengths) & (lengths > 0)
    return whole


def _digests(store: CorpusStore, documents: Iterable[int]) -> Iterator[tuple[bytes, int]]:
    for document in documents:
        ids = store.document(int(document))
        yield hashlib.blake2b(np.ascontiguousarray(ids).tobytes(), digest_size=16).digest(), len(ids)
