"""Documents with a code before them: columns of records in a template; Python's own library as a corpus."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fathom.data.corpus.documents import python_files, read_documents
from fathom.data.corpus.template import columns_of, fill
from fathom.data.section import DataSection
from fathom.errors import ConfigError, DataError
from fathom.recipe import load_recipe

TEMPLATE = "[{topic}|{stars}] {text}!"
ROWS = [{"body": "good tea", "topic": "tea", "stars": 5}, {"body": "cold bread", "topic": "bread", "stars": 1}]


def write(folder: Path, kind: str) -> Path:
    path = folder / f"rows.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    elif kind == "json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif kind == "csv":
        lines = ["body,topic,stars", *(f"{row['body']},{row['topic']},{row['stars']}" for row in ROWS)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


def read(path: str, **options: object) -> list[str]:
    section = DataSection(train=path, **options)  # type: ignore[arg-type]
    return [document.text for document in read_documents(path, section)]


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_columns_stand_where_the_template_names_them(tmp_path: Path, kind: str) -> None:
    path = str(write(tmp_path, kind))
    assert read(path, document_template=TEMPLATE) == ["[tea|5] good tea!", "[bread|1] cold bread!"]
    assert read(path) == ["good tea", "cold bread"]


def test_labels_of_the_corpus_that_comes_along(tmp_path: Path) -> None:
    coded = read("helpdesk:intents@en#6", document_template="<{label}> {text}")
    plain = read("helpdesk:intents@en#6")
    assert all(text.startswith("<") and text.endswith(f"> {bare}") for text, bare in zip(coded, plain, strict=True))
    assert len({text.partition(">")[0] for text in coded}) == 6


def test_a_record_without_the_column_is_refused_or_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl")
    path.write_text(path.read_text(encoding="utf-8") + '{"body": "no topic", "stars": 2}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows\.jsonl:3: the record has no 'topic'"):
        read(str(path), document_template=TEMPLATE)
    assert len(read(str(path), document_template=TEMPLATE, on_error="skip")) == 2
    (tmp_path / "a.txt").write_text("running text", encoding="utf-8")
    with pytest.raises(DataError, match="running text has no columns"):
        read(str(tmp_path / "a.txt"), document_template=TEMPLATE)


def test_templates_that_cannot_be_are_refused(tmp_path: Path) -> None:
    assert columns_of("{a} {text} {b} {a}") == ("a", "b")
    assert fill("{a}: {text}", {"a": "{text}"}, "x", "t") == "{text}: x", "what a column says is no template"
    for data, said in (
        ("document_template: '[{topic}]'", "write {text}"),
        ("document_template: '{text}'", "only running text"),
    ):
        task = "causal-lm" if said == "write {text}" else "text-classification"
        (tmp_path / "r.yaml").write_text(
            f"model: minilm\ndata: {{train: c.csv, {data}}}\ntask: {task}\n", encoding="utf-8"
        )
        with pytest.raises(ConfigError) as caught:
            load_recipe(tmp_path / "r.yaml")
        assert said in str(caught.value)


def test_the_standard_library_is_a_corpus() -> None:
    files = python_files()
    assert len(files) > 200
    assert not any({"test", "tests", "site-packages"} & set(file.parts) for file in files)
    first = next(iter(read_documents("python:stdlib#1")))
    assert first.where.startswith(str(files[0]))
    assert first.text.startswith(files[0].read_text(encoding="utf-8")[:100])
