"""The contract of a corpus filter: a document goes in, whether it stays comes out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence

from fathom.config import Part
from fathom.data.corpus.pieces import Document

Verdict = Callable[[Document], bool]
"""Whether a document stays."""

# A Chinese or Japanese character counts as a word, as everything between spaces does elsewhere.
WORD = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]"
    "|[^\\W\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]+"
)


class CorpusFilter(Part, ABC):
    """Leaves documents out. Of a document that comes in pieces, the first piece decides."""

    kind: str
    """Name in the catalog."""

    @abstractmethod
    def open(self) -> Verdict:
        """Return the function that judges the documents of one corpus, in their order; it may remember them."""


class FilterChain:
    """Filters one after another, with counts of what each removed.

    Attributes:
        num_read: Documents that came in.
        removed: Documents each filter removed; one document counts for the first that removes it.
    """

    def __init__(self, filters: Sequence[CorpusFilter]) -> None:
        names = [part.kind for part in filters]
        labels = [name if names.count(name) == 1 else f"{name} {place}" for place, name in enumerate(names, 1)]
        self._verdicts = [(label, part.open()) for label, part in zip(labels, filters, strict=True)]
        self.num_read = 0
        self.removed = dict.fromkeys(labels, 0)

    def keep(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yield the documents that stay."""
        stays, begins = True, True
        for document in documents:
            if begins:
                self.num_read += 1
                stays = self._judge(document)
            begins = not document.continues
            if stays:
                yield document

    def _judge(self, document: Document) -> bool:
        for label, stays in self._verdicts:
            if not stays(document):
                self.removed[label] += 1
                return False
        return True
