"""A chat model is judged by what it answers, from data file to saved folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fathom.errors import ConfigError, DataError
from fathom.files import read_json
from fathom.recipe import load_recipe
from fathom.runs.evaluate import _check_writes, evaluate
from fathom.runs.predict import predict
from fathom.runs.train import train
from fathom.tasks.text_classification import TextClassification
from tokenizers_for_tests import tokenizer_of
from writing_for_tests import make_writer, rows


def write_talks(path: Path, count: int, start: int = 0) -> Path:
    """A question and its answer, and in every third conversation another exchange before it."""
    found = rows(count, start)
    talks = []
    for number, (asked, said) in enumerate(found):
        exchanges = [found[number - 1], (asked, said)] if number % 3 == 0 else [(asked, said)]
        turns = [turn for q, a in exchanges for turn in (("user", q), ("assistant", a))]
        talks.append({"messages": [{"role": role, "content": content} for role, content in turns]})
    path.write_text("".join(json.dumps(talk) + "\n" for talk in talks), encoding="utf-8")
    return path


def recipe_of(tmp_path: Path, *edits: str) -> Any:
    train_file, other = write_talks(tmp_path / "train.jsonl", 120), write_talks(tmp_path / "test.jsonl", 20, 500)
    (tmp_path / "job.yaml").write_text(
        f"model: '{make_writer(tmp_path / 'gpt2', 'gpt2')}'\n"
        f"data: {{train: '{train_file}', validation: '{other}', test: '{other}', max_length: 48, allow_leaks: true}}\n"
        "task: {kind: chat}\n"
        "training: {max_steps: 300, batch_size: 16, learning_rate: 0.01, dropout: 0.0, precision: fp32,\n"
        "  threads: 1, seed: 7, eval_steps: 100, verify_reload: false, load_best_model_at_end: false}\n"
        f"output: '{tmp_path / 'run'}'\n",
        encoding="utf-8",
    )
    return load_recipe(tmp_path / "job.yaml", edits)


def test_answers_are_written_and_judged(tmp_path: Path) -> None:
    written = ("task.generated_examples=5", "task.max_target_length=8")
    result = train(recipe_of(tmp_path, *written, "training.metric_for_best_model=exact_answer"))
    metrics = read_json(result.folder / "metrics.json")
    talks = [json.loads(line)["messages"] for line in (tmp_path / "test.jsonl").read_text().splitlines()]
    answers = sum(turn["role"] == "assistant" for talk in talks for turn in talk)
    assert metrics["validation"]["num_generated"] == 5
    assert metrics["test"]["num_generated"] == answers > len(talks)
    assert metrics["test"]["exact_answer"] > 0.3 and "bleu" in metrics["test"]
    assert 0 < metrics["test"]["distinct_1"] < metrics["test"]["distinct_2"] <= 1
    assert "call_accuracy" not in metrics["test"]  # nobody calls anything
    lines = [json.loads(line) for line in (result.folder / "written-test.jsonl").read_text().splitlines()]
    assert {line["turn"] for line in lines} == {2, 4}
    right = [line["text"].split() == line["references"][0].split() for line in lines]
    assert metrics["test"]["exact_answer"] == pytest.approx(sum(right) / len(right))
    logged = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert sum("exact_answer" in line for line in logged) == 3
    assert read_json(result.folder / "model" / "fathom.json")["generation"] == {"max_new_tokens": 8}
    again = predict(str(result.folder), tmp_path / "test.jsonl")  # the last answer of each is left out, and written
    last = {line["where"]: line["text"] for line in lines}
    assert [row["text"].strip() for row in again] == [*last.values()]
    assert [row["prompt"] for row in again] == [talk[-2]["content"] for talk in talks]
    asked = [talk[:-1] for talk in talks]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps({"log": talk}) + "\n" for talk in [*asked, talks[0]]))
    open_ended = predict(str(result.folder), tmp_path / "asked.jsonl", read={"columns": {"messages": "log"}})
    assert [row["text"] for row in open_ended] == [row["text"] for row in [*again, again[0]]]
    given = predict(str(result.folder), [{"messages": asked[0]}, "one two"])
    assert given[0]["text"] == again[0]["text"]
    with pytest.raises(DataError, match="neither a text nor a conversation"):
        predict(str(result.folder), [{"words": "one"}])
    (tmp_path / "texts.csv").write_text("text\none two\n", encoding="utf-8")
    assert predict(str(result.folder), tmp_path / "texts.csv")[0]["prompt"] == "one two"
    scores = evaluate(str(result.folder / "model"), str(tmp_path / "test.jsonl"))
    for name in ("loss", "bleu", "distinct_1", "exact_answer"):
        assert scores[name] == pytest.approx(metrics["test"][name], rel=1e-4, abs=1e-4), name


def test_without_it_nothing_is_written(tmp_path: Path) -> None:
    result = train(recipe_of(tmp_path, "training.max_steps=4", "data.test=null"))
    assert "num_generated" not in read_json(result.folder / "metrics.json")["validation"]
    assert "generation" not in read_json(result.folder / "model" / "fathom.json")
    assert "num_generated" not in evaluate(str(result.folder), str(tmp_path / "test.jsonl"))
    scores = evaluate(str(result.folder), str(tmp_path / "test.jsonl"), generate=7)
    assert scores["num_generated"] == 7 and {"bleu", "exact_answer"} <= scores.keys()


def test_a_model_that_writes_nothing_is_not_asked() -> None:
    examples = [{"text": text, "label": text} for text in "ab"]
    task = TextClassification().open(examples, tokenizer_of("minilm"), 16)
    with pytest.raises(ConfigError, match="a model of text-classification writes no answers"):
        _check_writes(task, 5)
    _check_writes(task, 0)


def test_questions_without_room_for_an_answer_are_left_out_and_counted(tmp_path: Path, capsys: Any) -> None:
    edits = ("task.generated_examples=50", "task.max_target_length=8", "training.max_steps=2", "data.test=null")
    talks = [
        json.loads(line)["messages"] for line in write_talks(tmp_path / "a.jsonl", 20, 500).read_text().splitlines()
    ]
    recipe = recipe_of(tmp_path, *edits)
    long = [{"role": "user", "content": "one " * 44}, {"role": "assistant", "content": "uno"}]
    with (tmp_path / "test.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"messages": long}) + "\n")
    scores = read_json(train(recipe).folder / "metrics.json")["validation"]
    assert scores["num_generated"] == sum(turn["role"] == "assistant" for talk in talks for turn in talk)
    assert "1 of 28 answers are not asked for" in "".join(capsys.readouterr())
