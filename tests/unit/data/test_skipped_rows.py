"""Rows that are left out are not lost: place, reasons and the row itself come out of every reader."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fathom.data.load import load_splits, read_path
from fathom.data.readers.problems import LONGEST_ROW
from fathom.data.section import DataSection
from fathom.errors import DataError


def skipped(folder, name, text, form="text", **options):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    reading = read_path(str(path), form, DataSection(train=str(path), on_error="skip", **options))
    return [(row.where.rpartition(":")[2], row.reasons, row.row) for row in reading.skipped]


def test_csv(tmp_path):
    text = 'text,label\nfine,a\nlost,a,b\n"over\ntwo lines",a,b\n"two\nlines",b\nno label,\nlast,b\n'
    found = skipped(tmp_path, "a.csv", text)
    assert [(line, row) for line, _, row in found] == [
        ("3", "lost,a,b"),
        ("4", '"over\ntwo lines",a,b'),
        ("8", "no label,"),
    ]
    assert found[0][1] == ("3 columns where there should be 2: lost | a | b",)
    assert found[2][1] == ("column 'label': the label is empty",)


def test_bad_quoting_is_kept_as_it_stands(tmp_path):
    found = skipped(tmp_path, "a.csv", 'text,label\nfine,a\nbad "quote" x,"b"c\nlast,b\nmore,a\n')
    assert [(line, row) for line, _, row in found] == [("3", 'bad "quote" x,"b"c')]


def test_json_lines(tmp_path):
    rows = [
        '{"text": "fine", "label": "a"}',
        '{"text": 7, "label": "a"}',
        "{broken",
        '{"text": "fine too", "label": "b"}',
    ]
    found = skipped(tmp_path, "a.jsonl", "\n".join(rows) + "\n")
    assert [(line, row) for line, _, row in found] == [("2", '{"text": 7, "label": "a"}'), ("3", "{broken")]


def test_conll_keeps_the_whole_sentence_once(tmp_path):
    text = "Anna\tB-PER\nis\tO\n\nBad\tX-1\nworse\tY-2\nfine\tO\n\nBerlin\tB-LOC\n"
    found = skipped(tmp_path, "a.conll", text, "spans", columns={"tokens": 0, "tags": 1})
    assert len(found) == 1
    line, reasons, row = found[0]
    assert (line, row) == ("4", "Bad\tX-1\nworse\tY-2\nfine\tO")
    assert len(reasons) == 2


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["fine", None, "fine too"], "label": ["a", "b", "b"]}), path)
    reading = read_path(str(path), "text", DataSection(train=str(path), on_error="skip"))
    assert [json.loads(row.row) for row in reading.skipped] == [{"text": None, "label": "b"}]


def test_a_row_of_enormous_length_is_named_only(tmp_path):
    found = skipped(tmp_path, "a.csv", f"text,label\nfine,a\n{'x' * LONGEST_ROW},a,b\nlast,b\n")
    assert [(line, row) for line, _, row in found] == [("3", None)]


def test_splits_say_which_file_a_row_is_from(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text(
            f"text,label\n{name} one,a\n{name} two,b\n{name} bad,a,b\n", encoding="utf-8"
        )
    train, test = str(tmp_path / "train.csv"), str(tmp_path / "test.csv")
    section = DataSection(train=train, test=test, validation_fraction=0, on_error="skip")
    rows = load_splits(section, "text").skipped
    assert [(row["split"], row["row"]) for row in rows] == [("train", "train bad,a,b"), ("test", "test bad,a,b")]
    with pytest.raises(DataError, match="3 columns"):
        load_splits(section.model_copy(update={"on_error": "refuse"}), "text")


def test_a_good_file_skips_nothing(tmp_path):
    assert skipped(tmp_path, "a.csv", "text,label\none,a\ntwo,b\n") == []
