"""Questions on passages: SQuAD JSON, CMRC 2018, rows of JSON and CSV; answers that are not where they should be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fathom.data.load import detect_format, load_examples, load_splits, read_path
from fathom.data.section import DataSection
from fathom.errors import DataError

PASSAGE = "Ann was born in Berlin. Ann moved to Paris in 1990."
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the repository")


def write_squad(path, *questions, context=PASSAGE):
    """Write one passage with questions, each a tuple of the question and its `answers` (None for an unlabelled one)."""
    asked = [
        {"id": f"q{n}", "question": q, **({} if a is None else {"answers": a})} for n, (q, a) in enumerate(questions)
    ]
    article = {"title": "t", "paragraphs": [{"context": context, "qas": asked}]}
    path.write_text(json.dumps({"version": "1.1", "data": [article]}), encoding="utf-8")
    return str(path)


def at(text, start):
    return {"text": text, "answer_start": start}


def read(path, **options):
    return read_path(str(path), "questions", DataSection(train=str(path), **options))


def test_squad_json(tmp_path):
    path = write_squad(tmp_path / "dev.json", ("where?", [at("Berlin", 16), at("in Berlin", 13)]), ("when?", []))
    reading = read(path)
    assert detect_format(path, "questions", DataSection(train=path)) == "squad"
    first, second = reading.examples
    assert first == {
        "text": PASSAGE,
        "question": "where?",
        "answers": [{"text": "Berlin", "start": 16}, {"text": "in Berlin", "start": 13}],
        "where": f"{path}:1",
    }
    assert second["answers"] == []
    assert any(note.startswith("unanswerable: 1 of 2") for note in reading.notes)


def test_v2_says_impossible_whatever_its_plausible_answers(tmp_path):
    path = tmp_path / "v2.json"
    qas = [{"question": "who?", "is_impossible": True, "answers": [], "plausible_answers": [at("Ann", 0)]}]
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": PASSAGE, "qas": qas}]}]}), encoding="utf-8")
    assert read(path).examples[0]["answers"] == []


def test_the_older_form_of_cmrc(tmp_path):
    path = tmp_path / "cmrc.json"
    row = {"context_id": "T", "context_text": "光荣公司", "qas": [{"query_text": "哪个？", "answers": ["光荣"]}]}
    path.write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8")
    assert read(path).examples[0]["answers"] == [{"text": "光荣", "start": 0}]


def test_an_answer_beside_its_offset_is_moved_where_it_occurs_once(tmp_path):
    path = write_squad(tmp_path / "dev.json", ("where?", [at("Berlin", 15)]), ("when?", [at("1990", -1)]))
    reading = read(path)
    assert [example["answers"][0]["start"] for example in reading.examples] == [16, 46]
    assert any(note.startswith("moved: 2 of 2 answers") and note.endswith("1, 2") for note in reading.notes)


def test_an_answer_that_is_no_literal_part_is_kept_to_judge_by(tmp_path):
    path = write_squad(tmp_path / "dev.json", ("where?", [at("the capital", -1), at("Berlin", 16), at("Ann", 5)]))
    reading = read(path)
    assert [answer["start"] for answer in reading.examples[0]["answers"]] == [-1, 16, -1]
    assert any(note.startswith("not in the passage: 2 of 3 answers") for note in reading.notes)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (at("Rome", 16), "'Rome' does not occur in the passage"),
        (at("Ann", 5), "'Ann' occurs 2 times in the passage, and not at its offset"),
        (at("", 0), "an answer that is empty"),
        (at("Berlin", "x"), "the start 'x' is no whole number"),
        (at("Ber\x00lin", 16), "NUL"),
    ],
)
def test_questions_without_one_placed_answer_are_refused_or_skipped(tmp_path, answer, message):
    path = write_squad(tmp_path / "dev.json", ("where?", [answer]), ("when?", [at("1990", 46)]))
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert f"{path}:1" in str(caught.value)
    reading = read(path, on_error="skip")
    assert [example["question"] for example in reading.examples] == ["when?"]
    assert [row.where for row in reading.skipped] == [f"{path}:1"]
    assert json.loads(reading.skipped[0].row)["question"] == "where?"


def test_offsets_never_count_from_the_end(tmp_path):
    path = write_squad(tmp_path / "dev.json", ("when?", [at("1990", -5)]))
    assert read(path).examples[0]["answers"][0]["start"] == 46


@pytest.mark.parametrize(
    "row",
    [
        {"answers": {"text": ["Berlin"], "answer_start": [16]}},
        {"answers": [at("Berlin", 16)]},
        {"answers": [{"text": "Berlin", "start": 16}]},
        {"answers": ["Berlin"], "answer_start": [16]},
        {"answer": "Berlin", "answer_start": 16},
        {"answer": "Berlin"},
        {"answers": json.dumps(["Berlin"])},
    ],
)
def test_rows_of_json(tmp_path, row):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"context": PASSAGE, "question": "where?", **row}) + "\n", encoding="utf-8")
    assert read(path).examples[0]["answers"] == [{"text": "Berlin", "start": 16}]


def test_rows_without_answers_by_their_form(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"answers": {"text": [], "answer_start": []}}, {"answers": []}, {"answers": ""}, {"answers": ["Berlin"]}]
    path.write_text("".join(json.dumps({"context": PASSAGE, "question": "q?", **row}) + "\n" for row in rows))
    assert [len(example["answers"]) for example in read(path).examples] == [0, 0, 0, 1]


def test_csv_with_an_empty_cell_and_chinese_names(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("文章,问题,答案\n光荣公司,哪个？,光荣\n光荣公司,何时？,\n", encoding="utf-8")
    assert [example["answers"] for example in read(path).examples] == [[{"text": "光荣", "start": 0}], []]


def test_missing_answers_beside_given_ones_are_no_unanswerable_questions(tmp_path):
    path = write_squad(tmp_path / "dev.json", ("where?", [at("Berlin", 16)]), ("when?", None))
    with pytest.raises(DataError, match="missing here and given elsewhere"):
        read(path)


def test_files_without_any_answers_can_be_predicted_on_and_not_trained_on(tmp_path):
    path = write_squad(tmp_path / "dev.json", ("where?", None))
    assert "answers" not in load_examples(path, "questions")[0][0]
    with pytest.raises(DataError, match="no labels"):
        load_splits(DataSection(train=path), "questions")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": [{"paragraphs": 3}]}', "'paragraphs' is no list of objects"),
        ('{"data": [{"paragraphs": [{"context": "c", "qas": [1]}]}]}', "'qas' is no list of objects"),
        ('{"data": [{"paragraphs": []}]}', "no questions"),
        ('{"data": [{"paragraphs": [', "not valid JSON"),
        ('{"data": [{"paragraphs": [{"qas": [{"question": "q"}]}]}]}', "the context is missing"),
        ('{"data": [{"paragraphs": [{"context": "c", "qas": [{}]}]}]}', "the question is missing"),
    ],
)
def test_damaged_squad_files(tmp_path, content, message):
    path = tmp_path / "dev.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read(path)


def test_questions_on_one_passage_stay_on_one_side_of_a_split(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [
        {"context": f"passage {n // 4} says {n // 4}", "question": f"q{n}?", "answer": f"passage {n // 4}"}
        for n in range(80)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    splits = load_splits(DataSection(train=str(path), validation_fraction=0.25), "questions")
    assert len(splits.validation) == 20
    assert not {row["text"] for row in splits.train} & {row["text"] for row in splits.validation}


@shared
def test_cmrc_keeps_every_answer_and_moves_seven():
    examples, notes = load_examples(f"{SHARED}/cmrc2018/cmrc2018_dev.json", "questions")
    assert len(examples) == 3_219
    answers = [answer for example in examples for answer in example["answers"]]
    assert len(answers) == 9_657
    assert sum(answer["start"] < 0 for answer in answers) == 193
    assert all(
        example["text"].startswith(answer["text"], answer["start"])
        for example in examples
        for answer in example["answers"]
        if answer["start"] >= 0
    )
    assert any(note.startswith("moved: 7 of 9,657") for note in notes)
    assert any(note.startswith("not in the passage: 193 of 9,657") for note in notes)


@shared
def test_xquad_aligns():
    examples, notes = load_examples(f"{SHARED}/xquad_en/xquad.en.json", "questions")
    assert len(examples) == 1_190
    assert len({example["text"] for example in examples}) == 240
    assert not any(note.startswith(("moved", "not in", "unanswerable")) for note in notes)
