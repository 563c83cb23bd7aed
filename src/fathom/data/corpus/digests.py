"""What a corpus says, as one digest, so that a store of other text is never read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from fathom import files
from fathom.data.corpus.documents import read_documents, source_files, split_sample, suffix
from fathom.data.section import CORPUS_READING, DataSection
from fathom.errors import ArtifactError, DataError, FathomError

LARGE_BYTES = 1 << 26
"""Files above this size are hashed once: their digest is kept until the file changes."""


def source_key(source: str, section: DataSection) -> dict[str, Any]:
    """Return everything that decides which documents a source has: content, not names or places.

    Raises:
        DataError: There is no such source.
    """
    path, size = split_sample(source)
    if path.startswith("helpdesk:"):
        hasher = hashlib.sha256()
        for document in read_documents(source, section):
            hasher.update(document.text.encode() + b"\0")
        return {"helpdesk": hasher.hexdigest()}
    return {
        "files": [[file_digest(file), suffix(file), file.suffix.lower() == ".gz"] for file in source_files(path)],
        "first": size,
        "reading": section.model_dump(mode="json", include=set(CORPUS_READING)),
    }


def source_bytes(source: str) -> int:
    """Return about how much text a source holds; compressed files are counted threefold."""
    path, _ = split_sample(source)
    return sum(file.stat().st_size * (3 if file.suffix == ".gz" else 1) for file in source_files(path))


def file_digest(file: Path) -> str:
    """Return the sha256 of a file; a large file that has not changed since is not read again.

    Raises:
        DataError: The file may not be read.
    """
    status = file.stat()
    try:
        if status.st_size < LARGE_BYTES:
            return files.sha256_file(file)
        state = [str(file.resolve()), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        note = files.cache_folder() / "digests" / f"{files.digest(state)[:32]}.json"
        if note.is_file():
            try:
                return str(files.read_json(note)["sha256"])
            except (ArtifactError, KeyError, TypeError):
                note.unlink(missing_ok=True)
        sha256 = files.sha256_file(file)
    except PermissionError:
        raise DataError("the file may not be read", where=str(file), mend="change its permissions") from None
    try:
        files.write_json(note, {"sha256": sha256})
    except FathomError:  # a full or read-only cache: it is hashed again next time
        note.unlink(missing_ok=True)
    return sha256
