"""Filters of documents that were there before, to the letter or nearly."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Literal

from pydantic import Field

from fathom.data.corpus.filters.base import WORD, CorpusFilter, Verdict
from fathom.data.corpus.pieces import Document
from fathom.errors import MissingExtraError


class ExactDuplicates(CorpusFilter):
    """Leaves out every document whose text stood before; letter case, width and white space do not count.

    It remembers 16 bytes of each document. A document that comes in pieces stays.
    """

    kind: Literal["exact-duplicates"] = "exact-duplicates"

    def open(self) -> Verdict:
        """Return the function that remembers."""
        seen: set[bytes] = set()

        def stays(document: Document) -> bool:
            if document.continues:
                return True
            key = text_key(document.text)
            if key in seen:
                return False
            seen.add(key)
            return True

        return stays


class NearDuplicates(CorpusFilter):
    """Leaves out documents that share most phrases with one before (MinHash with banded hashing, Broder 1997).

    Needs the extra `corpus`. It remembers about 1 KB of each document. A document that comes in pieces stays.
    """

    kind: Literal["near-duplicates"] = "near-duplicates"
    threshold: float = Field(0.8, gt=0, le=1)
    """Share of common phrases (Jaccard similarity, as estimated) from which a document counts as a duplicate."""
    phrase_words: int = Field(5, ge=1)
    """Words of a phrase; a Chinese character counts as a word."""
    num_permutations: int = Field(128, ge=16)
    """Hashes of a document; more estimate better and take longer."""
    seed: int = Field(7, ge=0)
    """Of the hashes."""

    def open(self) -> Verdict:
        """Return the function that remembers.

        Raises:
            MissingExtraError: The extra `corpus` is not installed.
        """
        try:
            from rensa import RMinHashDeduplicator
        except ImportError:
            raise MissingExtraError("rensa", "corpus") from None
        bands = _num_bands(self.threshold, self.num_permutations)
        seen = RMinHashDeduplicator(self.threshold, self.num_permutations, True, bands, self.seed)
        count = 0

        def stays(document: Document) -> bool:
            nonlocal count
            if document.continues:
                return True
            words = WORD.findall(normalise(document.text))
            size = min(self.phrase_words, len(words))
            phrases = [" ".join(words[place : place + size]) for place in range(len(words) - size + 1)] if words else []
            if not phrases:
                return True
            count += 1
            (new,) = seen.add_pairs([(str(count), phrases)])
            return bool(new)

        return stays


def normalise(text: str) -> str:
    """Return a text without differences that do not matter: compatibility forms, letter case, white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def text_key(text: str) -> bytes:
    """Return the digest by which texts are compared."""
    return hashlib.blake2b(normalise(text).encode(), digest_size=16).digest()


def _num_bands(threshold: float, num_permutations: int) -> int:
    """Return into how many bands the hashes are cut, so that nearly every pair at the threshold meets in one of them.

    A pair of similarity s meets with probability 1 - (1 - s^rows)^bands; candidates are compared in full afterwards, so
    more bands cost time and no precision.
    """
    divisors = [bands for bands in range(1, num_permutations + 1) if num_permutations % bands == 0]
    for bands in divisors:
        if (1 - threshold ** (num_permutations // bands)) ** bands <= 0.01:
            return bands
    return num_permutations
