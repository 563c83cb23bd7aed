"""CoNLL columns, words with tags, character spans; tag schemes and words."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.load import load_examples
from fathom.data.readers.tags import detect_scheme, parse_tag, to_iob2
from fathom.data.readers.words import find_words, join_words, split_words
from fathom.data.section import DataSection
from fathom.errors import DataError


def read(folder, text, name="a.conll", **options):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return load_examples(str(path), "spans", DataSection(train=str(path), **options))


def words(example):
    return [example["text"][start:end] for start, end in example["words"]]


def test_two_columns(tmp_path):
    examples, notes = read(tmp_path, "Anna\tB-PER\nleft\tO\n\n\nBerlin\tB-LOC\n")
    assert [(words(e), e["tags"]) for e in examples] == [(["Anna", "left"], ["B-PER", "O"]), (["Berlin"], ["B-LOC"])]
    assert examples[1]["where"].endswith(":5")
    assert any("2 tab-separated columns" in note for note in notes)


@pytest.mark.parametrize("blank", ["", " ", "\t", "\t \t", "\r"])
def test_blank_lines_may_hold_white_space(tmp_path, blank):
    examples, _ = read(tmp_path, f"a\tO\n{blank}\nb\tB-X\n")
    assert len(examples) == 2


def test_four_columns_with_document_lines_and_crlf(tmp_path):
    document = "-DOCSTART- -X- O O\r\n\r\n"
    text = f"{document}U.N. NNP I-NP I-ORG\r\nofficial NN I-NP O\r\n\r\n{document}x NN I-NP O\r\n"
    examples, notes = read(tmp_path, text)
    assert [e["tags"] for e in examples] == [["B-ORG", "O"], ["O"]]
    assert any("tag in column 3" in note for note in notes)


def test_any_column_by_position_and_by_name(tmp_path):
    examples, _ = read(tmp_path, "B-PER x Anna\nO x left\n", columns={"tokens": 2, "tags": 0})
    assert words(examples[0]) == ["Anna", "left"]
    for options in ({}, {"columns": {"tokens": "word", "tags": "ner"}}):
        examples, _ = read(tmp_path, "id\tword\tpos\tner\n1\tAnna\tN\tB-PER\n2\tleft\tV\tO\n", **options)
        assert words(examples[0]) == ["Anna", "left"] and examples[0]["tags"] == ["B-PER", "O"]


def test_comments_and_the_words_that_look_like_them(tmp_path):
    text = "# sent_id = 1\n# text = Rick & co. #1\nRick O\n& O\nco. O\n# O\n1 B-X\n# a remark\n"
    examples, notes = read(tmp_path, text)
    assert examples[0]["text"] == "Rick & co. #1"
    assert words(examples[0]) == ["Rick", "&", "co.", "#", "1"]
    assert any("3 comment" in note for note in notes)


def test_multiword_lines_of_conll_u_are_no_words(tmp_path):
    text = "# text = vámonos al\n1-2\tvámonos\t_\n1\tvamos\tO\n2\tnos\tO\n3\tal\tB-X\n3.1\tempty\t_\n"
    examples, notes = read(tmp_path, text)
    assert len(examples[0]["tags"]) == 3
    assert any("do not fit" in note for note in notes)


def test_chinese_words_are_joined_without_spaces(tmp_path):
    examples, _ = read(tmp_path, "我\tO\n住在\tO\n北京\tB-LOC\n，\tO\n用\tO\niPhone\tO\n15\tO\n")
    assert examples[0]["text"] == "我住在北京，用iPhone 15"
    examples, _ = read(tmp_path, "我\tO\n北京\tB-LOC\n", word_join="space")
    assert examples[0]["text"] == "我 北京"


def test_untagged_columns(tmp_path):
    examples, _ = read(tmp_path, "Anna\nleft\n")
    assert "tags" not in examples[0]


def test_repairs_are_counted_and_placed(tmp_path):
    examples, notes = read(tmp_path, "a\tO\nb\tI-PER\n\nc\tB-PER\nd\tI-LOC\n\ne\tB-PER\nf\tI-PER\n\ng\tB-X\n")
    assert [e["tags"] for e in examples[:2]] == [["O", "B-PER"], ["B-PER", "B-LOC"]]
    assert any("repaired 2 tags" in note and "1 (word 2), 4 (word 2)" in note for note in notes)


def test_bare_types_only_when_stated(tmp_path):
    text = "Anna\tperson\nBell\tperson\nin\tO\nRome\tplace\n"
    with pytest.raises(DataError, match="no column holds tags"):
        read(tmp_path, text)
    examples, _ = read(tmp_path, text, tag_scheme="io")
    assert examples[0]["tags"] == ["B-person", "I-person", "O", "B-place"]


@pytest.mark.parametrize(
    ("tags", "scheme", "expected"),
    [
        ("B-X I-X O B-X", "iob2", "B-X I-X O B-X"),
        ("I-X I-X B-X O I-Y", "iob1", "B-X I-X B-X O B-Y"),
        ("B-X I-X E-X S-Y O", "bioes", "B-X I-X I-X B-Y O"),
        ("B-X M-X E-X S-Y O", "bioes", "B-X I-X I-X B-Y O"),
        ("B-X I-X L-X U-Y U-Y", "bioes", "B-X I-X I-X B-Y B-Y"),
        ("B I O", "iob2", "B-entity I-entity O"),
        ("B_X I_X O", "iob2", "B-X I-X O"),
        ("O O", "none", "O O"),
    ],
)
def test_schemes(tags, scheme, expected):
    schemed = to_iob2([tags.split()])
    assert schemed.scheme == scheme
    assert schemed.sentences == [expected.split()]
    assert not schemed.repairs


@pytest.mark.parametrize(
    ("tags", "count"), [("B-X I-X O S-X", 1), ("E-X O", 1), ("B-X B-X E-X", 1), ("B-X E-X I-X E-X", 1), ("B-X E-Y", 2)]
)
def test_broken_bioes_is_repaired_and_counted(tags, count):
    assert to_iob2([tags.split()], "bioes").repairs.total() == count


@given(st.lists(st.sampled_from(["O", "B-a", "I-a", "B-b", "I-b", "E-a", "S-b"]), max_size=12))
@settings(max_examples=150, deadline=None)
def test_conversion_gives_valid_iob2_and_stays_there(tags):
    once = to_iob2([tags]).sentences
    assert to_iob2(once, "iob2").sentences == once
    assert not to_iob2(once, "iob2").repairs
    assert [tag == "O" for tag in once[0]] == [tag == "O" for tag in tags]
    assert detect_scheme(once) in {"iob2", "none"}


def test_what_is_no_tag():
    assert [parse_tag(tag) for tag in ("o", "PER", "X-PER", "B-", "", "-", "b-per")] == [None] * 7


def test_words_with_tags_in_json(tmp_path):
    row = {"tokens": ["New", "York", "!"], "tags": ["B-LOC", "E-LOC", "O"]}
    examples, notes = read(tmp_path, json.dumps(row) + "\n", name="a.jsonl")
    assert examples[0] == {
        "text": "New York !",
        "words": [(0, 3), (4, 8), (9, 10)],
        "tags": ["B-LOC", "I-LOC", "O"],
        "where": f"{tmp_path}/a.jsonl:1",
    }
    assert any("BIOES" in note for note in notes)


def test_words_with_tags_in_cells(tmp_path):
    examples, _ = read(
        tmp_path, 'tokens,tags\nNew York,B-LOC I-LOC\n"[""a b"", ""c""]","[""O"", ""B-X""]"\n', name="a.csv"
    )
    assert [words(e) for e in examples] == [["New", "York"], ["a b", "c"]]


@pytest.mark.parametrize(
    "entities",
    [
        [{"start": 0, "end": 8, "label": "LOC"}],
        [[0, 8, "LOC"]],
        [{"start_offset": 0, "end_offset": 8, "label": "LOC"}],
        [{"start": 0, "end": 9, "type": "LOC", "text": "New York"}],
    ],
)
def test_character_spans(tmp_path, entities):
    row = {"text": "New York  now", "entities": entities}
    examples, _ = read(tmp_path, json.dumps(row) + "\n", name="a.jsonl")
    assert examples[0]["tags"][:3] == ["B-LOC", "I-LOC", "O"]


def test_spans_split_words_at_their_borders(tmp_path):
    row = {"text": "preNew Yorker北京市民", "entities": [[3, 11, "LOC"], [13, 15, "LOC"]]}
    examples, _ = read(tmp_path, json.dumps(row) + "\n", name="a.jsonl")
    assert words(examples[0]) == ["pre", "New", "York", "er", "北", "京", "市", "民"]
    assert examples[0]["tags"] == ["O", "B-LOC", "I-LOC", "O", "B-LOC", "I-LOC", "O", "O"]


def test_white_space_at_the_edge_of_a_span_is_told(tmp_path):
    row = {"text": "in Rome now", "entities": [[2, 8, "LOC"]]}
    examples, notes = read(tmp_path, json.dumps(row) + "\n", name="a.jsonl")
    assert examples[0]["tags"] == ["O", "B-LOC", "O"]
    assert any("1 entities begin or end with white space" in note for note in notes)


@given(st.text(alphabet=st.sampled_from("ab1 .,-_é́中文，🙂👨‍👩‍👧\t\n"), min_size=1, max_size=30), st.data())
@settings(max_examples=200, deadline=None)
def test_spans_come_back_from_the_words(text, data):
    borders = data.draw(st.lists(st.integers(0, len(text)), max_size=4))
    spans = split_words(text, borders)
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert not any(start < border < end for start, end in spans for border in borders)
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(character.isspace() for place, character in enumerate(text) if place not in covered)


def test_combining_marks_stay_with_their_letter():
    text = "ne\u0301e हिन्दी e\u0301 中\u0301"
    assert [text[start:end] for start, end in split_words(text)] == ["ne\u0301e", "हिन्दी", "e\u0301", "中\u0301"]


@given(
    st.lists(st.text(alphabet="ab中，.1", min_size=1, max_size=3), min_size=1, max_size=8),
    st.sampled_from(["auto", "space", "none"]),
)
@settings(max_examples=100, deadline=None)
def test_joined_words_are_where_they_are_said_to_be(given_words, join):
    text, spans = join_words(given_words, join)
    assert [text[start:end] for start, end in spans] == given_words
    assert find_words(text, given_words) == spans


def test_words_that_do_not_fit_their_text():
    assert find_words("a b", ["a", "c"]) is None
    assert find_words("a x b", ["a", "b"]) is None
    assert find_words("a b x", ["a", "b"]) is None
