"""What a held-out split shares with the text that is learnt from: whole documents, counted by their tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fathom.data.corpus import repeats
from fathom.data.corpus.repeats import repeated_share
from fathom.data.corpus.store import CorpusStore
from fathom.data.corpus.windows import all_spans, split_spans


def store_of(*documents: list[int], key: str = "") -> CorpusStore:
    ids = np.array([token for document in documents for token in document], dtype=np.uint16)
    offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
    return CorpusStore([ids], np.array([0, len(ids)]), offsets, np.bincount(ids, minlength=20), {}, key)


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


@pytest.fixture
def looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of the documents that are hashed."""
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path))
    own, found = CorpusStore.document, list[int]()

    def document(store: CorpusStore, index: int) -> np.ndarray:
        found.append(len(own(store, index)))
        return own(store, index)

    monkeypatch.setattr(CorpusStore, "document", document)
    return found


def test_the_answer_is_kept_for_the_same_splits_alone(looked_at: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = store_of([1, 2, 3], [4, 5], [6, 7], key="first"), store_of([4, 5], [9, 9], key="second")
    learnt = [(first, all_spans(first))]
    asked = [
        (learnt, (second, all_spans(second))),
        (learnt, (second, all_spans(second).take(np.array([1])))),  # another split of the same text
        ([(first, all_spans(first).take(np.array([0, 2])))], (second, all_spans(second))),
        (learnt, (store_of([8, 8], key="third"), all_spans(second).take(np.array([0])))),  # another text
        ([*learnt, (second, all_spans(second))], (second, all_spans(second))),
    ]
    shares = [repeated_share(*one) for one in asked]
    assert shares == [0.5, 0.0, 0.0, 0.0, 1.0]
    counted = len(looked_at)
    assert [repeated_share(*one) for one in asked] == shares
    assert len(looked_at) == counted
    monkeypatch.setattr(repeats, "MOST_COMPARED", 1)
    assert repeated_share(*asked[0]) == 0.5
    assert len(looked_at) > counted, "fewer documents are compared: it may be another answer"


def test_a_damaged_note_is_not_believed(looked_at: list[int], tmp_path: Path) -> None:
    text = store_of([1, 2, 3], [4, 5], key="text")
    part = (text, all_spans(text))
    assert repeated_share([part], part) == 1
    (note,) = (tmp_path / repeats.FOLDER).iterdir()
    sound = note.read_text(encoding="utf-8")
    for damaged in (sound.replace("1.0", "0.0"), sound[:9], "[]", ""):
        assert damaged != sound
        note.write_text(damaged, encoding="utf-8")
        assert repeated_share([part], part) == 1
    assert note.read_text(encoding="utf-8") == sound


def test_a_cache_that_cannot_be_written_is_no_reason_to_fail(
    looked_at: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "file"))
    text = store_of([1, 2, 3], key="text")
    assert repeated_share([(text, all_spans(text))], (text, all_spans(text))) == 1
