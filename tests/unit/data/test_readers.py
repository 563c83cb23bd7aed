"""What the readers accept: formats, columns, labels."""

from __future__ import annotations

import json
import sys

import pytest

from fathom.data.load import load_examples, load_splits
from fathom.data.section import DataSection
from fathom.errors import ConfigError, DataError


def read(folder, name, text, form="text", **options):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return load_examples(str(path), form, DataSection(train=str(path), **options))


def rows(examples):
    return [(example["text"], example.get("label")) for example in examples]


def test_csv_with_guessed_columns(tmp_path):
    examples, notes = read(tmp_path, "a.csv", "id,Sentence,Category\n1,one two,x\n2,three,y\n")
    assert rows(examples) == [("one two", "x"), ("three", "y")]
    assert examples[0]["where"].endswith("a.csv:2")
    assert any("text = 'Sentence' (guessed), label = 'Category' (guessed)" in note for note in notes)


def test_csv_with_chinese_column_names(tmp_path):
    examples, _ = read(tmp_path, "a.csv", "标签,文本\n物流,还没到\n退款,退钱\n")
    assert rows(examples) == [("还没到", "物流"), ("退钱", "退款")]


def test_csv_keeps_newlines_quotes_and_commas_within_quotes(tmp_path):
    examples, _ = read(tmp_path, "a.csv", 'text,label\r\n"two\r\nlines, ""quoted""",x\r\nlast,y\r\n')
    assert rows(examples) == [('two\r\nlines, "quoted"', "x"), ("last", "y")]
    assert examples[1]["where"].endswith(":4")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_missing_last_one(tmp_path, end):
    examples, _ = read(tmp_path, "a.csv", end.join(["text,label", "one,x", "", "two,y"]))
    assert rows(examples) == [("one", "x"), ("two", "y")]


def test_labels_stay_what_they_are(tmp_path):
    labels = ["01", "1", "1.0", "NA", "null", "None", "true", "1e3"]
    examples, _ = read(
        tmp_path, "a.csv", "text,label\n" + "".join(f"NA {i},{label}\n" for i, label in enumerate(labels))
    )
    assert [example["label"] for example in examples] == labels


def test_numbers_in_json_stay_as_written(tmp_path):
    text = '{"text": "a", "label": 1.0}\n{"text": "b", "label": 1}\n{"text": "c", "label": 0.10}\n'
    examples, _ = read(tmp_path, "a.jsonl", text)
    assert [example["label"] for example in examples] == ["1.0", "1", "0.10"]


def test_white_space_around_labels_is_removed_and_told(tmp_path):
    examples, notes = read(tmp_path, "a.csv", "text,label\none, x\ntwo,x \n")
    assert {example["label"] for example in examples} == {"x"}
    assert any("2 labels" in note for note in notes)


def test_unlabelled_rows_have_no_label(tmp_path):
    for text in ("text\none\ntwo\n", "text,label\none,\ntwo,\n"):
        examples, _ = read(tmp_path, "a.csv", text)
        assert rows(examples) == [("one", None), ("two", None)]


def test_training_needs_labels(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,kind\none,x\ntwo,y\n")
    with pytest.raises(DataError, match="columns: 'text', 'kind'"):
        load_splits(DataSection(train=str(path)), "text")


def test_sentence_pairs(tmp_path):
    examples, _ = read(tmp_path, "a.tsv", "premise\thypothesis\tlabel\na\tb\tx\n")
    assert examples[0]["text_pair"] == "b"
    examples, _ = read(tmp_path, "b.tsv", "a\tb\tx\n", columns={"text": 0, "text_pair": 1, "label": 2})
    assert (examples[0]["text"], examples[0]["text_pair"], examples[0]["label"]) == ("a", "b", "x")


def test_positions_skip_a_header_that_is_one(tmp_path):
    examples, _ = read(tmp_path, "a.csv", "text,label\none,x\n", columns={"text": 0, "label": 1})
    assert rows(examples) == [("one", "x")]
    examples, _ = read(tmp_path, "a.csv", "text,label\none,x\n", columns={"text": 0, "label": 1}, header=False)
    assert rows(examples) == [("text", "label"), ("one", "x")]


@pytest.mark.parametrize("delimiter", [";", "semicolon"])
def test_other_delimiters(tmp_path, delimiter):
    examples, _ = read(tmp_path, "a.csv", 'text;label\n"a;b";x\n', delimiter=delimiter)
    assert rows(examples) == [("a;b", "x")]


def test_one_column_of_sentences_with_commas_is_no_other_separator(tmp_path):
    examples, _ = read(tmp_path, "a.tsv", "text\none, two\nthree\n")
    assert [example["text"] for example in examples] == ["one, two", "three"]


def test_several_labels(tmp_path):
    examples, _ = read(tmp_path, "a.csv", 'text,label\none,"a, b"\ntwo,b\nthree,\n', label_separator=",")
    assert [example["label"] for example in examples] == [["a", "b"], ["b"], []]
    examples, _ = read(tmp_path, "a.jsonl", '{"text": "x", "labels": ["a", "a", "b"]}\n{"text": "y", "labels": []}\n')
    assert [example["label"] for example in examples] == [["a", "b"], []]


def test_targets_become_pairs(tmp_path):
    row = json.dumps({"text": "Gold up, silver down", "t": {"Gold": "pos", "Silver": "neg"}})
    examples, _ = read(tmp_path, "a.jsonl", row + "\n", columns={"targets": "t"})
    assert [(e["text_pair"], e["label"]) for e in examples] == [("Gold", "pos"), ("Silver", "neg")]


def test_json_arrays_wrapped_or_not_know_their_lines(tmp_path):
    items = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    for text in (json.dumps(items, indent=1), json.dumps({"data": items}), json.dumps(items)):
        assert rows(read(tmp_path, "a.json", text)[0]) == [("a", "x"), ("b", "y")]
    examples, _ = read(tmp_path, "a.json", json.dumps(items, indent=1))
    assert [example["where"].rpartition(":")[2] for example in examples] == ["2", "6"]


def test_json_lines_in_a_json_file_and_the_other_way_round(tmp_path):
    assert rows(read(tmp_path, "a.json", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')[0])
    assert rows(read(tmp_path, "a.jsonl", '[{"text": "a", "label": "x"}]')[0]) == [("a", "x")]
    assert rows(read(tmp_path, "a.json", '{"text": "a", "label": "x"}\n')[0]) == [("a", "x")]


def test_unusual_names_are_told_by_content(tmp_path):
    assert rows(read(tmp_path, "a.txt", "text\tlabel\none\tx\n")[0]) == [("one", "x")]
    assert rows(read(tmp_path, "a.data", '{"text": "a", "label": "x"}\n')[0]) == [("a", "x")]
    with pytest.raises(DataError, match=r"data\.format"):
        read(tmp_path, "b.txt", "just prose\n")


def test_parquet_with_names_of_classes(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    }
    table = pa.table({"text": ["a", "b"], "label": [1, 0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, tmp_path / "a.parquet")
    examples, _ = load_examples(str(tmp_path / "a.parquet"), "text")
    assert rows(examples) == [("a", "pos"), ("b", "neg")]


def test_parquet_words_and_missing_labels(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"tokens": [["Anna", "left"]], "ner_tags": [["B-PER", "O"]]}), tmp_path / "a.parquet")
    examples, _ = load_examples(str(tmp_path / "a.parquet"), "spans")
    assert examples[0]["tags"] == ["B-PER", "O"]
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", None]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet:2 column 'label'"):
        load_examples(str(tmp_path / "b.parquet"), "text")


def test_a_hub_name_without_a_network_is_one_message(monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for module in ("huggingface_hub.constants", "datasets.config"):  # where it was read, if they are imported
        monkeypatch.setattr(f"{module}.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"nobody/nothing: no such file, and the hub data set cannot be loaded"):
        load_examples("nobody/nothing", "text")


def test_missing_files_suggest_a_near_name(tmp_path):
    (tmp_path / "train.csv").write_text("text,label\na,b\n")
    with pytest.raises(DataError, match=r"did you mean '.*train\.csv'"):
        load_examples(str(tmp_path / "trian.csv"), "text")
    with pytest.raises(DataError, match="this is a folder"):
        load_examples(str(tmp_path), "text")
    with pytest.raises(DataError, match="there is no folder"):
        load_examples(str(tmp_path / "nowhere" / "a.csv"), "text")


def test_empty_texts_within_the_allowed_share_are_left_out_and_told(tmp_path):
    text = "text,label\n" + "".join(f"row {n},x\n" for n in range(9)) + ",x\n"
    examples, notes = read(tmp_path, "a.csv", text, max_empty_share=0.1)
    assert len(examples) == 9
    assert any("1 of 10 rows have an empty text: lines 11" in note for note in notes)


def test_a_sample_is_seeded_and_in_file_order(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"{n},x\n" for n in range(100)))
    first, notes = load_examples(f"{path}#10", "text")
    again, _ = load_examples(f"{path}#10", "text")
    other, _ = load_examples(f"{path}#10", "text", DataSection(train="x", split_seed=8))
    assert first == again != other
    numbers = [int(example["text"]) for example in first]
    assert numbers == sorted(numbers) and len(numbers) == 10
    assert any("sampled 10 of 100" in note for note in notes)
    assert len(load_examples(f"{path}#1000", "text")[0]) == 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": {"txt": "a"}}, "did you mean 'text'"),
        ({"columns": {"text": -1}}, "positions count from 0"),
        ({"columns": {"text": "a", "label": "a"}}, "two roles"),
        ({"columns": {"tags": "a", "entities": "b"}}, "both"),
        ({"delimiter": "and"}, "not one character"),
        ({"encodign": "utf-8"}, "did you mean 'encoding'"),
    ],
)
def test_mistakes_in_the_section(options, words):
    from fathom.config import validate

    with pytest.raises(ConfigError, match=words):
        validate(DataSection, {"train": "a.csv", **options}, "data")


def test_names_of_positions_are_numbers():
    assert DataSection(train="a", columns={"tags": "3"}).columns == {"tags": 3}


def test_importing_the_loader_imports_nothing_heavy():
    import subprocess
    import sys

    heavy = ("torch", "transformers", "pandas", "datasets", "sklearn", "pyarrow")
    code = f"import sys, fathom.data.load; print([name for name in {heavy} if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def python_calls(work):
    """Count the Python functions that run: a measure of work that no load of the machine changes."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


@pytest.mark.parametrize(
    ("name", "form", "line", "most"),
    [
        ("a.csv", "text", "my card number {} has not arrived,late", 10),
        ("a.conll", "spans", "word{}\tO\nEnd\tB-X\n", 15),
    ],
)
def test_the_work_per_row_is_small_and_does_not_grow_with_the_file(tmp_path, name, form, line, most):
    def calls(count):
        head = "text,label\n" if name == "a.csv" else ""
        path = tmp_path / f"{count}{name}"
        path.write_text(head + "".join(f"{line.format(number)}\n" for number in range(count)), encoding="utf-8")
        section = DataSection(train=str(path))
        return python_calls(lambda: load_examples(str(path), form, section))

    calls(100)  # what is imported and compiled once is not counted
    few, many = calls(1_000), calls(4_000)
    assert (many - few) / 3_000 <= most
    assert many <= 4.2 * few
