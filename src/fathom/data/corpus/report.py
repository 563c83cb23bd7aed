"""What a corpus consists of: documents, sizes, scripts, encodings and duplicates."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from fathom.data.check import MOJIBAKE
from fathom.data.corpus.documents import READERS, is_readme, read_documents, source_files, split_sample
from fathom.data.corpus.filters.duplicates import text_key
from fathom.data.corpus.pieces import Document
from fathom.data.corpus.records import read_parquet
from fathom.data.corpus.streams import tell_encoding
from fathom.data.findings import SHOWN, CheckReport, Finding, Severity, order
from fathom.data.section import DataSection
from fathom.errors import DataError

SAMPLE_CHARACTERS = 2000
"""Characters of each document (or piece) whose scripts are counted."""
DUPLICATES_SHARE = 0.01
"""Share of duplicates from which they are a warning."""


def check_corpus(sources: Mapping[str, str], section: DataSection | None = None) -> CheckReport:
    """Read corpora once, in constant memory but for 16 bytes of each document, and say what is in them.

    Args:
        sources: Source (as `read_documents` takes it) by split; `train` first.
        section: How they are read.

    Returns:
        The report; a source that cannot be read is an error in it.
    """
    splits: dict[str, dict[str, Any]] = {}
    findings: list[Finding] = []
    notes: list[str] = []
    seen: dict[bytes, str] = {}
    for split, source in sources.items():
        reading = section or DataSection(train=source)
        tally = _Tally(split, seen)
        try:
            notes += [f"{split}: {note}" for note in _encodings(source, reading)]
            for document in read_documents(source, reading):
                tally.add(document)
        except DataError as error:
            where = f"{error.where}: " if error.where else ""
            message = f"{split}: {where}{error.message}"
            findings.append(Finding("unreadable", "error", message, 1, (), error.mend or ""))
            continue
        splits[split] = tally.facts()
        findings += tally.findings()
        notes += tally.notes()
    return CheckReport(splits, order(findings), tuple(notes))


class _Tally:
    """Counts one split."""

    def __init__(self, split: str, seen: dict[bytes, str]) -> None:
        self._split = split
        self._seen = seen
        self._lengths: list[int] = []
        self._length = self._bytes = 0
        self._scripts: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._places: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, document: Document) -> None:
        """Count a document, or a piece of one."""
        text = document.text
        if not self._length and not document.continues:
            key = text_key(text)
            if key in self._seen:
                self._note("duplicates" if self._seen[key] == self._split else "leak", document)
            self._seen.setdefault(key, self._split)
        for character, count in Counter(text[:SAMPLE_CHARACTERS]).items():
            if character.isalpha():
                self._scripts[_script(character)] += count
        if any(trace in text for trace in MOJIBAKE):
            self._note("wrong-encoding", document)
        self._length += len(text)
        self._bytes += len(text) if text.isascii() else len(text.encode())
        if not document.continues:
            self._lengths.append(self._length)
            self._length = 0

    def facts(self) -> dict[str, Any]:
        """Return the numbers of the split."""
        total = self._scripts.total()
        return {
            "num_examples": len(self._lengths),
            "characters": sum(self._lengths),
            "bytes": self._bytes,
            "median_characters": int(median(self._lengths)),
            "longest_characters": max(self._lengths),
            "duplicates": self._counts["duplicates"],
            "scripts": {script: round(count / total, 4) for script, count in self._scripts.most_common(8)},
        }

    def notes(self) -> list[str]:
        """Return the numbers as sentences."""
        facts = self.facts()
        scripts = ", ".join(f"{script} {share:.1%}" for script, share in facts["scripts"].items())
        return [
            f"{self._split}: {facts['num_examples']:,} documents, {facts['characters']:,} characters, "
            f"{facts['bytes']:,} bytes; the longest has {facts['longest_characters']:,} characters",
            f"{self._split}: letters: {scripts or 'none'}",
        ]

    def findings(self) -> list[Finding]:
        """Return what is wrong or may be."""
        found = []
        count = self._counts["duplicates"]
        if count:
            many = count > DUPLICATES_SHARE * len(self._lengths)
            message = f"{self._split}: {count:,} of {len(self._lengths):,} documents repeat one before"
            mend = "leave them out: filters: [exact-duplicates]" if many else ""
            found.append(self._finding("duplicates", message, "warning" if many else "note", mend))
        if self._counts["leak"]:
            message = f"{self._split}: {self._counts['leak']:,} documents are in another split too"
            found.append(self._finding("leak", message, "warning", "take them out of one of the splits"))
        if self._counts["wrong-encoding"]:
            message = f"{self._split}: {self._counts['wrong-encoding']:,} texts hold traces of a wrong encoding"
            found.append(self._finding("wrong-encoding", message, "warning", "decode the source again"))
        return found

    def _finding(self, kind: str, message: str, severity: Severity, mend: str) -> Finding:
        return Finding(kind, severity, message, self._counts[kind], tuple(self._places[kind]), mend)

    def _note(self, kind: str, document: Document) -> None:
        self._counts[kind] += 1
        if len(self._places[kind]) < SHOWN:
            self._places[kind].append(f"{document.where}: {' '.join(document.text[:80].split())}")


def _encodings(source: str, section: DataSection) -> list[str]:
    """Count the encodings of the source's files that hold text."""
    path, _ = split_sample(source)
    files = source_files(path)
    texts = [file for file in files if READERS.get(file.suffix.lower()) is not read_parquet]
    counts = Counter(tell_encoding(file, section.encoding) for file in texts)
    notes = [f"{count} files in {codec.upper()}" for codec, count in counts.most_common()]
    folder = Path(path)
    if folder.is_dir():
        readmes = sorted(file.name for file in folder.iterdir() if is_readme(file, folder) and file not in files)
        notes += [f"{name} is left out: it tells of the texts" for name in readmes]
    return notes


@lru_cache(maxsize=1 << 16)
def _script(character: str) -> str:
    """Return the first word of a letter's Unicode name: LATIN, CJK, HANGUL, CYRILLIC ..."""
    return unicodedata.name(character, "OTHER").split()[0]
