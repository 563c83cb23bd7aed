"""The texts a vocabulary is learnt from: streamed, counted, and refused where they are none."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fathom.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH_TEXTS = 1000
BATCH_CHARACTERS = 1 << 20
"""Texts handed over at once: enough for the library's threads, few enough to bound memory."""

_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")
_SAMPLED_CHARACTERS = 1 << 16
_MOST_NO_TEXT = 0.05


class Corpus:
    """Texts that can be read more than once, each time from their source.

    Args:
        read: Opens the texts anew.
        name: What messages call the corpus.
    """

    def __init__(self, read: Callable[[], Iterable[str]], name: str = "corpus") -> None:
        self._read = read
        self.name = name
        self.texts = 0
        self.characters = 0

    def batches(self) -> Iterator[list[str]]:
        """Yield the texts in lists.

        Raises:
            DataError: There is no text, or it is not text: control characters, or characters lost in decoding.
        """
        self.texts = self.characters = 0
        batch: list[str] = []
        held = visible = suspicious = 0
        for text in self._read():
            if self.characters < _SAMPLED_CHARACTERS:
                suspicious += len(_NO_TEXT.findall(text, 0, _SAMPLED_CHARACTERS))
            self.texts += 1
            self.characters += len(text)
            visible += visible == 0 and not text.isspace() and bool(text)
            batch.append(text)
            held += len(text)
            if len(batch) == BATCH_TEXTS or held >= BATCH_CHARACTERS:
                self._check(suspicious)
                yield batch
                batch, held = [], 0
        if not visible:
            raise DataError("the corpus has no text", where=self.name, mend="give files with text in them")
        self._check(suspicious)
        if batch:
            yield batch

    def _check(self, suspicious: int) -> None:
        seen = min(self.characters, _SAMPLED_CHARACTERS)
        if suspicious > _MOST_NO_TEXT * seen:
            raise DataError(
                f"this is no text: {suspicious} of its first {seen:,} characters are control characters or lost ones",
                where=self.name,
                mend="give plain text, or text in JSON Lines, CSV or Parquet",
            )


def feed(backend: Tokenizer, corpus: Corpus, trainer: Any) -> None:
    """Train a backend in place on a corpus.

    Raises:
        DataError: A text has half of a surrogate pair in it, or the corpus is no text.
    """
    # The library wraps whatever its iterator raises; the corpus' own message is kept for the user.
    raised: list[DataError] = []

    def guarded() -> Iterator[list[str]]:
        try:
            yield from corpus.batches()
        except DataError as error:
            raised.append(error)
            raise

    try:
        backend.train_from_iterator(guarded(), trainer)
    except (DataError, UnicodeEncodeError) as error:
        if raised:
            raise raised[0] from None
        raise DataError(
            f"a text holds half of a surrogate pair ({error})",
            where=corpus.name,
            mend="write the text again with whole characters",
        ) from None


def count_words(backend: Tokenizer, corpus: Corpus) -> dict[str, int]:
    """Count the words of a corpus as a backend's normaliser and pre-tokeniser cut it, in the library's threads.

    Returns:
        The words in the order of their characters: the library's own order changes from process to process.
    """
    from tokenizers import Tokenizer, models, trainers

    counter = Tokenizer(models.BPE())
    if backend.normalizer is not None:
        counter.normalizer = backend.normalizer
    if backend.pre_tokenizer is not None:
        counter.pre_tokenizer = backend.pre_tokenizer
    trainer = trainers.BpeTrainer(vocab_size=0, show_progress=False)
    feed(counter, corpus, trainer)
    words: Mapping[str, int] = json.loads(trainer.__getstate__())["BpeTrainer"]["words"]
    return dict(sorted(words.items()))


def count_characters(words: Mapping[str, int]) -> Counter[str]:
    """Count the characters of counted words."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return counts


def most_frequent(counts: Mapping[str, int], limit: int | None, min_frequency: int = 1) -> list[str]:
    """Return the characters to keep by code point; of equally frequent ones the lower code points go in."""
    ranked = sorted((-count, character) for character, count in counts.items() if count >= min_frequency)
    return sorted(character for _, character in ranked[:limit])
