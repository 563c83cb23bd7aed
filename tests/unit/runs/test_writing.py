"""Tasks that write, from data file to prediction."""

from __future__ import annotations

import json

import pytest

from fathom.files import read_json
from fathom.recipe import load_recipe
from fathom.runs.evaluate import evaluate
from fathom.runs.generate import generate_file
from fathom.runs.train import train
from writing_for_tests import make_writer, write_pairs


def recipe_of(tmp_path, family, *edits):
    train_file, other = write_pairs(tmp_path / "train.jsonl", 120), write_pairs(tmp_path / "test.jsonl", 20, 500)
    (tmp_path / "job.yaml").write_text(
        f"model: '{make_writer(tmp_path / family, family)}'\n"
        f"data: {{train: '{train_file}', validation: '{other}', test: '{other}', max_length: 32,\n"
        "  allow_leaks: true}\n"
        "task: {kind: translation, max_target_length: 8, generated_examples: 5}\n"
        "training: {max_steps: 300, batch_size: 16, learning_rate: 0.01, dropout: 0.0, precision: fp32,\n"
        "  threads: 1, seed: 7, eval_steps: 100, verify_reload: false, load_best_model_at_end: false}\n"
        f"output: '{tmp_path / 'run'}'\n",
        encoding="utf-8",
    )
    return load_recipe(tmp_path / "job.yaml", edits)


@pytest.mark.parametrize("family", ["t5", "bart", "gpt2"])
def test_a_model_learns_to_translate_and_is_scored_on_what_it_writes(family, tmp_path):
    rate = 0.003 if family == "bart" else 0.01
    result = train(recipe_of(tmp_path, family, "task.num_beams=2", f"training.learning_rate={rate}"))
    metrics = read_json(result.folder / "metrics.json")
    assert metrics["main_metric"] == "bleu"
    assert metrics["validation"]["num_generated"] == 5
    assert metrics["test"]["num_generated"] == len((tmp_path / "test.jsonl").read_text().splitlines())
    assert metrics["test"]["loss"] < 0.6 * metrics["before"]["loss"]
    if family != "bart":  # so small a model that normalises last learns slowly
        assert metrics["test"]["chrf"] > 50
    assert "tok:13a" in metrics["test"]["bleu_signature"]
    logged = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert sum("bleu" in line for line in logged) == 3
    saved = read_json(result.folder / "model" / "fathom.json")
    assert saved["generation"] == {"max_new_tokens": 8, "num_beams": 2}
    written = [json.loads(line) for line in (result.folder / "written-test.jsonl").read_text().splitlines()]
    again = generate_file(str(result.folder / "model"), str(tmp_path / "test.jsonl"), {})
    assert [row["text"].strip() for row in again] == [row["text"] for row in written]
    assert all("score" in row for row in again)  # beams, as saved
    scores = evaluate(str(result.folder / "model"), str(tmp_path / "test.jsonl"))
    assert evaluate(str(result.folder), str(tmp_path / "test.jsonl"), generate=3)["num_generated"] == 3
    assert "bleu" not in evaluate(str(result.folder), str(tmp_path / "test.jsonl"), generate=0)
    for name in ("loss", "bleu", "chrf", "ter", "length_ratio", "copy_rate"):
        assert scores[name] == pytest.approx(metrics["test"][name], rel=1e-4, abs=1e-4), name


def test_without_generation_the_loss_chooses(tmp_path):
    recipe = recipe_of(tmp_path, "t5", "task.generated_examples=0", "training.max_steps=4", "data.test=null")
    metrics = read_json(train(recipe).folder / "metrics.json")
    assert metrics["main_metric"] == "loss"
    assert "bleu" not in metrics["validation"]
