"""Sources and targets: from every kind of file, and what is wrong with them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fathom.data.check import CheckOptions, check_splits
from fathom.data.load import load_examples, load_splits
from fathom.data.section import DataSection
from fathom.errors import DataError

ROWS = [("Good day.", "你好。"), ("Thank you, friend.", "谢谢你，朋友。"), ('He said "no".', "他说“不”。")]


def write(tmp_path, kind):
    path = tmp_path / f"data.{kind}"
    if kind == "csv":
        quoted = [f'"{source.replace(chr(34), chr(34) * 2)}","{target}"' for source, target in ROWS]
        path.write_text("\n".join(["source,target", *quoted]), encoding="utf-8")
    elif kind in ("tsv", "txt"):
        path.write_text("\n".join("\t".join(row) for row in ROWS), encoding="utf-8")
    elif kind == "jsonl":
        lines = [json.dumps({"source": s, "target": [t]}, ensure_ascii=False) for s, t in ROWS]
        path.write_text("\n".join(lines), encoding="utf-8")
    elif kind == "parquet":
        pq.write_table(pa.table({"en": [s for s, _ in ROWS], "zh": [t for _, t in ROWS]}), path)
    else:
        (tmp_path / "a.en").write_text("".join(f"{s}\n" for s, _ in ROWS), encoding="utf-8")
        (tmp_path / "a.zh").write_text("".join(f"{t}\n" for _, t in ROWS), encoding="utf-8")
        return f"{tmp_path / 'a.en'},{tmp_path / 'a.zh'}"
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "txt", "jsonl", "parquet", "parallel"])
def test_every_file_gives_the_same_pairs(kind, tmp_path):
    examples, notes = load_examples(write(tmp_path, kind), "writing")
    assert [(example["text"], example["references"]) for example in examples] == [(s, [t]) for s, t in ROWS]
    assert all(example["where"] for example in examples)
    assert notes


def test_a_sample_of_parallel_files(tmp_path):
    examples, notes = load_examples(f"{write(tmp_path, 'parallel')}#2", "writing")
    assert len(examples) == 2
    assert "sampled 2 of 3" in notes[-1]


def test_sentences_are_joined_and_references_stay_apart(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"source": ["One.", "Two."], "target": ["A", "", "B"]}, {"source": ["一。", "二。"], "target": "甲"}]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    examples, notes = load_examples(str(path), "writing")
    assert [example["text"] for example in examples] == ["One. Two.", "一。二。"]
    assert [example["references"] for example in examples] == [["A", "B"], ["甲"]]
    assert any("several references (up to 2); training takes the first, scores" in note for note in notes)


def test_empty_sides_are_counted_and_refused_above_the_share(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("source\ttarget\nx y\tz\n \tq\nb c\t\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"1 of 3 rows have an empty source: lines 3"):
        load_examples(str(path), "writing")
    examples, notes = load_examples(str(path), "writing", DataSection(train=str(path), max_empty_share=0.5))
    assert len(examples) == 1
    assert any("empty target: lines 4" in note for note in notes)


def test_a_file_of_sources_has_no_references_and_is_refused_for_training(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("source\ttarget\nx y\t\nb c\t\n", encoding="utf-8")
    examples, _ = load_examples(str(path), "writing")
    assert all("references" not in example for example in examples)
    with pytest.raises(DataError, match="no targets"):
        load_splits(DataSection(train=str(path)), "writing")


def test_what_is_no_text_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"source": "a", "target": 3}\n{"source": {"a": 1}, "target": "b"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"(?s)a\.jsonl:1.*target is a int.*a\.jsonl:2.*source is a dict"):
        load_examples(str(path), "writing")


def test_files_that_are_not_parallel(tmp_path):
    path = write(tmp_path, "parallel")
    (tmp_path / "a.zh").write_text("一\n二\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.en has 3 lines and .*a\.zh has 2"):
        load_examples(path, "writing")
    with pytest.raises(DataError, match="no such file"):
        load_examples(path + "x", "writing")


def test_three_columns_without_names_are_asked_for(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("x y\tz w\tq\nx y\tz w\tq\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"data\.columns\.source=0 data\.columns\.target=1"):
        load_examples(str(path), "writing")
    section = DataSection(train=str(path), columns={"source": 1, "target": 2})
    assert load_examples(str(path), "writing", section)[0][0]["references"] == ["q"]


def test_helpdesk_has_pairs():
    for kind in ("parallel", "tickets"):
        examples, _ = load_examples(f"helpdesk:{kind}#6", "writing")
        assert all(example["text"] and len(example["references"]) == 1 for example in examples)


def test_the_check_names_copies_odd_lengths_and_one_target_for_many():
    pairs = [{"text": f"sentence number {n}", "references": [f"Satz Nummer {n}"], "where": f"a:{n}"} for n in range(90)]
    pairs += [{"text": f"Same {n}", "references": [f"same {n} "], "where": f"b:{n}"} for n in range(3)]
    pairs.append({"text": "hi", "references": ["a very long answer " * 9], "where": "c:1"})
    pairs += [
        {"text": f"please open door {n}", "references": ["I do not know it"], "where": f"d:{n}"} for n in range(6)
    ]
    _, findings = check_splits({"train": pairs}, CheckOptions())
    found = {finding.kind: finding for finding in findings}
    assert found["identical-pair"].count == 3
    assert found["length-ratio"].count == 1
    assert "c:1" in found["length-ratio"].examples[0]
    assert found["repeated-target"].examples == ("6 times 'I do not know it'",)
