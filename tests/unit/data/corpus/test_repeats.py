"""What a held-out split shares with the text that is learnt from: whole documents, counted by their tokens."""

from __future__ import annotations

import numpy as np
import pytest

from fathom.data.corpus import repeats
from fathom.data.corpus.repeats import repeated_share
from fathom.data.corpus.store import CorpusStore
from fathom.data.corpus.windows import all_spans, split_spans


def store_of(*documents: list[int]) -> CorpusStore:
    ids = np.array([token for document in documents for token in document], dtype=np.uint16)
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    return CorpusStore([ids], np.array([0, len(ids)]), offsets, np.bincount(ids, minlength=20), {})


TRAIN = store_of([1, 2, 3], [4, 5], [6, 7, 8, 9])


@pytest.mark.parametrize(
    ("held", "share"),
    [
        (store_of([1, 2, 3], [6, 7, 8, 9]), 1.0),
        (store_of([4, 5], [5, 4], [1, 2, 4, 3]), 2 / 8),
        (store_of([4, 5], [4, 5], [10]), 4 / 5),
        (store_of([2, 3], [1, 2, 3, 4]), 0.0),  # parts of documents are no documents
    ],
)
def test_the_share_counts_tokens_of_whole_documents(held: CorpusStore, share: float) -> None:
    learnt = [(TRAIN, all_spans(TRAIN))]
    assert repeated_share(learnt, (held, all_spans(held))) == pytest.approx(share)


def test_every_source_is_looked_at() -> None:
    held = store_of([11, 12], [4, 5])
    others = [store_of([4, 5]), store_of([11, 12])]
    assert repeated_share([(other, all_spans(other)) for other in others], (held, all_spans(held))) == 1


def test_the_two_halves_of_one_document_differ() -> None:
    whole = store_of(list(range(20)))
    train, held = split_spans(all_spans(whole), 0.2, 7)
    assert held.num_tokens
    assert repeated_share([(whole, train)], (whole, held)) == 0


def test_the_documents_that_are_compared_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST_COMPARED", 1)
    held = store_of([1, 2, 3], [6, 7, 8, 9])
    assert repeated_share([(TRAIN, all_spans(TRAIN))], (held, all_spans(held))) == pytest.approx(3 / 7)
