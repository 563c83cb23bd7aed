"""The check of a corpus."""

from __future__ import annotations

import json

from fathom.config import validate
from fathom.data.corpus.report import check_corpus
from fathom.data.section import DataSection


def write(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


def test_facts_and_findings(tmp_path):
    train = write(tmp_path / "train.jsonl", ["one two", "春眠不觉晓", "ONE  two", "three", "café"])
    dev = write(tmp_path / "dev.jsonl", ["Three", "â€œfour"])
    report = check_corpus(DataSection(train=train, validation=dev))
    facts = report.splits["train"]
    assert (facts["num_examples"], facts["characters"], facts["duplicates"]) == (5, 29, 1)
    assert facts["bytes"] == 29 + 10 + 1
    assert facts["scripts"] == {"LATIN": round(21 / 26, 4), "CJK": round(5 / 26, 4)}
    assert {(finding.kind, finding.severity) for finding in report.findings} == {
        ("duplicates", "warning"), ("leak", "warning"), ("wrong-encoding", "warning")
    }  # fmt: skip
    assert report.exit_code == 0
    assert "train: 5 documents, 29 characters" in report.to_text()


def test_what_cannot_be_read_is_an_error_in_the_report(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"text\x00")
    report = check_corpus(DataSection(train=str(tmp_path / "a.txt"), test="helpdesk:intents#3"))
    assert report.exit_code == 2
    assert report.findings[0].kind == "unreadable"
    assert "byte 4" in report.findings[0].message
    assert report.splits["test"]["num_examples"] == 3


def test_encodings_are_told(tmp_path):
    (tmp_path / "a.txt").write_text("中国人民的生活在这里是有意思的，我们都知道这一点。" * 9, encoding="gb18030")
    (tmp_path / "b.txt").write_text("plain")
    notes = check_corpus(DataSection(train=str(tmp_path))).notes
    assert "train: 1 file in GB18030" in notes and "train: 1 file in ASCII" in notes


def test_sources_of_training_are_told_from_splits(tmp_path):
    train = write(tmp_path / "train.jsonl", ["one", "two", "one"])
    more = write(tmp_path / "more.jsonl", ["two", "three", "three"])
    test = write(tmp_path / "test.jsonl", ["three", "four"])
    section = {"train": train, "mixture": {more: 0.5}, "test": test}
    report = check_corpus(DataSection(**section))
    assert list(report.splits) == ["train", f"mixture {more}", "test"]
    said = {finding.message: finding.severity for finding in report.findings}
    assert said == {
        "train: 1 of 3 documents repeat one before": "warning",
        f"mixture {more}: 1 of 3 documents repeat one before": "warning",
        f"mixture {more}: 1 documents are in another source of training too": "note",
        "test: 1 documents are in another split too": "warning",
    }
    assert "train: 3 documents, 9 characters (median 3, longest 3), 9 bytes; letters: LATIN 100.0%" in report.to_text()
    filtered = check_corpus(validate(DataSection, section | {"filters": ["exact-duplicates"]}))
    (finding,) = [finding for finding in filtered.findings if finding.message.startswith("train")]
    assert (finding.severity, finding.mend) == ("note", "")


def test_the_stated_format_is_checked_too(tmp_path):
    (tmp_path / "a.dat").write_text('{"text": "one"}\n{"text": "two"}\n')
    file = str(tmp_path / "a.dat")
    assert check_corpus(DataSection(train=file, format="jsonl")).splits["train"]["num_examples"] == 2
    report = check_corpus(DataSection(train=file, format="conll"))
    assert report.exit_code == 2
    assert "data.format: a corpus is not read from 'conll'\n" in report.to_text()
