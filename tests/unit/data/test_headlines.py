"""Made-up headlines: the same on every machine, two meanings in one headline, nothing of the test split in train."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from fathom.data.load import load_examples
from fathom.errors import DataError


def test_headlines_are_fixed_and_name_their_companies() -> None:
    train, _ = load_examples("headlines:train", "text")
    test, _ = load_examples("headlines:test", "text")
    assert (len(train), len(test)) == (1500, 400)
    assert train == load_examples("headlines:train", "text")[0]
    assert all(example["text_pair"].lower() in example["text"].lower() for example in (*train, *test))
    assert min(Counter(example["label"] for example in train).values()) > 400
    assert not {example["text_pair"] for example in train} & {example["text_pair"] for example in test}
    meanings = defaultdict(set)
    for example in train:
        meanings[example["where"]].add(example["label"])
    assert sum(len(found) > 1 for found in meanings.values()) > 200


@pytest.mark.parametrize(("path", "form"), [("headlines:dev", "text"), ("headlines:train", "spans")])
def test_other_splits_and_tasks_are_refused(path: str, form: str) -> None:
    with pytest.raises(DataError, match=r"known: headlines:train|task: text-classification"):
        load_examples(path, form)
