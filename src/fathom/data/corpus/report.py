"""What a corpus consists of: documents, sizes, scripts, encodings and duplicates."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from fathom.data.check import MOJIBAKE
from fathom.data.corpus.documents import file_format, is_readme, read_documents, source_files, split_sample
from fathom.data.corpus.filters.duplicates import text_key
from fathom.data.corpus.pieces import Document
from fathom.data.corpus.streams import tell_encoding
from fathom.data.findings import SHOWN, CheckReport, Finding, Severity, order
from fathom.data.section import DataSection
from fathom.errors import DataError

SAMPLE_CHARACTERS = 2000
"""Characters of each document (or piece) whose scripts are counted."""
DUPLICATE_FILTERS = ("exact-duplicates", "near-duplicates")
DUPLICATES_SHARE = 0.01
"""Share of duplicates from which they are a warning."""


def check_corpus(section: DataSection) -> CheckReport:
    """Read the sources of a corpus once, in constant memory but for 16 bytes of each document, and say what is in them.

    They are told apart: `train`, `mixture SOURCE` for each further source, `validation` and `test`. Documents are
    counted before the filters.

    Args:
        section: Of the recipe.

    Returns:
        The report; a source that cannot be read is an error in it.
    """
    given = {"train": section.train, **{f"mixture {source}": source for source in section.mixture}}
    learned = frozenset(given)
    judged = (("validation", section.validation), ("test", section.test))
    given |= {name: path for name, path in judged if path is not None}
    filtered = any(part.kind in DUPLICATE_FILTERS for part in section.filters)
    splits: dict[str, dict[str, Any]] = {}
    findings: list[Finding] = []
    notes: list[str] = []
    seen: dict[bytes, str] = {}
    for split, source in given.items():
        tally = _Tally(split, seen, learned, filtered)
        try:
            notes += [f"{split}: {note}" for note in _encodings(source, section)]
            for document in read_documents(source, section):
                tally.add(document)
        except DataError as error:
            where = f"{error.where}: " if error.where else ""
            message = f"{split}: {where}{error.message}"
            findings.append(Finding("unreadable", "error", message, 1, (), error.mend or ""))
            continue
        splits[split] = tally.facts()
        findings += tally.findings()
    return CheckReport(splits, order(findings), tuple(notes))


class _Tally:
    """Counts one source; `learned` names those that are trained on, `filtered` whether a filter takes duplicates."""

    def __init__(self, split: str, seen: dict[bytes, str], learned: frozenset[str], filtered: bool) -> None:
        self._split = split
        self._seen = seen
        self._learned = learned
        self._filtered = filtered
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
                self._note(self._repeats(self._seen[key]), document)
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

    def _repeats(self, before: str) -> str:
        """Return the kind of finding where a text stood in the source `before`."""
        if before == self._split:
            return "duplicates"
        return "shared" if {before, self._split} <= self._learned else "leak"

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

    def findings(self) -> list[Finding]:
        """Return what is wrong or may be."""
        found = []
        count = self._counts["duplicates"]
        if count:
            many = count > DUPLICATES_SHARE * len(self._lengths) and not self._filtered
            message = f"{self._split}: {count:,} of {len(self._lengths):,} documents repeat one before"
            message += "; a filter leaves them out" if self._filtered else ""
            mend = "leave them out: filters: [exact-duplicates]" if many else ""
            found.append(self._finding("duplicates", message, "warning" if many else "note", mend))
        if self._counts["shared"]:
            message = f"{self._split}: {self._counts['shared']:,} documents are in another source of training too"
            mend = "they are learned from in both; filters see one source at a time"
            found.append(self._finding("shared", message, "note", mend))
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
    """Tell the encodings of the source's files that hold text, and what is passed over."""
    path, _ = split_sample(source)
    files = source_files(path)
    texts = [file for file in files if file_format(file, section) != "parquet"]
    counts = Counter(tell_encoding(file, section.encoding) for file in texts)
    notes = [f"{count:,} file{'s' * (count > 1)} in {codec.upper()}" for codec, count in counts.most_common()]
    folder = Path(path)
    if folder.is_dir():
        readmes = sorted(file.name for file in folder.iterdir() if is_readme(file, folder) and file not in files)
        notes += [f"{name} is left out: it tells of the texts" for name in readmes]
    return notes


@lru_cache(maxsize=1 << 16)
def _script(character: str) -> str:
    """Return the first word of a letter's Unicode name: LATIN, CJK, HANGUL, CYRILLIC ..."""
    return unicodedata.name(character, "OTHER").split()[0]
