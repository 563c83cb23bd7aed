"""runs.predict: files in, rows and files out."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fathom import device
from fathom.cli.main import app
from fathom.data.readers.base import Form
from fathom.errors import ConfigError, DataError, InputError, ModelError
from fathom.runs.evaluate import evaluate
from fathom.runs.merge import merge
from fathom.runs.predict import how_to_read, predict, read_inputs
from fathom.serving.predictor import Predictor
from folders_for_tests import TEXTS, Saved, make_saved


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(make_saved(tmp_path_factory.mktemp("text")).folder)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    saved: Saved = make_saved(tmp_path_factory.mktemp("spans"), "full", "token-classification")
    return Predictor.load(saved.folder)


def test_texts(classifier: Predictor, tagger: Predictor) -> None:
    rows = predict(classifier, TEXTS)
    assert [row["text"] for row in rows] == TEXTS
    assert all(set(row["probabilities"]) == {"pet", "person", "other"} for row in rows)
    assert "probabilities" not in predict(classifier, TEXTS, probabilities=False)[0]
    for row in predict(tagger, TEXTS):
        assert all(row["text"][entity["start"] : entity["end"]] == entity["text"] for entity in row["entities"])


@pytest.mark.parametrize("name", ["in.txt", "in.csv", "in.tsv", "in.jsonl", "in.json", "gb.txt"])
def test_files(classifier: Predictor, tagger: Predictor, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = io.StringIO()
    writer = csv.writer(table, delimiter="\t" if name.endswith("tsv") else ",")
    writer.writerows([["text"], *[[text] for text in TEXTS]])
    rows = [{"text": text} for text in TEXTS]
    content = {
        "in.txt": "\n".join(TEXTS) + "\n",
        "gb.txt": "\r\n".join(TEXTS),
        "in.jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "in.json": json.dumps(rows),
    }.get(name, table.getvalue())
    path.write_bytes(content.encode("gb18030" if name == "gb.txt" else "utf-8"))
    for predictor in (classifier, tagger):
        assert predict(predictor, path) == predict(predictor, TEXTS)


def test_an_empty_line_is_an_empty_text(classifier: Predictor, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n\nthe\n")
    assert [row["text"] for row in predict(classifier, tmp_path / "in.txt")] == ["a", "", "the"]


def test_columns_are_named(classifier: Predictor, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,utterance\n1,the\n2,a\n")
    rows = predict(classifier, tmp_path / "in.csv", read={"columns": {"text": "utterance"}})
    assert [row["text"] for row in rows] == ["the", "a"]


def test_a_file_is_read_as_the_training_files_were_unless_told_otherwise(classifier: Predictor, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id;utterance\n1;the, a\n2;a\n")
    with pytest.raises(DataError, match="delimiter=semicolon"):
        predict(classifier, tmp_path / "in.csv")
    read = {"delimiter": ";", "columns": {"text": "utterance"}}
    rows = predict(classifier, tmp_path / "in.csv", read=read)
    assert [row["text"] for row in rows] == ["the, a", "a"]
    saved = {"data": {**read, "columns": {"text": "utterance", "label": "topic"}, "on_error": "skip"}}
    assert how_to_read(saved) == read
    assert how_to_read(saved, {"delimiter": ","}) == {**read, "delimiter": ","}
    with pytest.raises(ConfigError, match="delimeter"):
        predict(classifier, tmp_path / "in.csv", read={"delimeter": ";"})


def test_the_command_takes_what_the_message_says(tmp_path: Path) -> None:
    folder = make_saved(tmp_path).folder
    (tmp_path / "in.csv").write_text("id;utterance\n1;the, a\n")
    asked = ["predict", str(folder), str(tmp_path / "in.csv"), "--read", "columns.text=utterance", "--json"]
    refused = CliRunner().invoke(app, asked)
    assert refused.exit_code == 2
    assert "data.delimiter=semicolon" in refused.output
    found = CliRunner().invoke(app, [*asked, "--read", "data.delimiter=semicolon"])
    assert json.loads(found.stdout)[0]["text"] == "the, a"


def test_what_the_command_cannot_honour_is_refused(tmp_path: Path) -> None:
    tagger = make_saved(tmp_path / "spans", "full", "token-classification").folder
    refused = CliRunner().invoke(app, ["predict", str(tagger), "the", "--probabilities"])
    assert refused.exit_code == 2
    assert "a model for token-classification gives neither labels' probabilities nor other answers" in refused.output
    assert "mend: leave out --probabilities" in refused.output
    assert CliRunner().invoke(app, ["predict", str(tagger), "the"]).exit_code == 0
    adapters = [str(make_saved(tmp_path / name, "lora", "token-classification").folder) for name in ("one", "two")]
    asked = ["predict", adapters[0], "the", "--adapter", f"other={adapters[1]}"]
    assert "gives neither" in CliRunner().invoke(app, [*asked, "--probabilities"]).output


@pytest.mark.parametrize("native", [True, False])
def test_low_precision_is_honoured_or_refused(
    native: bool, classifier: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = replace(device.probe_machine(), bf16_native=native, device="cpu", gpu=None)
    monkeypatch.setattr(device, "probe_machine", lambda: machine)
    loaded: list[str] = []
    real = Predictor.logits
    monkeypatch.setattr(Predictor, "logits", lambda self, batch: loaded.append(self.precision) or real(self, batch))
    asked = ["predict", str(classifier.folder), "the", "--precision", "bf16", "--json"]
    found = CliRunner().invoke(app, asked)
    if native:
        assert found.exit_code == 0, found.output
        assert loaded == ["bf16"]
        assert set(json.loads(found.stdout)[0]) == {"text", "label", "score"}
    else:
        assert found.exit_code == 2
        assert "bf16" in found.output
        assert loaded == []


def test_a_column_that_the_task_does_not_read_is_refused(classifier: Predictor, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text,label,ner\nthe,pet,O\n")
    for given in ({"columns": {"tags": "ner"}}, {"tag_scheme": "io"}):
        with pytest.raises(ConfigError, match=r"text-classification does not read data\.(columns\.tags|tag_scheme)"):
            predict(classifier, tmp_path / "in.csv", read=given)
    with pytest.raises(ConfigError, match=r"does not read data\.columns\.tags"):
        evaluate(str(classifier.folder), str(tmp_path / "in.csv"), ["columns.tags=ner"])


def test_standard_input(classifier: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    class Given:
        buffer = io.BytesIO("the\n北京\n".encode())

    monkeypatch.setattr("sys.stdin", Given())
    assert [row["text"] for row in predict(classifier, "-")] == ["the", "北京"]


def test_json_lines_out(tagger: Predictor, tmp_path: Path) -> None:
    rows = predict(tagger, TEXTS, output=tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(rows))


def test_csv_out(classifier: Predictor, tagger: Predictor, tmp_path: Path) -> None:
    odd = [*TEXTS, 'a, "quoted"\nline']
    rows = predict(classifier, odd, output=tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [row["text"] for row in found] == odd
    assert [row["label"] for row in found] == [row["label"] for row in rows]
    assert [float(row["probability pet"]) for row in found] == [row["probabilities"]["pet"] for row in rows]
    rows = predict(tagger, odd, output=tmp_path / "tags.csv")
    with (tmp_path / "tags.csv").open(encoding="utf-8", newline="") as stream:
        assert [json.loads(row["entities"]) for row in csv.DictReader(stream)] == [row["entities"] for row in rows]


@pytest.mark.parametrize(
    ("inputs", "output", "error", "message"),
    [
        ("missing.csv", None, DataError, "no such file"),
        ("missing.txt", None, DataError, "no such file"),
        ("empty.txt", None, DataError, "no line of text"),
        ("nul.txt", None, DataError, r"nul\.txt:2: a NUL character"),
        ("bad.jsonl", None, DataError, r"bad\.jsonl:2"),
        ("good.txt", "out.xlsx", ConfigError, "neither .jsonl nor .csv"),
        ("good.csv", "good.csv", ConfigError, "take the place of the input"),
        ("good.txt", "good.csv/out.jsonl", InputError, "is a file"),
        (["a", 3], None, DataError, "input 2"),
    ],
)
def test_bad_input_is_named_and_nothing_written(
    classifier: Predictor, tmp_path: Path, inputs: Any, output: str | None, error: type[Exception], message: str
) -> None:
    for name, content in {
        "empty.txt": "",
        "nul.txt": "a line of text\nand b\0c, another\n" + "more\n" * 9,
        "bad.jsonl": '{"text": "a"}\n{"text": \n',
        "good.txt": "a\n",
        "good.csv": "text\na\n",
    }.items():
        (tmp_path / name).write_text(content)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    given = str(tmp_path / inputs) if isinstance(inputs, str) else inputs
    with pytest.raises(error, match=message) as caught:
        predict(classifier, given, output=tmp_path / output if output else None)
    assert caught.value.mend  # type: ignore[attr-defined]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_that_may_not_be_read_is_named(
    classifier: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))  # root may read everything

    for name in ("a.txt", "a.csv"):
        (tmp_path / name).write_text("text\na\n")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    for name in ("a.txt", "a.csv"):
        with pytest.raises(DataError) as caught:
            predict(classifier, tmp_path / name)
        assert name in str(caught.value.where) and "permissions" in str(caught.value.mend)


@pytest.mark.parametrize(
    ("form", "name", "content", "count"),
    [
        ("text", "a.csv", "text,label\none,x\ntwo,\n", 2),
        ("text", "a.jsonl", '{"text": "one", "label": "x"}\n{"text": "two", "label": 3}\n', 2),
        ("questions", "q.jsonl", '{"question": "q", "context": "c", "answers": [{"text": "e"}]}\n', 1),
        ("questions", "q.json", '{"data": [{"context": "c d", "qas": [{"question": "q", "answers": 3}]}]}', 1),
        ("spans", "s.jsonl", '{"text": "Ann lives", "entities": [{"start": 5, "end": 99, "label": "x"}]}\n', 1),
        ("spans", "w.jsonl", '{"tokens": ["Ann", "lives"], "tags": ["B-PER"]}\n', 1),
        ("spans", "t.conll", "Ann Z-PER\nlives O\n", 1),
        ("spans", "n.conll", "word tag\nAnn Z-PER\n", 1),
        ("relation", "r.jsonl", '{"text": "<e1>a</e1> b <e2>c</e2>", "label": 3}\n', 1),
        ("pairs", "p.csv", "query,passage,score\nq,p,much\n", 1),
        ("writing", "w.csv", "source,target\ns,\nt,u\n", 2),
    ],
)  # fmt: skip
def test_what_a_file_says_of_its_answers_is_not_looked_at(
    tmp_path: Path, form: Form, name: str, content: str, count: int
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    rows = read_inputs(tmp_path / name, form)
    assert len(rows) == count
    known = {"text", "text_pair", "words", "head", "tail", "question", "where"}
    assert all(row.keys() <= known for row in rows)


def test_files_are_read_whatever_their_classes(tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="pillow is not installed")
    from media_for_tests import png

    (tmp_path / "red").mkdir()
    (tmp_path / "none").mkdir()
    (tmp_path / "red" / "a.png").write_bytes(png((9, 9, 9), 0))
    (tmp_path / "b.png").write_bytes(png((9, 9, 9), 1))
    (tmp_path / "t.csv").write_text("image,label\nb.png,\nred/a.png,x\n")
    assert len(read_inputs(tmp_path, "image")) == 2
    assert len(read_inputs([str(tmp_path)], "image")) == 2
    assert len(read_inputs(tmp_path / "t.csv", "image")) == 2


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        predict(str(tmp_path), ["a"])


def test_a_merged_adapter_predicts_the_same(tmp_path: Path) -> None:
    saved = make_saved(tmp_path, "lora", "token-classification")
    folder = merge(saved.folder.parent, tmp_path / "merged")
    for row, expected in zip(predict(folder, TEXTS), predict(saved.folder, TEXTS), strict=True):
        assert row["tags"] == expected["tags"]
        assert row["text"] == expected["text"]
