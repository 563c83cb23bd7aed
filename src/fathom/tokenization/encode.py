"""Texts and words to token ids, many at once, as flat numpy arrays.

Everything per token happens in the tokenizer's own threads or in numpy; Python only runs per text. Ids are the ones
`tokenizer(...)` of transformers gives: it calls the same backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.errors import ConfigError, DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IntArray = np.ndarray[Any, np.dtype[np.int32]]

CHUNK = 1024
"""Texts handed to the tokenizer at once: enough to keep its threads busy, small enough to bound memory."""


@dataclass(frozen=True)
class Flat:
    """Many sequences end to end: `starts` [N + 1] bounds sequence n at `starts[n]:starts[n + 1]`."""

    ids: IntArray
    starts: np.ndarray[Any, np.dtype[np.int64]]
    type_ids: IntArray | None = None
    words: IntArray | None = None
    cut: np.ndarray[Any, np.dtype[np.bool_]] | None = None
    """[N] Whether the end of a sequence's text was cut off."""


@dataclass(frozen=True)
class SpecialTokens:
    """The ids a tokenizer puts before and after a single text."""

    prefix: IntArray
    suffix: IntArray

    @property
    def count(self) -> int:
        """Tokens that are not text."""
        return len(self.prefix) + len(self.suffix)


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """Read off the ids placed around a single text from an encoded probe."""
    backend = clean_backend(tokenizer)
    for probe in ("a", "1", "."):
        encoding = backend.encode(probe)
        mask = np.array(encoding.special_tokens_mask, dtype=bool)
        if not mask.all():
            text_at = np.flatnonzero(~mask)
            ids = np.array(encoding.ids, dtype=np.int32)
            return SpecialTokens(ids[: text_at[0]], ids[text_at[-1] + 1 :])
    raise ConfigError("the tokenizer turns 'a', '1' and '.' into nothing", mend="check its vocabulary")


def num_ids(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the rows a table by token id needs; more than the words where a vocabulary has holes."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return max(vocabulary.values()) + 1


def clean_backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    """Return the backend as transformers leaves it for a call without truncation and padding."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    return backend


def encode_texts(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str] | Sequence[tuple[str, str]],
    max_length: int,
    *,
    type_ids: bool = False,
) -> Flat:
    """Encode texts or pairs of texts with special tokens, cut at `max_length` tokens (the longer of a pair first).

    Args:
        tokenizer: A fast tokenizer.
        texts: Texts, or (text, text pair) tuples.
        max_length: Most tokens of a sequence, special tokens included.
        type_ids: Also return which text of a pair each token is from.

    Raises:
        ConfigError: `max_length` leaves no room for text.
    """
    backend = clean_backend(tokenizer)
    pair = bool(texts) and not isinstance(texts[0], str)
    check_room(max_length, backend.num_special_tokens_to_add(pair))
    backend.enable_truncation(max_length, strategy="longest_first", direction=tokenizer.truncation_side)
    try:
        chunks = [_flatten(batch, type_ids=type_ids, limit=max_length) for batch in _encode_chunks(backend, texts)]
    finally:
        backend.no_truncation()
    return join(chunks)


def encode_words(tokenizer: PreTrainedTokenizerBase, words: Sequence[Sequence[str]]) -> Flat:
    """Encode texts given as words, without special tokens and uncut; `words` of the result says whose each token is.

    The ids equal `tokenizer(words, is_split_into_words=True, add_special_tokens=False)`: there, too, every word is
    normalised and cut by itself. So each distinct word goes through the tokenizer once; numpy does the rest.
    """
    backend = clean_backend(tokenizer)
    place_of: dict[str, int] = {}
    number_W = [place_of.setdefault(word, len(place_of)) for text in words for word in text]
    distinct = join([_flatten(batch) for batch in _encode_chunks(backend, list(place_of), add_special_tokens=False)])
    word_W = np.array(number_W, dtype=np.int64)
    lengths_W = np.diff(distinct.starts)[word_W]
    starts_W = starts_of(lengths_W)
    within_T = np.arange(starts_W[-1]) - np.repeat(starts_W[:-1], lengths_W)
    ids_T = distinct.ids[np.repeat(distinct.starts[word_W], lengths_W) + within_T]
    first_word_N = starts_of(np.array([len(text) for text in words], dtype=np.int64))
    index_W = np.arange(len(word_W)) - np.repeat(first_word_N[:-1], np.diff(first_word_N))
    return Flat(ids_T, starts_W[first_word_N], words=np.repeat(index_W, lengths_W).astype(np.int32))


def needs_spaces(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Tell whether a word inside a text has other ids than the same word alone, because of the space before it.

    So it is in byte-level tokenizers without `add_prefix_space` (GPT-2, RoBERTa, Qwen): words given to them one by one
    must carry their space, or the model sees ids it never saw in pretraining.
    """
    backend = clean_backend(tokenizer)
    alone, spaced, inside = (
        encoding.ids
        for encoding in backend.encode_batch_fast(
            [["b", "a"], ["b", " a"], ["b a"]], is_pretokenized=True, add_special_tokens=False
        )
    )
    return bool(alone != spaced and spaced == inside)


def check_room(max_length: int, special: int) -> None:
    """Refuse a `max_length` that holds special tokens only.

    Raises:
        ConfigError: No room for a single token of text.
    """
    if max_length <= special:
        raise ConfigError(
            f"max_length {max_length} leaves no room for text: the tokenizer adds {special} special tokens",
            where="data.max_length",
            mend=f"give at least {special + 1}",
        )


def join(chunks: Sequence[Flat]) -> Flat:
    """Put runs of sequences end to end."""
    if not chunks:
        empty = np.empty(0, dtype=np.int32)
        return Flat(empty, np.zeros(1, dtype=np.int64), empty)
    if len(chunks) == 1:
        return chunks[0]
    lengths = np.concatenate([np.diff(chunk.starts) for chunk in chunks])
    type_ids = [chunk.type_ids for chunk in chunks if chunk.type_ids is not None]
    cuts = [chunk.cut for chunk in chunks if chunk.cut is not None]
    return Flat(
        np.concatenate([chunk.ids for chunk in chunks]),
        starts_of(lengths),
        np.concatenate(type_ids) if type_ids else None,
        cut=np.concatenate(cuts) if cuts else None,
    )


def starts_of(lengths: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the bounds [N + 1] of sequences of the given lengths laid end to end."""
    starts = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _encode_chunks(backend: Any, texts: Sequence[Any], add_special_tokens: bool = True) -> Iterator[list[Any]]:
    for first in range(0, len(texts), CHUNK):
        run = list(texts[first : first + CHUNK])
        try:
            yield backend.encode_batch_fast(run, add_special_tokens=add_special_tokens)
        except TypeError:
            # Half of a surrogate pair, as a JSON escape can bring it in, is no text in the tokenizer's language.
            for item in run:
                for text in [item] if isinstance(item, str) else item:
                    _check_text(text)
            raise


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        broken = f"U+{ord(text[error.start]):04X}"
        raise DataError(
            f"character {error.start + 1} ({broken}) is half of a surrogate pair",
            where=f"the text {text[:60]!r}",
            mend="write the text again with whole characters",
        ) from None


def _flatten(encodings: list[Any], *, type_ids: bool = False, limit: int | None = None) -> Flat:
    lists = [encoding.ids for encoding in encodings]
    starts = starts_of(np.array([len(ids) for ids in lists], dtype=np.int64))
    total = int(starts[-1])
    cut = None
    if limit is not None:  # only a full sequence can have lost anything
        lost = (
            len(ids) >= limit and bool(encoding.overflowing) for ids, encoding in zip(lists, encodings, strict=True)
        )
        cut = np.fromiter(lost, dtype=np.bool_, count=len(lists))
    return Flat(
        np.fromiter(chain.from_iterable(lists), dtype=np.int32, count=total),
        starts,
        np.fromiter(chain.from_iterable(item.type_ids for item in encodings), np.int32, total) if type_ids else None,
        cut=cut,
    )
