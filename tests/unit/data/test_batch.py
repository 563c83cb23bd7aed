"""Batches hold exactly the sequences, and are cut without losing one."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fathom.data.batch import collate, collate_rows, cut, model_inputs
from fathom.data.store import from_features

FEATURES = [
    {
        "input_ids": np.arange(1, length + 1, dtype=np.int32),
        "labels": np.full(length, 2, dtype=np.int32),
        "word_index": np.zeros(length, dtype=np.int32),
        "label": np.asarray([0.5, index], dtype=np.float32),
        "example": np.asarray(index, dtype=np.int64),
    }
    for index, length in enumerate([2, 4, 1])
]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.none() | st.integers(1, 120))
def test_cut_covers_the_batch_in_order(lengths: list[int], most: int | None) -> None:
    parts = cut(np.asarray(lengths), most)
    assert [index for part in parts for index in range(len(lengths))[part]] == list(range(len(lengths)))
    sizes = [sum(lengths[part]) for part in parts]
    counts = [len(lengths[part]) for part in parts]
    assert min(counts) >= 1
    if most is None:
        assert len(parts) == 1
        return
    assert all(size <= most or count == 1 for size, count in zip(sizes, counts, strict=True))
    # No two neighbours would have fitted together: as few passes as this order allows.
    firsts = [lengths[part][0] for part in parts[1:]]
    assert all(size + first > most for size, first in zip(sizes, firsts, strict=False))


def test_collate_pads_on_the_right() -> None:
    batch = collate(FEATURES, pad_token_id=9)
    assert batch["input_ids"].tolist() == [[1, 2, 9, 9], [1, 2, 3, 4], [1, 9, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert batch["labels"].tolist() == [[2, 2, -100, -100], [2, 2, 2, 2], [2, -100, -100, -100]]
    assert batch["word_index"][2].tolist() == [0, -1, -1, -1]
    assert batch["label"].dtype == torch.float32
    assert batch["label"].tolist() == [[0.5, 0.0], [0.5, 1.0], [0.5, 2.0]]
    assert batch["example"].tolist() == [0, 1, 2]
    assert {value.dtype for name, value in batch.items() if name != "label"} == {torch.int64}


def test_collate_rows_takes_them_in_the_order_asked() -> None:
    batch = collate_rows(from_features(FEATURES), np.asarray([2, 0]), 0)
    assert batch["example"].tolist() == [2, 0]
    assert batch["input_ids"].tolist() == [[1, 0], [1, 2]]


def test_labels_and_bookkeeping_stay_outside_the_model() -> None:
    assert set(model_inputs(collate(FEATURES, 0))) == {"input_ids", "attention_mask"}
