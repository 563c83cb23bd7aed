"""Documents of a corpus, one after another, from files of any size in constant memory."""

from __future__ import annotations

import difflib
import glob
import itertools
import re
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

from fathom import catalog
from fathom.config import suggest
from fathom.data.conversation import text_of
from fathom.data.corpus.pieces import PIECE_CHARACTERS, Document, cut_documents, cut_text
from fathom.data.corpus.records import read_delimited, read_json, read_json_lines, read_parquet
from fathom.data.corpus.streams import read_chunks
from fathom.data.corpus.template import fill
from fathom.data.section import DataSection
from fathom.errors import DataError

__all__ = ["PIECE_CHARACTERS", "Document", "read_documents", "source_files", "split_sample"]

TEXT_SUFFIXES = (".txt", ".text", ".md")
RecordReader = Callable[[Path, DataSection], Iterator[Document]]
FORMATS: dict[str, RecordReader] = {
    "jsonl": read_json_lines,
    "json": read_json,
    "csv": read_delimited,
    "tsv": read_delimited,
    "parquet": read_parquet,
}
"""How files with records are read, by `data.format`."""
READERS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""Their format where none is stated, by suffix; everything else is running text."""

PYTHON = "python:stdlib"
"""The source of the standard library, which every machine with Python has."""
_SAMPLE = re.compile(r"(?P<path>.+)#(?P<size>\d+)\Z", re.DOTALL)


def read_documents(source: str, section: DataSection | None = None) -> Iterator[Document]:
    """Read the documents of a source, streaming.

    A text file is one document (`section.document_separator` cuts it into more); a record of a JSON, JSON Lines, CSV,
    TSV or Parquet file is one, its text in the column `text` (`section.columns`). `section.format` says which of these
    the files are, else their names do. Documents longer than `PIECE_CHARACTERS` come in pieces.

    Args:
        source: A file, its .gz, a folder, a glob, `helpdesk:...` or `python:stdlib`; `#n` takes the first n documents.
        section: How to read it; its own paths are not used.

    Raises:
        DataError: A file is missing, binary, damaged or not in its encoding, a record has no text, there is no
            document at all, or no corpus has the format.
    """
    path, size = split_sample(source)
    section = section or DataSection(train=source)
    if path.startswith("helpdesk:"):
        if section.format != "helpdesk":
            _check_format(section.format)
        return _helpdesk(source, section)
    files = source_files(path)
    documents = itertools.chain.from_iterable(_read_file(file, section) for file in files)
    return _at_least_one(documents if size is None else _first(documents, size), source)


def split_sample(source: str) -> tuple[str, int | None]:
    """Split `path#n` into the path and n, None where there is none."""
    match = _SAMPLE.match(source)
    if match is None or Path(source).exists():
        return source, None
    if int(match["size"]) < 1:
        raise DataError("a sample of 0 documents", where=source, mend="give a number from 1 after #")
    return match["path"], int(match["size"])


def source_files(path: str) -> list[Path]:
    """Return the files of a source in the order they are read; none for `helpdesk:...`.

    A folder's own README tells of the texts and is none of them: it is read only where it is named, or alone.

    Raises:
        DataError: There is no such file, or the folder or glob holds none that can be read.
    """
    if path.startswith("helpdesk:"):
        return []
    if path == PYTHON:
        return python_files()
    place = Path(path)
    if place.is_file():
        return [place]
    if place.is_dir():
        found = sorted(file for file in place.rglob("*") if file.is_file() and not _hidden(file.relative_to(place)))
        known = [file for file in found if suffix(file) in READERS or suffix(file) in TEXT_SUFFIXES]
        if not known:
            raise DataError(
                f"no file of text in this folder ({', '.join(file.name for file in found[:8]) or 'it is empty'})",
                where=path,
                mend=f"files end in {', '.join((*TEXT_SUFFIXES, *READERS))}, or in one of them and .gz",
            )
        return [file for file in known if not is_readme(file, place)] or known
    if glob.has_magic(path):
        matched = sorted(Path(name) for name in glob.glob(path, recursive=True) if Path(name).is_file())
        if not matched:
            raise DataError("no file matches", where=path, mend="check the pattern; ** goes through folders")
        return matched
    raise _missing(place)


def python_files() -> list[Path]:
    """Return the source files of the running Python's standard library, without its tests and what is installed."""
    root = Path(sysconfig.get_path("stdlib"))
    found = sorted(root.rglob("*.py"))
    left_out = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
    return [file for file in found if left_out.isdisjoint(file.relative_to(root).parts) and file.stat().st_size]


def _missing(file: Path) -> DataError:
    if not file.parent.is_dir():
        return DataError("no such file", where=str(file), mend=f"there is no folder '{file.parent}'; check the path")
    near = difflib.get_close_matches(file.name, [child.name for child in file.parent.iterdir()], n=1, cutoff=0.75)
    mend = f"did you mean '{file.parent / near[0]}'?" if near else "check the path"
    return DataError("no such file or folder", where=str(file), mend=mend)


def is_readme(file: Path, folder: Path) -> bool:
    """Tell whether a file describes the folder it is in."""
    return file.parent == folder and file.name.lower() in {"readme.md", "readme.txt"}


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def suffix(file: Path) -> str:
    """Return the suffix that tells the format, in lower case; `.gz` behind it does not count."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def file_format(file: Path, section: DataSection) -> str | None:
    """Return the key of `FORMATS` a file is read by: what the section says, else what its name does; None for text.

    Raises:
        DataError: The section names a format that no file of a corpus has.
    """
    _check_format(section.format)
    return section.format or READERS.get(suffix(file))


def _check_format(name: str | None) -> None:
    if name is not None and name not in FORMATS:
        near = "" if name in catalog.names("reader") else suggest(name, FORMATS)
        raise DataError(
            f"a corpus is not read from '{name}'{near}",
            where="data.format",
            mend=f"give files in one of {', '.join(FORMATS)}, or leave format out: each file's name tells its own, and "
            "a name that tells none is running text",
        )


def _read_file(file: Path, section: DataSection) -> Iterator[Document]:
    name = file_format(file, section)
    if name is not None:
        return FORMATS[name](file, section)
    if section.document_template is not None:
        raise DataError(
            "running text has no columns that a template could name",
            where=str(file),
            mend="leave data.document_template out, or give records (JSON Lines, CSV, Parquet)",
        )
    chunks = read_chunks(file, section.encoding)
    if section.document_separator is None:
        return cut_text(chunks, str(file))
    return cut_documents(chunks, section.document_separator, str(file))


def _first(documents: Iterator[Document], size: int) -> Iterator[Document]:
    for document in documents:
        yield document
        size -= not document.continues
        if not size:
            return


def _at_least_one(documents: Iterator[Document], source: str) -> Iterator[Document]:
    first = next(documents, None)
    if first is None:
        raise DataError("no text: every file or record is empty", where=source, mend="give files with text")
    yield first
    yield from documents


def _helpdesk(source: str, section: DataSection) -> Iterator[Document]:
    from fathom.data.load import read_path

    for example in read_path(source, "corpus", section).examples:
        more = [str(example[key]) for key in ("text_pair", "target") if key in example]
        text = "\n".join([text_of(example), *more])
        if section.document_template is not None:
            text = fill(section.document_template, example, text, example["where"])
        yield Document(text, example["where"])
