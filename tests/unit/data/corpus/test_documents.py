"""Reading the documents of a corpus."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fathom.data.corpus import pieces, records, streams
from fathom.data.corpus.documents import read_documents, source_files
from fathom.data.corpus.report import check_corpus
from fathom.data.section import DataSection
from fathom.errors import DataError


def section(**options):
    return DataSection(**{"train": "corpus", **options})


def texts(source, **options):
    return [document.text for document in read_documents(str(source), section(**options))]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_text_file_is_one_document(tmp_path):
    file = write(tmp_path / "a.txt", "\ufeffone\r\n\r\ntwo\r三\n")
    (document,) = read_documents(str(file))
    assert document.text == "one\n\ntwo\n三\n"
    assert document.where == f"{file}:1"
    assert not document.continues


@pytest.mark.parametrize(
    ("separator", "expected"),
    [
        (None, ["one\nand\n\n\ntwo\n---\nthree\n"]),
        ("line", ["one", "and", "two", "---", "three"]),
        ("blank-line", ["one\nand", "two\n---\nthree"]),
        ("---", ["one\nand\n\n\ntwo", "three"]),
    ],
)
def test_separators(tmp_path, separator, expected):
    file = write(tmp_path / "a.txt", "one\nand\n\n\ntwo\n---\nthree\n")
    assert texts(file, document_separator=separator) == expected


def test_places_name_the_line(tmp_path):
    file = write(tmp_path / "a.txt", "one\nand\n\n\ntwo\n\nthree\n")
    places = [document.where for document in read_documents(str(file), section(document_separator="blank-line"))]
    assert places == [f"{file}:1", f"{file}:5", f"{file}:7"]


@pytest.mark.parametrize("separator", [None, "blank-line"])
def test_long_text_comes_in_pieces(tmp_path, monkeypatch, separator):
    monkeypatch.setattr(pieces, "PIECE_CHARACTERS", 64)
    content = "".join(f"line {number} of the text\n" for number in range(40)) + "end"
    file = write(tmp_path / "a.txt", content)
    found = list(read_documents(str(file), section(document_separator=separator)))
    assert len(found) > 5
    assert "".join(piece.text for piece in found) == content
    assert [piece.continues for piece in found] == [True] * (len(found) - 1) + [False]
    assert all(len(piece.text) <= 64 and piece.text.endswith("\n") for piece in found[:-1])
    assert found[1].where == f"{file}:{1 + found[0].text.count(chr(10))}"


def test_pieces_do_not_depend_on_how_the_file_is_read(tmp_path, monkeypatch):
    from fathom.data.corpus import streams

    monkeypatch.setattr(pieces, "PIECE_CHARACTERS", 64)
    file = write(tmp_path / "a.txt", "".join(f"{number} 春眠不觉晓\n\n  words\r\n" for number in range(60)))
    expected = list(read_documents(str(file)))
    for size in (1, 7, 100):
        monkeypatch.setattr(streams, "CHUNK_BYTES", size)
        assert list(read_documents(str(file))) == expected


def test_pieces_are_cut_between_words(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_CHARACTERS", 16)
    assert pieces.cut_place("0123456789\nab\n\n  c" + "d" * 20) == 11  # not behind two line ends
    assert pieces.cut_place("0123456789 ab c" + "d" * 20) == 13  # before a space: it belongs to the next word
    assert pieces.cut_place("一二三四五六七八九。一二三四五六七八") == 10
    assert pieces.cut_place("x" * 40) == 16


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz"])
def test_json_lines(tmp_path, name):
    content = "".join(json.dumps({"id": 1, "text": text}) + "\n" for text in ("one", "", "二\nthree")) + "\n"
    data = content.encode()
    file = write(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    found = list(read_documents(str(file)))
    assert [document.text for document in found] == ["one", "二\nthree"]
    assert found[1].where == f"{file}:3"


@pytest.mark.parametrize("wrapped", ["%s", '{"data": %s}'])
def test_json_array_of_any_length(tmp_path, wrapped):
    records = [{"title": "t", "paragraphs": [f"床前明月光{number}", "疑是地上霜"]} for number in range(30_000)]
    file = write(tmp_path / "a.json", wrapped % json.dumps(records, ensure_ascii=False, indent=1))
    found = list(read_documents(str(file)))
    assert [document.text for document in found] == ["\n".join(record["paragraphs"]) for record in records]
    assert found[1].where == f"{file}:9"


def test_lines_are_counted_across_chunks(tmp_path, monkeypatch):
    from fathom.data.corpus import streams

    monkeypatch.setattr(streams, "CHUNK_BYTES", 7)
    file = write(tmp_path / "a.json", json.dumps([{"text": f"text {number}"} for number in range(9)], indent=1))
    assert [document.where for document in read_documents(str(file))] == [f"{file}:{2 + 3 * n}" for n in range(9)]


def test_the_suffix_tells_the_delimiter(tmp_path):
    assert texts(write(tmp_path / "my.tables.csv", "id,text\n1,one\n")) == ["one"]


def test_json_objects_without_a_list(tmp_path):
    file = write(tmp_path / "a.json", '{"text": "one"}\n{"text": "two"}')
    assert texts(file) == ["one", "two"]


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t"), ("a.tsv.gz", "\t")])
def test_delimited(tmp_path, name, mark):
    data = f"id{mark}text\n1{mark}one\n2{mark}二\n".encode()
    file = write(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    assert texts(file) == ["one", "二"]


def test_quoted_lines_in_a_csv(tmp_path):
    file = write(tmp_path / "a.csv", 'text,id\n"one\nand, more",1\ntwo,2\n')
    assert texts(file) == ["one\nand, more", "two"]


def test_parquet(tmp_path):
    table = pa.table({"id": list(range(1000)), "content": [f"text {number}" for number in range(1000)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=300)
    assert texts(tmp_path / "a.parquet") == table["content"].to_pylist()


def test_folders_and_globs(tmp_path):
    for name in ("b/two.txt", "a/one.txt", "a/readme.rst", ".git/no.txt", "c/three.jsonl"):
        write(tmp_path / name, '{"text": "three"}' if name.endswith("jsonl") else name)
    assert texts(tmp_path) == ["a/one.txt", "b/two.txt", "three"]
    assert texts(tmp_path / "*" / "*.txt") == ["a/one.txt", "b/two.txt"]
    assert texts(tmp_path / "**" / "*.jsonl") == ["three"]
    assert [file.name for file in source_files(str(tmp_path))] == ["one.txt", "two.txt", "three.jsonl"]


def test_the_readme_of_a_folder_is_no_text_of_it(tmp_path):
    for name in ("README.md", "a.txt", "b/README.md"):
        write(tmp_path / name, name)
    assert texts(tmp_path) == ["a.txt", "b/README.md"]
    assert texts(tmp_path / "*.md") == ["README.md"]
    assert "train: README.md is left out: it tells of the texts" in check_corpus(section(train=str(tmp_path))).notes
    (tmp_path / "a.txt").unlink()
    (tmp_path / "b/README.md").unlink()
    assert texts(tmp_path) == ["README.md"]


def test_first_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE_CHARACTERS", 8)
    write(tmp_path / "a.txt", "one two three four")
    write(tmp_path / "b.txt", "five")
    assert "".join(texts(f"{tmp_path}#1")) == "one two three four"
    assert "".join(texts(f"{tmp_path}#2")) == "one two three fourfive"
    with pytest.raises(DataError, match="0 documents"):
        texts(f"{tmp_path}#0")


def test_helpdesk():
    assert len(texts("helpdesk:intents#20")) == 20
    assert len(texts("helpdesk:entities#5")) == 5


@pytest.mark.parametrize("codec", ["gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_encodings_are_detected_behind_plain_ascii(tmp_path, codec):
    content = (
        "ascii only " * (20_000 if codec == "gb18030" else 10)
        + "\n中国人民的生活在这里是有意思的，我们都知道这一点。\n" * 50
    )
    file = write(tmp_path / "a.txt", content.encode(codec))
    assert "".join(texts(file)) == content


def test_encoding_told_only_after_the_first_chunk(tmp_path, monkeypatch):
    from fathom.data.corpus import streams

    monkeypatch.setattr(streams, "CHUNK_BYTES", 1000)
    content = "plain\n" * 1000 + "中国人民的生活在这里是有意思的，我们都知道这一点。\n" * 100
    file = write(tmp_path / "a.txt", content.encode("gb18030"))
    assert "".join(texts(file)) == content
    assert streams.tell_encoding(file) == "gb18030"


def test_stated_encoding(tmp_path):
    file = write(tmp_path / "a.txt", "café".encode("latin-1"))
    assert texts(file, encoding="latin-1") == ["café"]
    with pytest.raises(DataError, match="no encoding of text is called 'latn'"):
        texts(file, encoding="latn")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "no text"),
        ("a.txt", b" \n\n\t ", "no text"),
        ("a.txt", b"some text\n" * 300_000 + b"\x00\x01", "a NUL byte at byte 3,000,000"),
        ("a.txt", "多字节\n".encode() * 200_000 + b"\x00\x01", "a NUL byte at byte 2,000,000"),
        ("a.txt", bytes(range(256)) * 10, "binary, not text: a NUL byte at byte 0"),
        ("a.txt", b"PK\x03\x04" + bytes(100), "zip archive"),
        ("a.txt", b"%PDF-1.7\n" + bytes(100), "PDF"),
        ("a.txt", "好".encode() * 400_000 + b"\xff\xfe\xfd", "not utf-8: byte 1,200,000 is 0xff"),
        ("a.txt", b"\xff\xc3\x28 not text", "not UTF-8 .byte 0 is 0xff"),
        ("a.txt.gz", gzip.compress(b"text" * 10_000)[:-20], "not a whole gzip file"),
        ("a.txt.gz", b"not gzip", "not a whole gzip file"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "not valid JSON"),
        ("a.jsonl", b'{"text": "a"}\n{"other": "b"}\n', "a.jsonl:2: no 'text'"),
        ("a.jsonl", b'{"x": "a"}\n', "none of 'x' is known to hold the text"),
        ("a.jsonl", b'{"text": 3}\n', "the text is a int"),
        ("a.jsonl", b'{"text": "\\u0000"}\n', "a NUL character in the text"),
        ("a.jsonl", b'{"text": "\\ud800"}\n', "a lone surrogate"),
        ("a.jsonl", b"[1]\n", "a list, not an object"),
        ("a.json", b'[{"text": "a"}, {"text": ', "not valid JSON"),
        ("a.json", b'[{"text": "a"}', "not valid JSON"),
        ("a.json", b'[{"text": "a"}]\n\n[{"text": "b"}]', "behind the end of the array"),
        ("a.csv", b"text,id\none,1,2\n", "3 columns where there should be 2"),
        ("a.csv", b'text,id\n"one,1\n', "bad quoting"),
        ("a.parquet", b"PAR1 and more", "not a readable Parquet file"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, said):
    file = write(tmp_path / name, content)
    with pytest.raises(DataError, match=said) as caught:
        texts(file)
    assert caught.value.where.startswith(str(file))
    assert caught.value.mend


def test_bad_records_are_left_out_when_told(tmp_path, capsys):
    file = write(tmp_path / "a.jsonl", '{"text": "a"}\nnothing\n{"text": 3}\n{"text": "b"}\n')
    assert texts(file, on_error="skip") == ["a", "b"]
    assert "left out 2 bad records" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "said"),
    [("corpus.tx", "did you mean"), ("none/corpus.txt", "there is no folder"), ("*.csv", "no file matches")],
)
def test_missing_files(tmp_path, source, said):
    write(tmp_path / "corpus.txt", "text")
    with pytest.raises(DataError, match=said):
        texts(tmp_path / source)


def test_folder_without_text(tmp_path):
    write(tmp_path / "image.png", b"x")
    with pytest.raises(DataError, match="no file of text in this folder"):
        texts(tmp_path)


def test_columns(tmp_path):
    file = write(tmp_path / "a.jsonl", '{"body": "a", "text": "b"}\n')
    assert texts(file, columns={"text": "body"}) == ["a"]
    headless = tmp_path / "headless.csv"
    headless.write_text("7,a text\n8,another\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"names no columns(.|\n)*text=0 in a recipe, --column=0 in a command$"):
        texts(headless)
    assert texts(headless, columns={"text": "1"}) == ["a text", "another"]
    with pytest.raises(DataError, match="no column is called 'bdy'"):
        texts(file, columns={"text": "bdy"})


@pytest.mark.parametrize(
    ("name", "content", "format_", "expected"),
    [
        ("a.dat", '{"text": "a"}\n{"text": "b"}\n', "jsonl", ["a", "b"]),
        ("a.jsonl", '[{"text": "a"}, {"text": "b"}]', "json", ["a", "b"]),
        ("a.txt", "text,id\na,1\n", "csv", ["a"]),
        ("a.csv", "text\tid\na,b\t1\n", "tsv", ["a,b"]),
        ("a.tsv", "text,id\na,1\n", "csv", ["a"]),
    ],
)
def test_the_stated_format_comes_before_the_name(tmp_path, name, content, format_, expected):
    file = write(tmp_path / name, content)
    assert texts(file, format=format_) == expected


@pytest.mark.parametrize(
    ("name", "said"),
    [("conll", "'conll'"), ("hub", "'hub'"), ("jsnl", "did you mean 'jsonl'"), ("helpdesk", "helpdesk")],
)
def test_formats_no_corpus_has_are_refused(tmp_path, name, said):
    file = write(tmp_path / "a.jsonl", '{"text": "a"}\n')
    with pytest.raises(DataError, match=said) as caught:
        texts(file, format=name)
    assert caught.value.where == "data.format"
    assert "parquet" in caught.value.mend


def test_built_in_texts_have_their_own_format():
    assert len(texts("helpdesk:intents#3", format="helpdesk")) == 3
    with pytest.raises(DataError, match="'conll'"):
        texts("helpdesk:intents#3", format="conll")


@pytest.mark.parametrize(
    "wrong", ['{"text": "b",, "id": 1}', '{"text": tru1}', '{"text": "b" "c"}', '{"text": "\\q"}', '{"text": "a\nb"}']
)
def test_a_syntax_error_is_told_without_reading_on(tmp_path, monkeypatch, wrong):
    read = []

    def chunks(file, encoding):
        for number in range(1000):
            read.append(number)
            yield '[\n{"text": "a"},\n' + wrong + "\n" if not number else ', {"text": "more and more"}' * 100

    monkeypatch.setattr(records, "read_chunks", chunks)
    with pytest.raises(DataError, match="not valid JSON") as caught:
        list(records.read_json(tmp_path / "a.json", section()))
    assert caught.value.where == f"{tmp_path / 'a.json'}:3"
    assert len(read) <= 3


@pytest.mark.parametrize("size", range(1, 24))
def test_objects_may_be_cut_anywhere(tmp_path, monkeypatch, size):
    monkeypatch.setattr(streams, "CHUNK_BYTES", size)
    written = json.dumps(
        [{"x": [-1.5e-3, None, True, {}], "text": "\U0001f600 \u00e9 \\ end"}, {"text": "b" * 99}], indent=9
    )
    file = write(tmp_path / "a.json", written)
    assert texts(file) == ["\U0001f600 \u00e9 \\ end", "b" * 99]


def test_records_nested_too_deeply_are_named(tmp_path):
    file = write(tmp_path / "a.json", '[{"text": ' + "[" * 200_000 + "]" * 200_000 + "}]")
    with pytest.raises(DataError, match="nested too deeply") as caught:
        texts(file)
    assert caught.value.where == f"{file}:1"
