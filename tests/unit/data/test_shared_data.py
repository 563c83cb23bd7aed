"""The traps of the shared data sets, as their READMEs tell them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from fathom.data.load import load_examples, load_splits
from fathom.data.section import DataSection
from fathom.errors import DataError

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the repository")


def entities(examples):
    return Counter(tag[2:] for example in examples for tag in example["tags"] if tag[0] == "B")


def assert_consistent(examples):
    for example in examples:
        assert len(example["words"]) == len(example["tags"])
        before = "O"
        for (start, end), tag in zip(example["words"], example["tags"], strict=True):
            assert 0 <= start < end <= len(example["text"])
            assert tag == "O" or tag[0] == "B" or before[2:] == tag[2:], example["where"]
            before = tag


def test_banking77_keeps_newlines_within_quotes_and_reads_crlf():
    section = DataSection(train=f"{SHARED}/banking77/train.csv", test=f"{SHARED}/banking77/test.csv")
    splits = load_splits(section, "text")
    assert len(splits.train) + len(splits.validation) == 10_003
    assert len(splits.test) == 3_080
    labels = {example["label"] for example in splits.train}
    assert len(labels) == 77
    assert not any("\r" in label or label != label.strip() for label in labels)
    with open(f"{SHARED}/banking77/test.csv", newline="", encoding="utf-8") as stream:
        assert [(e["text"], e["label"]) for e in splits.test] == [(row[0], row[1]) for row in csv.reader(stream)][1:]
    assert any("\n" in example["text"] for example in splits.test)
    assert {example["label"] for example in splits.validation} == labels
    assert set(splits.digests) == {"train", "test"}
    assert splits.digests["train"] == "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b"


def test_banking77_lines_are_those_of_an_editor():
    examples, _ = load_examples(f"{SHARED}/banking77/train.csv", "text")
    lines = (SHARED / "banking77" / "train.csv").read_text(encoding="utf-8").split("\n")
    for example in examples[::500]:
        line = int(example["where"].rpartition(":")[2])
        assert example["text"].split("\n")[0].replace('"', "") in lines[line - 1].replace('"', "")


def test_wnut17_counts():
    folder = f"{SHARED}/wnut17"
    section = DataSection(
        train=f"{folder}/wnut17train.conll",
        validation=f"{folder}/emerging.dev.conll",
        test=f"{folder}/emerging.test.annotated",
    )
    splits = load_splits(section, "spans")
    for examples, sentences, words, count in (
        (splits.train, 3_394, 62_730, 1_975),
        (splits.validation, 1_009, 15_733, 836),
        (splits.test, 1_287, 23_394, 1_079),
    ):
        assert len(examples) == sentences
        assert sum(len(example["words"]) for example in examples) == words
        assert entities(examples).total() == count
        assert_consistent(examples)


def test_sentfin_says_how_its_mapping_column_is_read():
    path = f"{SHARED}/sentfin/SEntFiN.csv"
    with pytest.raises(DataError, match=r"columns: 'S No\.', 'Title', 'Decisions', 'Words'"):
        load_splits(DataSection(train=path), "text")
    with pytest.raises(DataError, match="targets=Decisions"):
        load_splits(DataSection(train=path, columns={"text": "Title", "label": "Decisions"}), "text")


def test_sentfin_names_its_thirteen_bad_rows():
    path = f"{SHARED}/sentfin/SEntFiN.csv"
    section = DataSection(train=path, columns={"text": "Title", "targets": "Decisions"})
    with pytest.raises(DataError) as caught:
        load_splits(section, "text")
    assert "13 problems in 13 rows" in caught.value.message
    for number in (3615, 3783, 4909):
        assert f"SEntFiN.csv:{number + 1} column 'Decisions'" in caught.value.message


def test_sentfin_without_its_bad_rows_gives_one_example_for_each_decision():
    path = f"{SHARED}/sentfin/SEntFiN.csv"
    section = DataSection(train=path, columns={"text": "Title", "targets": "Decisions"}, on_error="skip")
    splits = load_splits(section, "text")
    examples = splits.train + splits.validation
    counts = Counter(example["label"] for example in examples)
    assert counts == {"neutral": 5_507, "positive": 5_060, "negative": 3_804}
    assert not {e["text"] for e in splits.train} & {e["text"] for e in splits.validation}
    assert any("left out 13 of 10753 rows" in note for note in splits.notes)


def test_sentfin_titles_alone():
    section = DataSection(train="x", columns={"text": "Title"})
    examples, _ = load_examples(f"{SHARED}/sentfin/SEntFiN.csv", "text", section)
    assert len(examples) == 10_753
    assert "label" not in examples[0]


def test_xed_has_no_header_and_several_labels():
    path = f"{SHARED}/xed/en-annotated.tsv"
    section = DataSection(train=path, columns={"text": 0, "label": 1}, label_separator=",")
    examples, _ = load_examples(path, "text", section)
    assert len(examples) == 17_528
    assert {label for example in examples for label in example["label"]} == set("12345678")
    assert examples[2]["label"] == ["8", "1"]


def test_xed_without_columns_is_asked_for():
    with pytest.raises(DataError, match="names no columns"):
        load_examples(f"{SHARED}/xed/en-annotated.tsv", "text")


def test_xed_chinese():
    path = f"{SHARED}/xed/cn-projections.tsv"
    section = DataSection(train=path, columns={"text": 0, "label": 1}, label_separator=",")
    examples, _ = load_examples(path, "text", section)
    assert len(examples) == 1_395
    assert (
        '"朋友"'
        in next(example for example in examples if "朋友" in example["text"] and "Anton" in example["text"])["text"]
    )


def test_xed_neutral_names_its_seven_malformed_lines():
    path = f"{SHARED}/xed/neu_en.txt"
    columns = {"label": 0, "text": 1}
    with pytest.raises(DataError, match="7 problems in 7 rows") as caught:
        load_examples(path, "text", DataSection(train=path, columns=columns))
    for line in (1318, 1461, 4424, 5154, 6914, 7402, 7643):
        assert f"neu_en.txt:{line}: 5 columns where there should be 2" in caught.value.message
    examples, notes = load_examples(path, "text", DataSection(train=path, columns=columns, on_error="skip"))
    assert len(examples) == 9_667
    assert any("1 blank lines skipped" in note for note in notes)


def test_uner_keeps_word_borders_in_the_raw_sentence():
    folder = f"{SHARED}/uner_zh_gsdsimp"
    section = DataSection(train=f"{folder}/zh_gsdsimp-ud-train.iob2", validation=f"{folder}/zh_gsdsimp-ud-dev.iob2")
    splits = load_splits(section, "spans")
    assert len(splits.train) == 3_997
    assert len(splits.validation) == 500
    assert sum(len(example["words"]) for example in splits.train) == 98_616
    assert entities(splits.train) == {"PER": 2_148, "LOC": 2_858, "ORG": 1_112}
    assert_consistent(splits.train)
    first = splits.train[0]
    assert first["text"].startswith("看似简单，只是二选一做决择，")
    assert [first["text"][start:end] for start, end in first["words"][:3]] == ["看似", "简单", "，"]
    assert any("words of 3997 sentences placed" in note for note in splits.notes)


def test_sec_filings_are_iob1_with_document_lines():
    section = DataSection(train=f"{SHARED}/sec_filings_ner/FIN5.txt", test=f"{SHARED}/sec_filings_ner/FIN3.txt")
    splits = load_splits(section, "spans")
    train = splits.train + splits.validation
    assert len(train) == 1_169 - 5
    assert len(splits.test) == 306 - 3
    lines = (SHARED / "sec_filings_ner" / "FIN5.txt").read_text(encoding="utf-8").split("\n")
    assert sum(len(example["words"]) for example in train) == sum(len(line.split()) == 4 for line in lines) - 5
    assert any("IOB1 (detected)" in note for note in splits.notes)
    assert_consistent(train)
    assert not any("DOCSTART" in example["text"] for example in train)


def test_csl_quotes_are_plain_characters():
    path = f"{SHARED}/csl/cls_ctg/train.tsv"
    examples, notes = load_examples(path, "text", DataSection(train=path, columns={"text": 1, "label": 2}))
    assert len(examples) == 8_000
    assert len({example["label"] for example in examples}) == 13
    assert any(example["text"].startswith('"物化劳动"') for example in examples)
    assert any("quotes are plain characters" in note for note in notes)


@pytest.mark.parametrize(("language", "split", "count"), [("eng_Latn", "train", 701), ("zho_Hans", "test", 204)])
def test_sib200(language, split, count):
    examples, _ = load_examples(f"{SHARED}/sib200/{language}/{split}.tsv", "text")
    assert len(examples) == count
    assert len({example["label"] for example in examples}) == 7


def test_finre_has_an_empty_second_line_each_time():
    path = f"{SHARED}/finre/train.txt"
    examples, notes = load_examples(path, "text", DataSection(train=path, columns={"text": 3, "label": 2}))
    assert len(examples) == 13_486
    assert any("13486 blank lines skipped" in note for note in notes)


def test_restaurant8k_texts_lie_in_an_object_and_zeros_are_left_out():
    path = f"{SHARED}/restaurant8k/train_3.json"
    with pytest.raises(DataError, match=r"inside the object: 'userInput\.text'"):
        load_examples(path, "spans", DataSection(train=path, columns={"text": "userInput", "entities": "labels"}))
    section = DataSection(train=path, columns={"text": "userInput.text", "entities": "labels"}, on_error="skip")
    examples, notes = load_examples(path, "spans", section)
    raw = json.loads(Path(path).read_text(encoding="utf-8"))
    assert (len(raw), len(examples)) == (1024, 1019), "five rows have one time as a date too"
    assert_consistent(examples)
    assert any(note == "363 rows without labels have no entity" for note in notes)
    assert sum(not entities([example]) for example in examples) == 363
    begun, left_out = Counter(), 0
    for row in raw:
        for label in row.get("labels", ()):
            begun[row["userInput"]["text"], label["valueSpan"].get("startIndex", 0)] += 1
            left_out += "startIndex" not in label["valueSpan"]
    found = Counter(
        (example["text"], word[0])
        for example in examples
        for word, tag in zip(example["words"], example["tags"], strict=True)
        if tag[0] == "B"
    )
    assert left_out == 153
    assert (begun - found).total() == 12, "eleven of the five rows, and one that begins with a space"
    assert sum(count for (_, start), count in found.items() if start == 0) >= 150
    assert set(entities(examples)) == {"date", "time", "people", "first_name", "last_name"}
