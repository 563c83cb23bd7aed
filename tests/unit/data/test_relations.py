"""Marked texts, columns of entities, whole annotated texts; what is wrong with them is named."""

from __future__ import annotations

import json

import pytest

from fathom.data.load import load_examples
from fathom.data.relations import is_negative, pair_problem, read_tagged
from fathom.data.section import DataSection
from fathom.errors import DataError


def read(path, form="relation", **options):
    return load_examples(str(path), form, DataSection(train=str(path), **options))


def spans(example):
    return tuple(example["text"][example[role]["start"] : example[role]["end"]] for role in ("head", "tail"))


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("marked", "text", "head", "tail"),
    [
        ("The <e1> child </e1> in a <e2> cradle </e2>.", "The child in a cradle.", "child", "cradle"),
        ("The <e1>child</e1> in a <e2>cradle</e2>.", "The child in a cradle.", "child", "cradle"),
        ("<e2>Rome</e2>, home of <e1>Bill</e1>", "Rome, home of Bill", "Bill", "Rome"),
        ("[E1]a[/E1] [E2] b [/E2]c", "a b c", "a", "b"),
        ("<head>东航</head>与<tail>上航</tail>合并", "东航与上航合并", "东航", "上航"),
        ("the <e1>new <e2>York</e2> Times</e1>", "the new York Times", "new York Times", "York"),
    ],
)
def test_marks_are_taken_out(marked, text, head, tail):
    plain, first, second = read_tagged(marked)
    assert plain == text
    assert plain[first["start"] : first["end"]] == head
    assert plain[second["start"] : second["end"]] == tail


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        ("no marks", "does not mark two entities"),
        ("<e1>a</e1> b", "no tail"),
        ("<e2>a</e2> b", "no head"),
        ("<e1>a</e1> <e1>b</e1> <e2>c</e2>", "two entities"),
        ("<e1>a <e2>b</e2>", "never closed"),
        ("a</e1> <e2>b</e2>", "closes nothing"),
        ("<e1> </e1> <e2>b</e2>", "nothing stands before"),
    ],
)
def test_broken_marks_are_named(marked, said):
    assert said in read_tagged(marked)


def test_negative_labels_are_told_by_name():
    assert [
        label for label in ("Other", "no_relation", "NA", "无关系", "Cause-Effect", "unknown") if is_negative(label)
    ] == [
        "Other",
        "no_relation",
        "NA",
        "无关系",
        "unknown",
    ]


def test_entities_that_cannot_be_marked():
    text = "one two three"
    assert "not inside" in pair_problem(text, {"start": 0, "end": 3}, {"start": 8, "end": 14})
    assert "white space" in pair_problem(text, {"start": 3, "end": 4}, {"start": 8, "end": 13})
    assert "same characters" in pair_problem(text, {"start": 0, "end": 3}, {"start": 0, "end": 3})
    assert "overlap" in pair_problem(text, {"start": 0, "end": 5}, {"start": 4, "end": 7})
    assert pair_problem(text, {"start": 0, "end": 7}, {"start": 4, "end": 7}) is None


def test_marked_text_in_a_table(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text(
        "holds(e1,e2)\tA <e1> box </e1> of <e2> nails </e2>.\nOther\t<e2>b</e2> <e1>a</e1>\n", encoding="utf-8"
    )
    examples, _ = read(path, columns={"label": 0, "text": 1})
    assert [spans(example) for example in examples] == [("box", "nails"), ("a", "b")]
    assert [example["label"] for example in examples] == ["holds(e1,e2)", "Other"]
    assert examples[0]["text"] == "A box of nails."


def test_published_semeval_file(tmp_path):
    path = tmp_path / "TRAIN_FILE.TXT"
    path.write_text(
        '1\t"The <e1>audits</e1> were about <e2>waste</e2>."\nMessage-Topic(e1,e2)\nComment: none\n\n'
        '2\t"He said "a <e1>b</e1>" to <e2>c</e2>."\nOther\nComment:\n\n',
        encoding="utf-8",
    )
    examples, notes = read(path)
    assert "format: SemEval-2010 task 8" in notes
    assert [spans(example) for example in examples] == [("audits", "waste"), ("b", "c")]
    assert [example["label"] for example in examples] == ["Message-Topic(e1,e2)", "Other"]
    assert examples[1]["text"] == 'He said "a b" to c.'
    assert examples[1]["where"].endswith(":5")


def test_columns_of_names_take_the_first_free_place(tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("head,tail,relation,text\n上海,上海汽车,owns,上海汽车属于上海\n", encoding="utf-8")
    examples, notes = read(path)
    assert spans(examples[0]) == ("上海", "上海汽车")
    assert examples[0]["head"]["start"] == 0  # the tail has not been placed yet, and has one place only
    assert any("several times" in note for note in notes)
    assert any("inside the other" in note for note in notes)


def test_token_spans_of_tacred_end_with_their_last_token(tmp_path):
    row = {
        "token": ["Bill", "Gates", "founded", "Microsoft", "."],
        "subj_start": 0,
        "subj_end": 1,
        "obj_start": 3,
        "obj_end": 3,
        "subj_type": "PERSON",
        "obj_type": "ORGANIZATION",
        "relation": "org:founded_by",
        "stanford_ner": ["PERSON"] * 5,
    }
    examples, notes = read(write_lines(tmp_path / "train.jsonl", [row]))
    assert spans(examples[0]) == ("Bill Gates", "Microsoft")
    assert examples[0]["head"]["type"] == "PERSON"
    assert any("last token" in note for note in notes)


def test_token_spans_of_fewrel_end_after_their_last_token(tmp_path):
    row = {
        "token": ["Bill", "Gates", "founded", "Microsoft"],
        "h": {"name": "bill gates", "id": "Q1", "pos": [0, 2]},
        "t": {"name": "microsoft", "id": "Q2", "pos": [3, 4]},
        "relation": "founded",
    }
    examples, _ = read(write_lines(tmp_path / "train.jsonl", [row]))
    assert spans(examples[0]) == ("Bill Gates", "Microsoft")


def test_character_spans(tmp_path):
    row = {
        "text": "Bill founded Microsoft",
        "head": {"start": 0, "end": 4, "type": "PER", "text": "Bill"},
        "tail": [13, 22, "ORG"],
        "label": "founded",
    }
    examples, _ = read(write_lines(tmp_path / "train.jsonl", [row]))
    assert spans(examples[0]) == ("Bill", "Microsoft")
    assert (examples[0]["head"]["type"], examples[0]["tail"]["type"]) == ("PER", "ORG")


def test_whole_texts_give_every_pair_of_related_types(tmp_path):
    rows = [
        {
            "text": "A costs 5 and B costs 7",
            "entities": [
                {"id": "a", "start": 0, "end": 1, "label": "ORDER"},
                {"id": "x", "start": 8, "end": 9, "label": "AMOUNT"},
                {"id": "b", "start": 14, "end": 15, "label": "ORDER"},
                {"id": "y", "start": 22, "end": 23, "label": "AMOUNT"},
            ],
            "relations": [{"head": "a", "tail": "x", "type": "costs"}, {"head": "b", "tail": "y", "type": "costs"}],
        }
    ]
    examples, _ = read(write_lines(tmp_path / "train.jsonl", rows))
    assert [(*spans(example), example["label"]) for example in examples] == [
        ("A", "5", "costs"),
        ("A", "7", "no-relation"),
        ("B", "5", "no-relation"),
        ("B", "7", "costs"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "short", "head": [0, 2], "tail": [3, 9], "label": "x"}, "not inside the text"),
        ({"text": "short text", "head": [0, 5], "tail": [0, 5], "label": "x"}, "same characters"),
        ({"text": "short text", "head": [0, 7], "tail": [6, 10], "label": "x"}, "overlap in part"),
        ({"text": "short text", "head": "long", "tail": "text", "label": "x"}, "does not occur"),
        (
            {"text": "short text", "head": {"start": 0, "end": 5, "text": "text"}, "tail": "text", "label": "x"},
            "covers",
        ),
        ({"text": "short text", "head": "short", "tail": "text", "label": 3}, "no label"),
        ({"text": "short text", "head": "short", "tail": None, "label": "x"}, "no place"),
    ],
)
def test_bad_rows_are_named_with_their_line(tmp_path, row, said):
    good = {"text": "short text", "head": "short", "tail": "text", "label": "x"}
    path = write_lines(tmp_path / "train.jsonl", [good, row])
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert f"{path}:2" in str(caught.value)
    examples, notes = read(path, on_error="skip")
    assert len(examples) == 1
    assert any("left out 1 of 2 rows" in note for note in notes)


def test_a_table_without_the_column_of_a_start_is_named(tmp_path):
    row = {"token": ["a", "b"], "subj_start": 0, "subj_end": 0, "obj_end": 1, "relation": "x"}
    with pytest.raises(DataError, match="the tail: None is no place"):
        read(write_lines(tmp_path / "train.jsonl", [row]))
    row = {"token": ["a", "b"], "t": {"pos": [1, 2]}, "relation": "x"}
    with pytest.raises(DataError, match="does not mark two entities"):
        read(write_lines(tmp_path / "other.jsonl", [row]))


def test_a_relation_of_an_entity_that_is_not_there(tmp_path):
    rows = [{"text": "a b", "entities": [[0, 1, "X"], [2, 3, "Y"]], "relations": [[0, 2, "costs"]]}]
    with pytest.raises(DataError, match="no entity of the text"):
        read(write_lines(tmp_path / "train.jsonl", rows))


def whole(entities, relations, text="New York Times of York"):
    return {"text": text, "entities": entities, "relations": relations}


def test_a_relation_of_an_entity_inside_the_other_is_kept_and_counted(tmp_path):
    row = whole([[0, 14, "ORG"], [4, 8, "LOC"], [18, 22, "LOC"]], [[0, 1, "named-after"]])
    examples, notes = read(write_lines(tmp_path / "train.jsonl", [row, whole([[4, 8, "LOC"]], [])]))
    found = [(*spans(example), example["label"]) for example in examples]
    assert found == [("New York Times", "York", "named-after"), ("New York Times", "York", "no-relation")]
    assert any(note.startswith("1 pairs have one entity inside the other") for note in notes)
    assert "1 texts hold no two entities of related types, and give no example" in notes


def test_as_triples_every_text_is_an_example_and_no_relation_is_lost(tmp_path):
    twice = whole([[0, 14, "ORG"], [4, 8, "LOC"], [18, 22, "LOC"]], [[0, 1, "named-after"], [0, 1, "lies-in"]])
    path = write_lines(
        tmp_path / "test.jsonl", [twice, whole([[0, 3, "LOC"]], [], "Rome and more"), whole([], [], "-")]
    )
    examples, notes = read(path, form="triples")
    assert [example["text"] for example in examples] == ["New York Times of York", "Rome and more", "-"]
    ends = {"head": {"start": 0, "end": 14, "type": "ORG"}, "tail": {"start": 4, "end": 8, "type": "LOC"}}
    assert examples[0]["triples"] == [{**ends, "label": "named-after"}, {**ends, "label": "lies-in"}]
    assert [example["triples"] for example in examples[1:]] == [[], []]
    assert not any("give no example" in note or "first relation" in note for note in notes)
    assert "1 pairs are related twice; the first relation was taken" in read(path)[1]


def test_as_triples_rows_of_one_text_are_one_example(tmp_path):
    rows = [
        {"text": "A paid B and C", "head": [0, 1, "P"], "tail": [7, 8, "P"], "label": "paid"},
        {"text": "other text", "head": [0, 5, "P"], "tail": [6, 10, "P"], "label": "none"},
        {"text": "A paid B and C", "head": [0, 1, "P"], "tail": [13, 14, "P"], "label": "paid"},
    ]
    examples, _ = read(write_lines(tmp_path / "test.jsonl", rows), form="triples")
    assert [(example["text"], len(example["triples"])) for example in examples] == [
        ("A paid B and C", 2),
        ("other text", 1),
    ]
    examples, _ = load_examples("helpdesk:relations/test@en#40", "triples")
    assert len(examples) == 40
    assert all(triple["head"]["type"] and triple["label"] for example in examples for triple in example["triples"])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (whole([[0, 3, "A"], [3, 4, "B"]], [[0, 1, "x"]]), "covers only white space"),
        (whole([[0, 8, "A"], [4, 14, "B"]], [[0, 1, "x"]]), "overlap in part"),
        (whole([[0, 8, "A"], [0, 8, "B"]], [[0, 1, "x"]]), "same characters"),
        (whole([{"id": 1, "start": 0, "end": 3}, {"id": 1, "start": 4, "end": 8}], []), "its id 1 is another's too"),
        (whole([{"id": [1], "start": 0, "end": 3}], []), "its id .* is no text"),
    ],
)
def test_bad_whole_texts_are_named_with_their_line(tmp_path, row, said):
    good = whole([[0, 3, "A"], [4, 8, "B"]], [[0, 1, "x"]])
    path = write_lines(tmp_path / "train.jsonl", [good, row])
    with pytest.raises(DataError, match=said) as caught:
        read(path)
    assert f"{path}:2" in str(caught.value)
