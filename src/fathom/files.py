"""Atomic writes, digests and published folders: a file or folder of Fathom is complete and verified, or not there.

Every artifact goes through one primitive, `publish`: a temporary sibling is filled, its files are fsynced, the manifest
with the sha256 of each comes last, and one rename makes it visible. A kill at any point leaves the old artifact and a
hidden temporary that a later call removes.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

from fathom.errors import ArtifactError, FathomError
from fathom.locks import hold

MANIFEST = "manifest.json"
_MANIFEST_BEGINS = b'{\n "files": {'
COPY_AGAIN = "copy the whole folder again from where it came from, or make it again"
"""The mend of a damaged file."""
_TEMPORARY = ".fathom-tmp"
_REPLACED = ".fathom-old"
_STALE_SECONDS = 24 * 3600.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BROKEN = {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


class FileRecord(TypedDict):
    """What a manifest says of one file."""

    sha256: str
    bytes: int


def sha256_file(path: str | Path) -> str:
    """Return the hexadecimal sha256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Return the sha256 of a JSON-able value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cache_folder() -> Path:
    """Return where Fathom keeps what can be computed again: `$FATHOM_CACHE`, else `~/.cache/fathom`."""
    given = os.environ.get("FATHOM_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "fathom"


def require_space(folder: str | Path, num_bytes: int) -> None:
    """Refuse to begin a write that cannot fit.

    Raises:
        FathomError: Fewer than `num_bytes` are free where `folder` is or will be.
    """
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < num_bytes:
        raise FathomError(
            f"the disk has {free:,} bytes free and {num_bytes:,} are needed",
            where=str(folder),
            mend=f"free {num_bytes - free:,} bytes, or write to another disk",
        )


def write_atomic(path: str | Path, data: bytes | str) -> None:
    """Write a whole file or nothing (temporary sibling, fsync, rename, fsync of the folder); text is UTF-8.

    Raises:
        FathomError: The disk is full, read-only or failing; what was there before is still there.
    """
    target = Path(path)
    if target.is_symlink():
        target = target.resolve()
    payload = data.encode() if isinstance(data, str) else data
    with _mended(target, len(payload)):
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_temporaries(target.parent)
        temporary, descriptor = _make_held(target, folder=False)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        _fsync(target.parent)


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically: sorted, indented, UTF-8.

    Raises:
        ArtifactError: A number is NaN or infinite; nothing is written.
    """
    try:
        text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        mend = "find what makes a number NaN or infinite"
        raise ArtifactError(f"cannot be written as JSON: {error}", where=str(path), mend=mend) from None
    write_atomic(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """Read strict JSON: UTF-8, no NaN or Infinity, no key given twice.

    Raises:
        ArtifactError: The file is missing or damaged; says where in it.
    """
    try:
        return json.loads(
            Path(path).read_bytes().decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_unique_keys
        )
    except (ValueError, RecursionError) as error:  # ValueError covers bad UTF-8 and bad JSON; both say where
        raise _damaged(f"not JSON ({error})", path) from None
    except OSError as error:
        mend = "check the path and its permissions"
        raise ArtifactError(f"cannot be read: {error.strerror}", where=str(path), mend=mend) from None


@contextmanager
def publish(
    folder: str | Path,
    *,
    replace: bool = False,
    expected_bytes: int = 0,
    known: Mapping[str, FileRecord] | None = None,
) -> Iterator[Path]:
    """Fill a temporary sibling of a folder and make it visible in one rename.

    Args:
        folder: The folder to appear.
        replace: Take the place of an existing folder; without it an existing one is refused.
        expected_bytes: About what will be written; checked against the free space first.
        known: Records of files hashed while they were written, filled in by the caller inside the block (names
            relative to the folder); the rest are hashed here.

    Raises:
        ArtifactError: The folder exists and `replace` is off.
        FathomError: The disk is full, read-only or failing. The old folder is intact.
    """
    target = Path(folder).absolute()
    with _mended(target, expected_bytes):
        target.parent.mkdir(parents=True, exist_ok=True)
    _restore(target)
    if target.exists() and not replace:
        raise _already_there(target)
    remove_temporaries(target.parent)
    require_space(target.parent, expected_bytes)
    with _mended(target, expected_bytes):
        temporary, held = _make_held(target, folder=True)
        try:
            yield temporary
            _seal(temporary, known or {})
            _move_into_place(temporary, target, replace)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            os.close(held)


def is_published(folder: str | Path) -> bool:
    """Whether a folder has a manifest that `publish` wrote; one of another program's does not count."""
    try:
        with open(Path(folder) / MANIFEST, "rb") as stream:
            return stream.read(len(_MANIFEST_BEGINS)) == _MANIFEST_BEGINS
    except OSError:
        return False


def verify(folder: str | Path, compared: Collection[str] = ()) -> dict[str, Any]:
    """Check every file of a published folder against its manifest and return the manifest.

    Files the manifest does not name are tolerated.

    Args:
        folder: The folder.
        compared: Names of files that the caller has compared already; they are not read again.

    Raises:
        ArtifactError: No manifest, or a file is missing, of another size or digest; names the file.
    """
    root = Path(folder)
    _restore(root.absolute())
    manifest = _read_manifest(root / MANIFEST)
    for name, record in manifest["files"].items():
        if name not in compared:
            check_file(root / name, record)
    return manifest


def check_file(path: Path, record: FileRecord) -> None:
    """Check one file against its record, raising `ArtifactError` if it is missing or not what was written."""
    try:
        size = path.stat().st_size
        if size != record["bytes"]:
            raise _damaged(f"{size:,} bytes, {record['bytes']:,} were written", path)
        if sha256_file(path) != record["sha256"]:
            raise _damaged("its content is not what was written (sha256 differs)", path)
    except OSError as error:
        message = f"missing or not readable: {error.strerror}"
        raise ArtifactError(message, where=str(path), mend=COPY_AGAIN) from None


def remove_folder(folder: str | Path) -> None:
    """Remove a folder so that a kill in the middle leaves no half of it under its own name."""
    target, away = Path(folder).absolute(), _temporary_of(Path(folder).absolute())
    with suppress(FileNotFoundError):
        os.rename(target, away)
        _fsync(target.parent)
        shutil.rmtree(away, ignore_errors=True)


def remove_temporaries(parent: str | Path) -> None:
    """Remove what killed processes left in a folder; what a living process is writing stays."""
    with suppress(FileNotFoundError):
        for path in list(Path(parent).iterdir()):
            if path.name.endswith(_TEMPORARY):
                _remove_if_abandoned(path)
            elif path.name.endswith(_REPLACED) and (path.parent / path.name[1 : -len(_REPLACED) - 9]).exists():
                shutil.rmtree(path, ignore_errors=True)


def _temporary_of(target: Path) -> Path:
    return target.parent / f".{target.name}.{secrets.token_hex(4)}{_TEMPORARY}"


def _remove_if_abandoned(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        held = hold(descriptor)
        stale = time.time() - os.fstat(descriptor).st_mtime > _STALE_SECONDS
        if held or (held is None and stale):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _make_held(target: Path, folder: bool) -> tuple[Path, int]:
    while True:
        temporary = _temporary_of(target)
        if folder:
            temporary.mkdir()
        flags = os.O_RDONLY if folder else os.O_WRONLY | os.O_CREAT | os.O_EXCL
        descriptor = os.open(temporary, flags | os.O_CLOEXEC, 0o666)
        # Another process may take it for abandoned before it is held; then that process removes it.
        if hold(descriptor) is not False and temporary.exists():
            return temporary, descriptor
        os.close(descriptor)


def _seal(temporary: Path, known: Mapping[str, FileRecord]) -> None:
    records: dict[str, FileRecord] = {}
    folders = [temporary]
    for path in sorted(temporary.rglob("*")):
        if path.is_dir():
            folders.append(path)
            continue
        name = path.relative_to(temporary).as_posix()
        if name == MANIFEST:
            continue
        _fsync(path)
        size = path.stat().st_size
        record = known.get(name) or FileRecord(sha256=sha256_file(path), bytes=size)
        if record["bytes"] != size:
            raise OSError(errno.EIO, f"'{name}' has {size} bytes on disk and {record['bytes']} were written")
        records[name] = record
    (temporary / MANIFEST).write_bytes(_render_manifest({"files": records}))
    _fsync(temporary / MANIFEST)
    for folder in reversed(folders):
        _fsync(folder)


def _move_into_place(temporary: Path, target: Path, replace: bool) -> None:
    moved = False
    while not moved:
        away = target.parent / f".{target.name}.{secrets.token_hex(4)}{_REPLACED}"
        if replace and target.exists():
            os.rename(target, away)
        try:
            os.rename(temporary, target)
            moved = True
        except OSError as error:
            _restore(target)
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
            if not replace:
                raise _already_there(target) from None
            # A reader that looked between the two renames has brought the old one back: once more.
    _fsync(target.parent)
    shutil.rmtree(away, ignore_errors=True)


def _already_there(target: Path) -> ArtifactError:
    return ArtifactError("already there", where=str(target), mend="choose another folder, or remove it")


def _restore(target: Path) -> None:
    """Bring back a folder whose replacement was killed between its two renames."""
    if target.exists() or not target.parent.is_dir():
        return
    pattern = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}" + re.escape(_REPLACED))
    left = [name for name in os.listdir(target.parent) if pattern.fullmatch(name)]
    if left:
        newest = max(left, key=lambda name: (target.parent / name).stat().st_mtime)
        os.rename(target.parent / newest, target)


def _render_manifest(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def _read_manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        if not path.parent.is_dir():
            raise ArtifactError("no such folder", where=str(path.parent), mend="check the path")
        found = "incomplete, or not written by Fathom: no manifest"
        raise ArtifactError(found, where=str(path.parent), mend=COPY_AGAIN)
    manifest = read_json(path)
    files = manifest.get("files") if isinstance(manifest, dict) else None
    # The manifest has one form only, so a flipped bit anywhere in it shows.
    if not isinstance(files, dict) or _render_manifest(manifest) != path.read_bytes():
        raise _damaged("not a manifest as it was written", path)
    for name, record in files.items():
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts and "\0" not in name
        if not inside or not isinstance(record, dict) or set(record) != {"sha256", "bytes"}:
            raise _damaged(f"the entry '{name}' is not one of a manifest", path)
    return dict(manifest)


def _damaged(what: str, path: str | Path) -> ArtifactError:
    return ArtifactError(f"damaged: {what}", where=str(path), mend=COPY_AGAIN)


def _refuse(name: str) -> Any:
    raise ValueError(f"the number {name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is given twice")
    return result


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and container disks refuse to sync a folder; the rename itself is done.
        if not path.is_dir() or error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _mended(path: Path, num_bytes: int) -> Iterator[None]:
    """Turn a full, read-only or failing disk into an error that names the path, the bytes and the mend."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        found = re.search(r"os error (\d+)", str(error))
        number = error.errno if isinstance(error, OSError) else int(found[1]) if found else None
        if number not in _FULL | _BROKEN:
            raise
        raise _disk_error(number or 0, path, num_bytes) from error


def _disk_error(number: int, path: Path, num_bytes: int) -> FathomError:
    message, mend = f"cannot be written: {os.strerror(number)}", "check the permissions and the disk"
    if number in _FULL:
        free = shutil.disk_usage(next(place for place in path.parents if place.exists())).free
        needed = f"; {num_bytes:,} bytes are needed" if num_bytes else ""
        message = f"the disk is full or its quota is used up ({free:,} bytes free{needed})"
        mend = "free some space, or write to another disk"
    return FathomError(message, where=str(path), mend=f"{mend}; what was there before is intact")
