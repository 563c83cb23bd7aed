"""SemEval-2010 task 8 as it was published: a numbered sentence in quotes, its relation, a comment, an empty line."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from pathlib import Path

from fathom.data.encodings import decode
from fathom.data.readers.base import Form, Reader, Reading, Request
from fathom.data.readers.collect import collect
from fathom.data.readers.columns import Layout
from fathom.data.readers.problems import Problems, Skipped
from fathom.data.section import DataSection

SENTENCE = re.compile(r'\d+\t"(.*)"?\s*\Z', re.DOTALL)
_LINE = re.compile(r"\r\n|\n|\r")


class SemEvalReader(Reader):
    """Reads the blocks of `TRAIN_FILE.TXT`; files without relations (the published test sentences) have no labels."""

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read every sentence; see `Reader.read`."""
        data = Path(path).read_bytes()
        problems = Problems(path, skip=options.on_error == "skip")
        if form not in ("relation", "triples", "text"):
            raise problems.fail("sentences with a relation do not fit this task", "task: relation-extraction")
        decoded = decode(data, path, options.encoding)
        lines = _LINE.split(decoded.text)
        rows: list[tuple[int, list[str | None]]] = []
        for number, line in enumerate(lines, 1):
            match = SENTENCE.match(line)
            if match is not None:
                rows.append((number, [match[1].removesuffix('"'), None]))
            elif line.strip() and not line.startswith("Comment"):
                if not rows or rows[-1][1][1] is not None:
                    problems.add(
                        "neither a numbered sentence nor its relation",
                        "write blocks of sentence, relation, comment",
                        line=number,
                    )
                    continue
                rows[-1][1][1] = line.strip()
        if not rows:
            raise problems.fail("no sentences", 'give lines such as 1\t"The <e1>audits</e1> ..."')
        layout = Layout({"text": 0, "label": 1}, ("sentence", "relation"))
        examples, notes = collect(rows, len(rows), layout, Request(form, options, problems))
        skipped: tuple[Skipped, ...] = ()
        if problems.reasons:
            skipped = problems.skipped(partial(_row_text, lines))
        told = ("format: SemEval-2010 task 8", *decoded.notes, *notes)
        return Reading(examples, told, hashlib.sha256(data).hexdigest(), layout.names, skipped)


def _row_text(lines: list[str], line: int) -> tuple[int, str]:
    return line, lines[line - 1]
