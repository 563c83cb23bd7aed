"""The seeded split: shares of labels hold, equal texts stay on one side, every label stays in train."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.load import load_splits
from fathom.data.section import DataSection
from fathom.data.split import normalize_text, sample, stratified_split
from fathom.errors import DataError


def examples(labels, texts=None):
    texts = texts or [f"text {number}" for number in range(len(labels))]
    return [
        {"text": t, "label": label, "where": f"a:{n}"} for n, (t, label) in enumerate(zip(texts, labels, strict=True))
    ]


def test_normalization():
    assert normalize_text("  Ｆｕｌｌ  WIDTH\tand\nSpaces ") == "full width and spaces"
    assert normalize_text("Straße") == normalize_text("STRASSE")


def test_shares_hold_and_order_is_kept():
    data = examples(["a"] * 700 + ["b"] * 200 + ["c"] * 100)
    first, second = stratified_split(data, 0.1, 7)
    assert Counter(e["label"] for e in second) == {"a": 70, "b": 20, "c": 10}
    assert [e["where"] for e in first] == sorted((e["where"] for e in first), key=lambda w: int(w[2:]))
    assert stratified_split(data, 0.1, 7) == (first, second)
    assert stratified_split(data, 0.1, 8)[1] != second


def test_equal_texts_stay_together():
    texts = [f"text {number // 2}" if number % 2 else f"  TEXT　{number // 2} " for number in range(200)]
    first, second = stratified_split(examples(["a", "b"] * 100, texts), 0.2, 1)
    keys = [{normalize_text(e["text"]) for e in part} for part in (first, second)]
    assert not keys[0] & keys[1]
    assert len(second) == pytest.approx(40, abs=2)


def test_small_classes_stay_in_train():
    first, second = stratified_split(examples(["big"] * 50 + ["one"] + ["two"] * 2), 0.2, 3)
    assert {e["label"] for e in first} == {"big", "one", "two"}
    assert "one" not in {e["label"] for e in second}


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefg"), st.lists(st.sampled_from("xyz"), max_size=3, unique=True)), max_size=40
    ),
    st.floats(0, 0.9),
    st.integers(0, 5),
)
@settings(max_examples=150, deadline=None)
def test_nothing_is_lost_and_no_label_leaves_train(rows, fraction, seed):
    data = examples([labels for _, labels in rows], [text for text, _ in rows])
    first, second = stratified_split(data, fraction, seed)
    assert sorted(e["where"] for e in first + second) == sorted(e["where"] for e in data)
    assert {label for e in data for label in e["label"]} == {label for e in first for label in e["label"]}
    assert not {e["text"] for e in first} & {e["text"] for e in second}
    assert bool(first) == bool(data)


def test_numbers_are_split_by_quartile():
    _, second = stratified_split(examples([f"{n / 7:.3f}" for n in range(400)]), 0.1, 0)
    values = sorted(float(e["label"]) for e in second)
    assert len(values) == 40
    assert sum(value < 400 / 7 / 4 for value in values) == 10


def test_tagged_sentences_are_split_by_their_rarest_type():
    data = [
        {"text": f"t {n}", "words": [(0, 1)], "tags": ["B-rare" if n % 10 == 0 else "B-usual"], "where": f"a:{n}"}
        for n in range(200)
    ]
    _, second = stratified_split(data, 0.2, 0)
    assert Counter(tag for e in second for tag in e["tags"]) == {"B-usual": 36, "B-rare": 4}


def test_a_few_examples_still_give_one():
    assert len(stratified_split(examples(["a", "b", "a", "b"]), 0.1, 0)[1]) == 1


def test_sample():
    assert sample(examples("ab"), 5, 0) == examples("ab")
    assert len(sample(examples("abcdef"), 3, 0)) == 3


def test_splits_that_repeat_train_are_refused_unless_allowed(tmp_path):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("text,label\n" + "".join(f"row {n},{'xy'[n % 2]}\n" for n in range(40)))
    test.write_text("text,label\n" + "".join(f"ROW  {n},{'xy'[n % 2]}\n" for n in range(30, 60)))
    with pytest.raises(DataError, match="10 of 30 examples are also in train"):
        load_splits(DataSection(train=str(train), test=str(test)), "text")
    splits = load_splits(DataSection(train=str(train), test=str(test), allow_leaks=True), "text")
    assert any("10 of 30" in note for note in splits.notes)


def test_no_validation_when_none_is_wanted(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\na,x\nb,y\n")
    splits = load_splits(DataSection(train=str(path), validation_fraction=0), "text")
    assert len(splits.train) == 2 and not splits.validation and not splits.test


def test_one_text_cannot_be_split(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("text,label\na,x\n")
    with pytest.raises(DataError, match="too few"):
        load_splits(DataSection(train=str(path)), "text")
