"""Texts to token ids, in several processes, in the order the texts came."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from fathom.data.corpus.word_cache import WordCache, cutter_of
from fathom.errors import FathomError

Array = np.ndarray[Any, Any]
Encode = Callable[[list[str]], tuple[Array, Array]]
"""Texts to the ids of all, one after another (uint32), and the number of ids of each (int64)."""


@dataclass(frozen=True)
class FastEncoder:
    """Opens a tokenizer of the `tokenizers` library: what a worker process needs, and nothing else.

    Attributes:
        tokenizer_json: The tokenizer as its library writes it (`tokenizer.backend_tokenizer.to_str()`). No special
            tokens are added, nothing is truncated or padded.
    """

    tokenizer_json: str

    def __call__(self) -> Encode:
        """Load the tokenizer and return the function that encodes."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer_json)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        if (cutter := cutter_of(self.tokenizer_json)) is not None:
            return WordCache(tokenizer, cutter).encode

        def encode(texts: list[str]) -> tuple[Array, Array]:
            ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
            lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
            return np.fromiter(chain.from_iterable(ids), dtype=np.uint32, count=int(lengths.sum())), lengths

        return encode


@dataclass(frozen=True)
class Batch:
    """Texts that are encoded together.

    Attributes:
        texts: Of documents or pieces of them.
        begins: Whether each begins a document.
        ends: Whether each ends one.
    """

    texts: list[str]
    begins: list[bool]
    ends: list[bool]


def encode_in_order(
    batches: Iterable[Batch], open_encoder: Callable[[], Encode], processes: int
) -> Iterator[tuple[Batch, Array, Array]]:
    """Encode batches and yield them in their order, whoever is done first; few are held at a time.

    Args:
        batches: What to encode; read as workers become free.
        open_encoder: Loads the tokenizer; sent to each process, so it has to be importable.
        processes: How many encode; 1 encodes in this one.

    Raises:
        FathomError: A worker process was killed.
    """
    if processes <= 1:
        encode = open_encoder()
        for batch in batches:
            yield batch, *encode(batch.texts)
        return
    # Not forked: this process may hold threads and locks of torch, Arrow or the tokenizers library.
    context = multiprocessing.get_context("spawn")
    pending: deque[tuple[Batch, Future[tuple[Array, Array]]]] = deque()
    with ProcessPoolExecutor(processes, context, initializer=_open, initargs=(open_encoder,)) as pool:
        try:
            for batch in batches:
                pending.append((batch, pool.submit(_encode, batch.texts)))
                if len(pending) > 2 * processes:
                    yield _take(pending)
            while pending:
                yield _take(pending)
        except BrokenProcessPool:
            raise FathomError(
                "a process that encodes text was killed",
                mend="either the memory is full: take fewer processes; or a script starts this outside of "
                '`if __name__ == "__main__":`, which every new process then starts again: put it inside. The same '
                "call goes on with the finished shards",
            ) from None
        finally:
            for _, future in pending:
                future.cancel()


def _take(pending: deque[tuple[Batch, Future[tuple[Array, Array]]]]) -> tuple[Batch, Array, Array]:
    batch, future = pending.popleft()
    ids, lengths = future.result()
    return batch, ids, lengths


_encoder: Encode | None = None


def _open(open_encoder: Callable[[], Encode]) -> None:
    """Load the tokenizer once in a worker process, which uses one thread."""
    import os

    global _encoder
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _encoder = open_encoder()


def _encode(texts: list[str]) -> tuple[Array, Array]:
    assert _encoder is not None
    return _encoder(texts)
