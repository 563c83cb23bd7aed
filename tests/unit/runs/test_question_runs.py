"""Question answering from a file to an answer: train, evaluate, predict, check, preview, init."""

from __future__ import annotations

import json

import pytest

from fathom import catalog
from fathom.cli.predict import _line
from fathom.config import read_yaml
from fathom.errors import DataError
from fathom.files import read_json
from fathom.recipe import load_recipe
from fathom.runs.data import check, preview
from fathom.runs.evaluate import evaluate
from fathom.runs.init import init
from fathom.runs.predict import predict
from fathom.runs.questions import read_questions
from fathom.runs.train import train
from runs_for_tests import make_model, sentences
from strategies_for_tests import require


def write_questions(path, count, seed, *, unanswerable=True):
    """Write SQuAD JSON: a sentence and its colour, or a question (every fourth) that it does not answer."""
    articles = []
    for number, (text, colour, _) in enumerate(sentences(count, seed)):
        missing = unanswerable and number % 4 == 3
        answers = [] if missing else [{"text": colour, "answer_start": text.index(colour)}]
        question = "is the and" if missing else "the is"
        qas = [{"id": str(number), "question": question, "answers": answers, "is_impossible": missing}]
        articles.append({"title": "t", "paragraphs": [{"context": text, "qas": qas}]})
    path.write_text(json.dumps({"version": "v2.0", "data": articles}), encoding="utf-8")
    return path


def make_recipe(model, folder, *edits, unanswerable=True):
    for name, count, seed in (("train", 64, 1), ("validation", 32, 2), ("test", 32, 3)):
        write_questions(folder / f"{name}.json", count, seed, unanswerable=unanswerable)
    lines = [
        f"model: '{model}'",
        f"data: {{train: '{folder}/train.json', validation: '{folder}/validation.json', test: '{folder}/test.json',",
        "  allow_leaks: true}",
        "task: question-answering",
        "training: {max_steps: 24, batch_size: 16, learning_rate: 0.01, precision: fp32, threads: 1, seed: 7,",
        "  logging_steps: 8, eval_steps: 24, verify_reload: false}",
        f"output: '{folder / 'run'}'",
    ]
    (folder / "job.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_recipe(folder / "job.yaml", edits)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def finished(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    train(make_recipe(base, folder, "training.verify_reload=true", "training.max_steps=60"))
    return folder


def test_a_run_learns_and_tunes_its_threshold_on_the_validation_split(finished):
    metrics = read_json(finished / "run/metrics.json")
    assert metrics["validation"]["f1"] > metrics["before"]["f1"]
    assert metrics["validation"]["f1"] == pytest.approx(metrics["validation"]["best_f1"])
    assert metrics["reload_difference"] < 1e-4
    saved = read_json(finished / "run/model/fathom.json")["task"]
    assert saved["unanswerable"] is True
    assert saved["threshold"] == pytest.approx(metrics["validation"]["best_f1_threshold"])
    again = evaluate(str(finished / "run"), str(finished / "test.json"))
    assert again["f1"] == pytest.approx(metrics["test"]["f1"])
    assert again["f1_no_answer"] == pytest.approx(metrics["test"]["f1_no_answer"])


def test_every_way_to_ask(finished, monkeypatch):
    text, colour, _ = sentences(1, 9)[0]
    run = str(finished / "run")
    (two,) = predict(run, ["the is", text])
    mapping = {"question": "the is", "context": text}
    lines = finished / "asked.jsonl"
    lines.write_text(json.dumps(mapping) + "\n", encoding="utf-8")
    rows = finished / "asked.csv"
    rows.write_text(f"question,context\nthe is,{text}\n", encoding="utf-8")
    text_file = finished / "asked.txt"
    text_file.write_text(json.dumps(mapping) + "\n", encoding="utf-8")
    for given in ([mapping], [json.dumps(mapping)], str(lines), str(rows), str(text_file)):
        assert predict(run, given) == [two]
    assert two["question"] == "the is" and two["context"] == text
    assert len(two["n_best"]) > 1
    (short,) = predict(run, ["the is", text], probabilities=False)
    assert "n_best" not in short
    assert colour in _line(two) or "no answer" in _line(two)
    answers = predict(run, str(finished / "test.json"))
    assert len(answers) == 32


@pytest.mark.parametrize("given", [["a text"], ["one", "two", "three"], ["[1]"]])
def test_a_text_alone_is_no_question(given):
    with pytest.raises(DataError, match="no question on a passage"):
        read_questions(given)


def test_every_question_answered_has_no_threshold(base, tmp_path):
    result = train(make_recipe(base, tmp_path, "training.max_steps=2", unanswerable=False))
    metrics = read_json(result.folder / "metrics.json")
    assert set(metrics["test"]) == {"loss", "exact_match", "f1"}
    assert read_json(result.folder / "model/fathom.json")["task"]["threshold"] == 0.0


@pytest.mark.parametrize("kind", catalog.names("tuning"))
def test_every_strategy(kind, base, tmp_path):
    require(kind)
    few = {"top-layers": ["layers=1"], "layers": ["layers=[0]"], "adalora": ["warmup=0.0", "final=0.3"]}
    few |= {"lora": ["rank=2"], "qlora": ["rank=2"], "dora": ["rank=2"], "adapter": ["size=4"]}
    few |= {name: ["num_virtual_tokens=3"] for name in ("prompt", "p-tuning", "prefix")}
    edits = [f"tuning.{edit}" for edit in few.get(kind, [])]
    alone = kind in ("lora", "adapter", "prompt", "prefix")  # of every way of saving one, by transformers alone
    quick = ["training.max_steps=2", "training.evaluate_before=false", f"training.verify_reload={str(alone).lower()}"]
    result = train(make_recipe(base, tmp_path, f"tuning={kind}", *edits, *quick))
    metrics = read_json(result.folder / "metrics.json")
    assert not alone or metrics["reload_difference"] < 1e-4
    again = evaluate(str(result.folder), str(tmp_path / "test.json"))
    assert again["f1"] == pytest.approx(metrics["test"]["f1"])


def test_check_names_what_the_reader_did(tmp_path):
    path = write_questions(tmp_path / "train.json", 8, 1)
    value = json.loads(path.read_text())
    answers = [article["paragraphs"][0]["qas"][0]["answers"] for article in value["data"]]
    answers[0][0]["answer_start"] += 1
    answers[1].append({"text": "nowhere", "answer_start": -1})
    path.write_text(json.dumps(value), encoding="utf-8")
    report = check(str(path))
    kinds = {finding.kind for finding in report.findings}
    assert {"moved-answers", "answers-not-in-passage"} <= kinds
    assert report.exit_code == 0
    answers[1][0]["text"] = "nowhere at all"
    path.write_text(json.dumps(value), encoding="utf-8")
    assert check(str(path), ["task=question-answering"]).exit_code == 2


def test_preview_shows_the_decoded_answer(base, tmp_path):
    path = write_questions(tmp_path / "train.json", 8, 1)
    shown = preview(str(path), [f"model={base}", "task=question-answering", "validation_fraction=0"])
    colour = sentences(8, 1)[0][1]
    assert any(token.label == f"answer {colour!r}" for token in shown.windows[0])
    assert f"answer: {colour} (" in shown.to_text()
    missing = preview(str(path), [f"model={base}", "task=question-answering", "validation_fraction=0"], index=3)
    assert missing.windows[0][0].label == "no answer in this window"
    assert "no answer" in missing.to_text()


def test_init_finds_questions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_questions(tmp_path / "train.json", 8, 1)
    write_questions(tmp_path / "dev.json", 8, 2)
    raw = read_yaml(init("train.json"))
    assert raw["task"] == "question-answering"
    assert raw["data"]["validation"] == "dev.json"
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "context,question,answer\n" + "".join(f"the red {n},what?,red\n" for n in range(9)), encoding="utf-8"
    )
    assert read_yaml(init("rows.csv"))["task"] == "question-answering"
