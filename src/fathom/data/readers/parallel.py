"""Two plain files whose lines belong together: `corpus.en,corpus.zh`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fathom.data.encodings import decode
from fathom.data.readers.base import Form, Reader, Reading, Request
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems
from fathom.data.readers.written import WrittenRows
from fathom.data.section import DataSection


class ParallelReader(Reader):
    """Reads two files of text, one line of the first for each line of the second: `corpus.en,corpus.zh`."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every pair of lines; see `Reader.read`."""
        problems = Problems(path, skip=options.on_error == "skip")
        request = Request(form, options, problems)
        names = split_path(path)
        if names is None or form != "writing":
            raise problems.fail(
                "two files of parallel lines are for translation and summarization",
                "name them as SOURCE,TARGET, or name one file",
            )
        digest = hashlib.sha256()
        columns: list[list[str]] = []
        notes = [f"format: parallel lines of {names[0]} and {names[1]}"]
        for name in names:
            data = Path(name).read_bytes()
            digest.update(data)
            decoded = decode(data, name, options.encoding)
            notes += decoded.notes
            lines = decoded.text.replace("\r\n", "\n").split("\n")
            columns.append(lines[:-1] if lines[-1] == "" else lines)
        counts = [len(lines) for lines in columns]
        if counts[0] != counts[1]:
            raise problems.fail(
                f"{names[0]} has {counts[0]:,} lines and {names[1]} has {counts[1]:,}: they are not parallel",
                "give two files where line n of one belongs to line n of the other",
                line=min(counts) + 1,
            )
        rows = WrittenRows(Layout({"source": 0, "target": 1}, names), request.options, problems)
        for line, (source, target) in enumerate(zip(*columns, strict=True), 1):
            rows.add(line, {"source": source, "target": target})
        examples, more = rows.finish(counts[0])
        return Reading(examples, (*notes, *more), digest.hexdigest(), names)


def split_path(path: str) -> tuple[str, str] | None:
    """Return the two files a path names; None where it is no such path."""
    first, comma, second = path.partition(",")
    if not comma or not first or not second or "," in second or Path(path).exists():
        return None
    return first.strip(), second.strip()
