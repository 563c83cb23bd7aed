"""Text files as a stream of decoded chunks: any size in constant memory, encodings detected, nothing replaced."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from fathom.data.encodings import decode
from fathom.errors import DataError
from fathom.log import get_console

CHUNK_BYTES = 1 << 20

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BINARY = {
    b"\x1f\x8b": "a gzip file (give it the suffix .gz)",
    b"PK\x03\x04": "a zip archive or an office document",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file (give it the suffix .parquet)",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\xfd7zXZ": "an xz file",
    b"BZh": "a bzip2 file",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
}
_MEND_ENCODING = "save the file as UTF-8, or say its encoding: data.encoding in a recipe, --encoding in a command"
_MEND_BINARY = "give text files; NUL bytes are no text"


def read_chunks(path: Path, encoding: str | None = None) -> Iterator[str]:
    """Decode a text file (or its .gz) chunk by chunk; line ends become `\\n`, a byte order mark at the start goes.

    The encoding is what the byte order mark says, or is told from the first chunk that is not plain ASCII.

    Args:
        path: A file.
        encoding: What the user says it is; None detects it.

    Raises:
        DataError: The file is binary (names the byte), not in its encoding, damaged, or may not be read.
    """
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    stream = _Decoder(path, encoding)
    for chunk in _read_bytes(path):
        text = newlines.decode(stream.decode(chunk))
        if text:
            yield text
    text = newlines.decode(stream.finish(), final=True)
    if text:
        yield text


def read_lines(chunks: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Cut chunks into lines without their ends, numbered from 1."""
    held: list[str] = []
    number = 0
    for chunk in chunks:
        first, *others = chunk.split("\n")
        held.append(first)
        for line in others:
            number += 1
            yield number, "".join(held)
            held = [line]
    last = "".join(held)
    if last:
        yield number + 1, last


def tell_encoding(path: Path, encoding: str | None = None) -> str:
    """Return the codec of a text file, `ascii` where it needs none; reads no further than it must.

    Raises:
        DataError: As `read_chunks`.
    """
    stream = _Decoder(path, encoding)
    for chunk in _read_bytes(path):
        stream.decode(chunk)
        if stream.codec is not None:
            return stream.codec
    return "ascii"


class _Decoder:
    """Decodes one file; knows the byte it is at."""

    def __init__(self, path: Path, encoding: str | None) -> None:
        self._path = path
        self._place = 0
        self._stated = encoding
        self.codec: str | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        if encoding is not None:
            self._use(_known_codec(encoding))

    def decode(self, chunk: bytes) -> str:
        if self._place == 0:
            chunk = self._begin(chunk)
        if self._decoder is None:
            if chunk.isascii() and b"\0" not in chunk:
                self._place += len(chunk)
                return chunk.decode("ascii")
            self._use(_detect(chunk, self._path, self._place))
        return self._decode(chunk, final=False)

    def finish(self) -> str:
        return self._decode(b"", final=True) if self._decoder is not None else ""

    def _begin(self, chunk: bytes) -> bytes:
        for head, what in _BINARY.items():
            if chunk.startswith(head) and (len(head) > 3 or b"\0" in chunk[:4096]):
                raise DataError(f"{what}, not text (byte 0)", where=str(self._path), mend=_MEND_BINARY)
        if self._stated is None:
            for mark, codec in _MARKS:
                if chunk.startswith(mark):
                    self._use(codec)
                    break
        return chunk

    def _use(self, codec: str) -> None:
        self.codec = codec
        self._decoder = codecs.getincrementaldecoder(codec)()
        if codec not in {"utf-8", "ascii"} and self._stated is None:
            get_console().info(f"{self._path}: read as {codec.upper()} (detected)")

    def _decode(self, chunk: bytes, final: bool) -> str:
        assert self._decoder is not None and self.codec is not None
        held = self._decoder.getstate()[0]
        base = self._place - len(held)
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            place = base + error.start
            if b"\0" in error.object:
                raise _binary(self._path, base + error.object.index(b"\0")) from None
            raise DataError(
                f"not {self.codec}: byte {place:,} is 0x{error.object[error.start]:02x} ({error.reason})",
                where=str(self._path),
                mend=_MEND_ENCODING,
            ) from None
        if "\x00" in text:
            raise _binary(self._path, base + len(text[: text.index("\x00")].encode(self.codec)))
        if base == 0:
            text = text.lstrip("\ufeff")
        self._place += len(chunk)
        return text


def _detect(sample: bytes, path: Path, place: int) -> str:
    """Tell the codec of a chunk that may end in the middle of a character."""
    if b"\0" not in sample:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(sample)
        except UnicodeDecodeError:
            pass
        else:
            return "utf-8"
    for cut in range(4):
        try:
            found = decode(sample[: len(sample) - cut], str(path)).encoding
        except DataError:
            continue
        if found == "utf-8" and b"\0" in sample:
            break
        return found
    if b"\0" in sample:
        raise _binary(path, place + sample.index(b"\0"))
    try:
        sample.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8 (byte {place + error.start:,} is 0x{sample[error.start]:02x}), and no other encoding is plain",
            where=str(path),
            mend=_MEND_ENCODING,
        ) from None
    return "utf-8"


def _binary(path: Path, place: int) -> DataError:
    return DataError(f"binary, not text: a NUL byte at byte {place:,}", where=str(path), mend=_MEND_BINARY)


def _known_codec(encoding: str) -> str:
    try:
        "".encode(encoding)
        return codecs.lookup(encoding).name
    except LookupError:
        raise DataError(
            f"no encoding of text is called '{encoding}'",
            where="data.encoding",
            mend="for example utf-8, gb18030, utf-16, latin-1",
        ) from None


def _read_bytes(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except PermissionError:
        raise DataError("the file may not be read", where=str(path), mend="change its permissions") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"damaged: not a whole gzip file ({error})", where=str(path), mend="the file is cut; get it again"
        ) from None
