"""Faulty data files, made here: none is read silently wrong, and each error says where, what and how to mend it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fathom.data.load import load_examples
from fathom.data.section import DataSection
from fathom.errors import DataError
from fathom.runs.data import check
from fathom.runs.guess import guess_data

HEADER = "text,label\n"
GOOD = "good one,pos\nbad one,neg\n"


@dataclass(frozen=True)
class Fault:
    """A file, and what its error must say: the line, the column, and words of the message."""

    name: str
    data: bytes
    line: int | None
    words: str
    column: str | None = None
    file: str = "data.csv"
    form: str = "text"
    options: dict[str, Any] = field(default_factory=dict)


def csv(name: str, text: str, line: int | None, words: str, column: str | None = None, **options: Any) -> Fault:
    return Fault(name, text.encode("utf-8", "surrogatepass"), line, words, column, "data.csv", "text", options)


def tsv(name: str, text: str, line: int | None, words: str, column: str | None = None, **options: Any) -> Fault:
    return Fault(name, text.encode(), line, words, column, "data.tsv", "text", options)


def jsonl(name: str, text: str, line: int | None, words: str, column: str | None = None, form: str = "text") -> Fault:
    return Fault(name, text.encode("utf-8", "surrogatepass"), line, words, column, "data.jsonl", form)


def conll(name: str, text: str, line: int | None, words: str, column: str | None = None, **options: Any) -> Fault:
    return Fault(name, text.encode(), line, words, column, "data.conll", "spans", options)


def spans(name: str, row: Any, words: str, column: str | None = "entities") -> Fault:
    good = {"text": "Anna left", "entities": [{"start": 0, "end": 4, "label": "PER"}]}
    return jsonl(name, f"{json.dumps(good)}\n{json.dumps(row)}\n", 2, words, column, "spans")


def tokens(name: str, row: Any, words: str, column: str | None) -> Fault:
    good = {"tokens": ["Anna", "left"], "tags": ["B-PER", "O"]}
    return jsonl(name, f"{json.dumps(good)}\n{json.dumps(row)}\n", 2, words, column, "spans")


GBK = "文本,标签\n我的订单还没有到，请问是什么时候发货的,物流\n"
LATIN = "text,label\ncafé très bon,pos\nnaïve idée déjà vue,neg\n".encode("latin-1")
JAPANESE = "text,label\n注文した商品がまだ届いていません,物流\n".encode("shift_jis")
TRADITIONAL = "text,label\n我的訂單還沒有到請問什麼時候會發貨呢謝謝,物流\n".encode("big5")
KOREAN = (
    "text,label\n" + "주문한 상품이 아직 도착하지 않았습니다 언제 배송되나요 확인 부탁드립니다,배송\n" * 3
).encode("euc-kr")

FAULTS = [
    # Encodings
    Fault("latin-1 bytes", LATIN, 2, "not UTF-8"),
    Fault("shift-jis bytes", JAPANESE, 2, "not UTF-8"),
    Fault("big5 bytes", TRADITIONAL, 2, "not UTF-8"),
    Fault("euc-kr bytes", KOREAN, 2, "not UTF-8"),
    Fault("utf-8 and gb18030 mixed", GBK.encode() + "另一个问题,其他\n".encode("gb18030"), 3, "not UTF-8"),
    Fault("one damaged byte in utf-8", (HEADER + "你好吗,pos\n").encode() + b"ok \xff ok,neg\n", 3, "0xff"),
    Fault("utf-8 cut within a character", (HEADER + "你好,pos\n你好").encode()[:-1], 3, "not UTF-8"),
    Fault("utf-16 cut within a character", "text,label\nabc,pos\n".encode("utf-16")[:-1], None, "UTF-16"),
    Fault("utf-16 with half a pair", b"\xff\xfe" + "text,label\na".encode("utf-16-le") + b"\x00\xd8,\x00", 2,
        "UTF-16"),
    Fault("stated encoding is wrong", GBK.encode(), 1, "not ascii", options={"encoding": "ascii"}),
    Fault("stated encoding is unknown", GBK.encode(), None, "klingon", options={"encoding": "klingon"}),
    Fault("stated encoding is no encoding of text", b"text\na\n", None, "hex", options={"encoding": "hex"}),
    # Delimited files
    csv("empty file", "", None, "empty"),
    csv("only white space", " \n\n\n", None, "empty"),
    csv("header only", HEADER, None, "no rows"),
    csv("unquoted comma", HEADER + GOOD + "well, then,pos\n", 4, "3 columns"),
    csv("missing last field", HEADER + "good one,pos\nbad one\n", 3, "1 columns"),
    csv("extra columns on one row", HEADER + "good one,pos,,,\n" + GOOD, 2, "5 columns"),
    csv("quote never closed", HEADER + GOOD + '"never,pos\nlast,neg\n', 4, "quote"),
    csv("quotes inside not doubled", HEADER + '"he said "hi" to me",pos\n' + GOOD, 2, "quoting"),
    csv("semicolon file", "text;label\ngood one;pos\nbad one;neg\n", 1, "semicolons"),
    csv("semicolon file with commas in it", "text;label\n1,5 stars;pos\nbad one;neg\n", 1, "semicolons"),
    csv("tab file called csv", "text\tlabel\ngood one\tpos\n", 1, "tabs"),
    csv("bar file called csv", "text|label\ngood one|pos\nbad one|neg\n", 1, "bars"),
    tsv("comma file called tsv", "text,label\ngood one,pos\nbad one,neg\n", 1, "commas"),
    csv("two columns of one name", "text,text,label\na,b,pos\n", 1, "two columns are called 'text'"),
    csv("empty label", HEADER + GOOD + "third one,\n", 4, "label is empty", "label"),
    csv("label of white space", HEADER + GOOD + "third one,  \n", 4, "label is empty", "label"),
    csv("label nan", HEADER + GOOD + "third one,nan\n", 4, "nan", "label"),
    csv("label NaN among numbers", HEADER + "a b,0.5\nc d,NaN\n", 3, "NaN", "label"),
    csv("empty text", HEADER + GOOD + ",pos\n", 4, "empty text"),
    csv("text of white space", HEADER + GOOD + '"  \n ",pos\n', 4, "empty text"),
    csv("NUL in a text", HEADER + GOOD + "th\x00ird,pos\n", 4, "NUL"),
    csv("no column for the text", "a,b\nx,y\n", 1, "names no columns", header=None),
    csv("no usual name", "alpha,beta\nx,y\n", 1, "'alpha', 'beta'", header=True),
    csv("mapped column is missing", HEADER + GOOD, 1, "did you mean 'label'", columns={"text": "text",
        "label": "lable"}),
    csv("mapped position is missing", HEADER + GOOD, 1, "2 columns", columns={"text": 0, "label": 2}),
    csv("label is a mapping", "text,label\nx,\"{'a': 'pos'}\"\n", 2, "targets", "label"),
    csv("targets are no mapping", "text,t\nx,\"{'a's': 'pos'}\"\n", 2, "mapping", "t", columns={"targets": "t"}),
    csv("empty label among several", HEADER + "x,a;b\ny,a;;b\n", 3, "empty label", "label", label_separator=";"),
    tsv("broken rows of a file without header", "1\tone\n2\ttwo\t\t\n1\tthree\n", 2, "4 columns",
        columns={"label": 0, "text": 1}),
    tsv("quoted line end read as plain", 'text\tlabel\n"two\nlines"\tpos\n', 2, "1 columns", quoting="none"),
    # JSON Lines and JSON
    jsonl("line that is no JSON", '{"text": "a", "label": "x"}\n{"text": "b", label: "y"}\n', 2, "not valid JSON"),
    jsonl("line that is cut", '{"text": "a", "label": "x"}\n{"text": "b", "la', 2, "not valid JSON"),
    jsonl("two objects in a line", '{"text": "a", "label": "x"}{"text": "b", "label": "y"}\n', 1, "not valid JSON"),
    jsonl("key given twice", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y", "label": "z"}\n', 2,
        "'label' is given twice"),
    jsonl("line that is a list", '{"text": "a", "label": "x"}\n["b", "y"]\n', 2, "not an object"),
    jsonl("line that is a number", '{"text": "a", "label": "x"}\n7\n', 2, "not an object"),
    jsonl("missing text", '{"text": "a", "label": "x"}\n{"label": "y"}\n', 2, "text is missing", "text"),
    jsonl("text is null", '{"text": "a", "label": "x"}\n{"text": null, "label": "y"}\n', 2, "text is missing",
        "text"),
    jsonl("text is a number", '{"text": "a", "label": "x"}\n{"text": 7, "label": "y"}\n', 2, "not a text", "text"),
    jsonl("missing label", '{"text": "a", "label": "x"}\n{"text": "b"}\n', 2, "label is empty", "label"),
    jsonl("label is null", '{"text": "a", "label": "x"}\n{"text": "b", "label": null}\n', 2, "label is empty",
        "label"),
    jsonl("label is NaN", '{"text": "a", "label": 0.5}\n{"text": "b", "label": NaN}\n', 2, "NaN", "label"),
    jsonl("labels of two kinds", '{"text": "a", "label": "1"}\n{"text": "b", "label": 1}\n', 2, "in line 1", "label"),
    jsonl("label and list of labels", '{"text": "a", "label": "x"}\n{"text": "b", "label": ["x"]}\n', 2, "list",
        "label"),
    jsonl("label is an object", '{"text": "a", "label": {"x": 1}}\n', 1, "mapping", "label"),
    jsonl("list of labels with a number", '{"text": "a", "label": ["x", 1]}\n', 1, "not a text", "label"),
    jsonl("lone surrogate in a text", '{"text": "a \\ud83d b", "label": "x"}\n', 1, "surrogate", "text"),
    jsonl("lone surrogate in a label", '{"text": "a", "label": "x\\ude00"}\n', 1, "surrogate", "label"),
    jsonl("escaped NUL in a text", '{"text": "a\\u0000b", "label": "x"}\n', 1, "NUL", "text"),
    jsonl("nested too deeply", '{"text": "a", "label": "x"}\n' + "[" * 100_000 + "\n", 2, "nested too deeply"),
    Fault("array that is cut", b'[{"text": "a", "label": "x"},\n {"text": "b", "label": "y"}', 2,
        "never closed", file="d.json"),
    Fault("array with a comma missing", b'[{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}]', 2,
        "not valid JSON", file="d.json"),
    Fault("object that holds no rows", b'{\n"version": 1}', 1, "not a list of rows", file="d.json"),
    Fault("gb18030 in JSON lines with a damaged byte",
        '{"text": "你好世界"}\n'.encode("gb18030") + b'{"text": "\xff"}\n', 1, "not UTF-8", file="d.jsonl"),
    # CoNLL
    conll("missing tag", "Anna\tB-PER\nleft\n\nBob\tB-PER\n", 2, "1 columns"),
    conll("space for a tab", "Anna\tB-PER\nleft O\nearly\tO\n", 2, "1 columns"),
    conll("tab for a space", "Anna B-PER\nleft\tO\nearly O\n", 2, "1 columns"),
    conll("one column too many", "Anna\tB-PER\nleft\tVBD\tO\nhome\tO\n", 2, "3 columns"),
    conll("unknown tag", "Anna\tB-PER\nleft\tX-PER\nhome\tO\n" + "on\tO\n" * 20, 2, "'X-PER' is no tag", "1"),
    conll("lower case o", "Anna\tB-PER\nleft\to\nhome\tO\n" + "on\tO\n" * 20, 2, "'o' is no tag", "1"),
    conll("zero for O", "Anna\tB-PER\nleft\t0\nhome\tO\n" + "on\tO\n" * 20, 2, "'0' is no tag", "1"),
    conll("empty word", "Anna\tB-PER\n\tO\nhome\tO\n", 2, "word is empty", "0"),
    conll("the wrong column is mapped", "Anna NNP B-PER\nleft VBD O\n", 1, "'NNP' is no tag", "1",
        columns={"tokens": 0, "tags": 1}),
    conll("no column holds tags", "Anna NNP x\nleft VBD y\n", 1, "no column holds tags"),
    conll("bioes tag in stated iob2", "Anna\tS-PER\nleft\tO\n", 1, "stated scheme iob2", "1", tag_scheme="iob2"),
    conll("mapped position is not there", "Anna\tB-PER\nleft\tO\n", 1, "2 columns", columns={"tags": 5}),
    conll("column mapped by a name that is not there", "Anna\tB-PER\nleft\tO\n", 1, "'ner'", columns={"tags": "ner"}),
    conll("only comments", "# one\n# two\n", None, "no sentences"),
    conll("NUL in a word", "An\x00na\tB-PER\nleft\tO\n", 1, "NUL"),
    # Words with tags, and character spans, as JSON lines
    tokens("more tags than words", {"tokens": ["a", "b"], "tags": ["O"]}, "1 tags for 2 words", "tags"),
    tokens("tags are numbers", {"tokens": ["a", "b"], "tags": [0, 1]}, "not a text", "tags"),
    tokens("tag of no scheme", {"tokens": ["a", "b"], "tags": ["O", "PER"]}, "'PER' is no tag", "tags"),
    tokens("words are no list", {"tokens": 3, "tags": ["O"]}, "not a list", "tokens"),
    tokens("an empty word", {"tokens": ["a", ""], "tags": ["O", "O"]}, "empty word", "tokens"),
    tokens("tags are missing", {"tokens": ["a", "b"]}, "tags are missing", None),
    spans("span out of the text", {"text": "Bob", "entities": [{"start": 0, "end": 9, "label": "PER"}]},
        "not inside"),
    spans("span before the text", {"text": "Bob", "entities": [{"start": -1, "end": 2, "label": "PER"}]},
        "not inside"),
    spans("empty span", {"text": "Bob", "entities": [{"start": 1, "end": 1, "label": "PER"}]}, "not inside"),
    spans("reversed span", {"text": "Bob", "entities": [{"start": 3, "end": 0, "label": "PER"}]}, "not inside"),
    spans("span of white space", {"text": "a  b", "entities": [{"start": 1, "end": 3, "label": "X"}]}, "white space"),
    spans("overlapping spans", {"text": "New York", "entities": [[0, 8, "LOC"], [4, 8, "ORG"]]}, "overlap"),
    spans("offsets that do not fit the given text", {"text": "a Bob", "entities": [{"start": 1, "end": 4,
        "label": "P", "text": "Bob"}]}, "covers ' Bo'"),
    spans("offsets as text", {"text": "Bob", "entities": [{"start": "0", "end": "3", "label": "PER"}]},
        "whole numbers"),
    spans("offsets as fractions", {"text": "Bob", "entities": [{"start": 0.0, "end": 3.0, "label": "PER"}]},
        "whole numbers"),
    spans("entity without a label", {"text": "Bob", "entities": [{"start": 0, "end": 3}]}, "label must be a text"),
    spans("entity that is a text", {"text": "Bob", "entities": ["Bob"]}, "no start, end and label"),
    spans("entities that are no list", {"text": "Bob", "entities": {"start": 0}}, "not a list of entities"),
]  # fmt: skip


def read(fault: Fault, folder: Path) -> DataError:
    path = folder / fault.file
    path.write_bytes(fault.data)
    section = DataSection(train=str(path), **fault.options)
    with pytest.raises(DataError) as caught:
        load_examples(str(path), fault.form, section)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_faulty_file_is_refused_with_place_and_mend(fault: Fault, tmp_path: Path) -> None:
    error = read(fault, tmp_path)
    said = str(error)
    assert fault.words in said
    assert error.mend
    if fault.options.get("encoding") not in {"klingon", "hex"}:
        assert fault.file in str(error.where)
    if fault.line is not None:
        assert f"{fault.file}:{fault.line}" in said, said
    if fault.column is not None:
        assert f"{fault.file}:{fault.line} column '{fault.column}'" in said, said


GUESSED = {
    "semicolon file", "semicolon file with commas in it", "tab file called csv", "bar file called csv",
    "comma file called tsv",
}  # fmt: skip
"""Faults that whoever writes a recipe for the file sees and mends."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_init_and_check_refuse_a_faulty_file_as_its_reader_does(fault: Fault, tmp_path: Path) -> None:
    path = tmp_path / fault.file
    path.write_bytes(fault.data)
    if fault.name in GUESSED:
        assert guess_data(str(path), fault.options).options["delimiter"]
        return
    with pytest.raises(DataError) as caught:
        guess_data(str(path), fault.options)
    assert caught.value.mend
    assert fault.file in str(caught.value.where) or fault.options.get("encoding") in {"klingon", "hex"}
    try:
        report = check(str(path), [f"{key}={json.dumps(value)}" for key, value in fault.options.items()])
    except DataError as error:
        assert error.mend
    else:
        assert report.exit_code == 2
        assert all(finding.mend for finding in report.findings)


def test_there_are_at_least_sixty_faults_of_different_names() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 60


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    rows = [f"row {number},pos" if number % 2 else f"row {number},a,b" for number in range(2, 102)]
    error = read(csv("many", HEADER + "\n".join(rows) + "\n", None, ""), tmp_path)
    assert error.message.startswith("50 problems in 50 rows")
    assert sum("data.csv:" in line for line in error.message.split("\n")) == 20
    assert "... and 30 more" in error.message


def test_problems_of_different_kinds_are_told_together(tmp_path: Path) -> None:
    text = '{"text": "a", "label": "x"}\nno json\n{"text": "b", "label": null}\n{"text": 5, "label": "x"}\n'
    error = read(jsonl("kinds", text, None, ""), tmp_path)
    assert [f"data.jsonl:{line}" in str(error) for line in (1, 2, 3, 4)] == [False, True, True, True]


SKIPPABLE = {
    "missing last field", "extra columns on one row", "unquoted comma", "empty label", "label nan", "NUL in a text",
    "quotes inside not doubled", "labels of two kinds", "broken rows of a file without header", "key given twice",
    "missing label", "line that is no JSON", "line that is a list", "text is a number",
}  # fmt: skip


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in SKIPPABLE], ids=lambda f: f.name)
def test_skipping_leaves_the_good_rows_exactly(fault: Fault, tmp_path: Path) -> None:
    path = tmp_path / fault.file
    path.write_bytes(fault.data)
    section = DataSection(train=str(path), on_error="skip", **fault.options)
    examples, notes = load_examples(str(path), "text", section)
    assert examples
    assert all(not str(example["where"]).endswith(f":{fault.line}") for example in examples)
    assert any(f"{fault.file}:{fault.line}" in note and "left out 1 of" in note for note in notes)


PARQUET = ["cut", "flipped", "fake", "empty"]


@pytest.mark.parametrize("damage", PARQUET)
def test_a_damaged_parquet_file_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "data.parquet"
    table = pa.table({"text": [f"text number {n}" for n in range(2000)], "label": ["a", "b"] * 1000})
    pq.write_table(table, path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data[len(data) // 3] ^= 0x10
    elif damage == "fake":
        data = bytearray(b"PAR1 this is no parquet file PAR1")
    else:
        data = bytearray()
    path.write_bytes(bytes(data))
    for read in (lambda path: load_examples(path, "text"), guess_data, check):
        with pytest.raises(DataError) as caught:
            read(str(path))
        assert "data.parquet" in str(caught.value.where)
        assert caught.value.mend
