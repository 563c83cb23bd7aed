"""Long texts in pieces that are cut where no tokenizer looks across."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PIECE_CHARACTERS = 1 << 20
"""The longest text that is held whole."""

SEPARATORS = {"line": r"\n", "blank-line": r"\n(?:[ \t]*\n)+"}
"""What ends a document, by name; any other separator is taken as it is written."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text, or a piece of a long one.

    Attributes:
        text: Never empty, but for the last piece of a document whose length was not known before.
        where: `file:line` it begins at.
        continues: The next document goes on with this one.
    """

    text: str
    where: str
    continues: bool = False


def cut_text(chunks: Iterable[str], where: str) -> Iterator[Document]:
    """Yield one document in pieces of at most `PIECE_CHARACTERS`; nothing where there is only white space."""
    return _Cutter(where).cut(chunks)


def cut_documents(chunks: Iterable[str], separator: str, where: str) -> Iterator[Document]:
    """Split a stream into documents at a separator, each without the line ends around it.

    Args:
        chunks: The text, cut anywhere.
        separator: A name in `SEPARATORS`, or the separator itself.
        where: The file.
    """
    pattern = re.compile(SEPARATORS.get(separator) or re.escape(separator))
    cutter = _Cutter(where)
    buffer = ""
    for chunk in chunks:
        buffer += chunk
        last = 0
        for match in pattern.finditer(buffer):
            yield from cutter.finish(buffer[last : match.start()])
            cutter.line += buffer.count("\n", match.start(), match.end())
            last = match.end()
        buffer = buffer[last:]
        while len(buffer) > PIECE_CHARACTERS + len(separator):
            piece, buffer = cutter.take(buffer)
            yield piece
    yield from cutter.finish(buffer)


class _Cutter:
    """Cuts the texts of one file, counting lines."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.line = 1
        self._begun = False

    def cut(self, chunks: Iterable[str]) -> Iterator[Document]:
        buffer = ""
        for chunk in chunks:
            buffer += chunk
            if not self._begun and not buffer.strip():
                continue
            while len(buffer) > PIECE_CHARACTERS:
                piece, buffer = self.take(buffer)
                yield piece
        yield from self._end(buffer)

    def take(self, text: str) -> tuple[Document, str]:
        """Cut the first piece off a text that is longer than one."""
        place = cut_place(text)
        piece = Document(text[:place], f"{self.path}:{self.line}", continues=True)
        self.line += text.count("\n", 0, place)
        self._begun = True
        return piece, text[place:]

    def finish(self, text: str) -> Iterator[Document]:
        """Yield the rest of a document, line ends around it left out."""
        bare = text.lstrip("\n") if not self._begun else text
        self.line += len(text) - len(bare)
        kept = bare.rstrip("\n")
        yield from self._end(kept)
        self.line += len(bare) - len(kept)

    def _end(self, text: str) -> Iterator[Document]:
        while len(text) > PIECE_CHARACTERS:
            piece, text = self.take(text)
            yield piece
        if text.strip() or self._begun:
            yield Document(text, f"{self.path}:{self.line}")
        self.line += text.count("\n")
        self._begun = False


def cut_place(text: str) -> int:
    """Return where to cut the first piece off a text: behind a line end with no other white space on either side.

    Byte-level and WordPiece tokenizers split there anyway, so the pieces' ids are the whole text's. Where the second
    half of the piece has no such place: behind another line end, before a space, or in the middle of a line.
    """
    least = PIECE_CHARACTERS // 2
    place = text.rfind("\n", least, PIECE_CHARACTERS)
    while place > 0:
        if not text[place - 1].isspace() and not text[place + 1].isspace():
            return place + 1
        place = text.rfind("\n", least, place)
    for end in ("\n", " ", "。"):
        place = text.rfind(end, least, PIECE_CHARACTERS)
        if place > 0:
            return place + (end != " ")
    return PIECE_CHARACTERS
