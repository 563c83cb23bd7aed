"""Encoder-decoders under virtual tokens, by recipe: packed, cut, scored on what they write, loaded by PEFT alone."""

from __future__ import annotations

import json

import pytest

import fathom
from fathom.errors import ConfigError, ModelError
from fathom.files import read_json
from fathom.recipe import load_recipe
from fathom.runs.train import train
from writing_for_tests import make_writer, write_pairs

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
KINDS = ("prompt", "p-tuning", "prefix")


def recipe_of(tmp_path, family, name, kind, *edits):
    data = write_pairs(tmp_path / "train.jsonl", 60)
    folder = tmp_path / family
    if not folder.exists():
        make_writer(folder, family)
    more = ", hidden_size: 8" if kind == "p-tuning" else ""
    (tmp_path / "job.yaml").write_text(
        f"model: '{folder}'\ndata: {{train: '{data}', validation_fraction: 0.2, max_length: 32}}\n"
        "task: {kind: translation, max_target_length: 8, generated_examples: 4}\n"
        f"tuning: {{kind: {kind}, num_virtual_tokens: 3{more}}}\n"
        "training: {max_steps: 6, batch_size: 12, learning_rate: 0.03, precision: fp32, threads: 1, seed: 7,\n"
        "  logging_steps: 1, eval_steps: 3, verify_reload: false, dropout: 0.0}\n"
        f"output: '{tmp_path / name}'\n",
        encoding="utf-8",
    )
    return load_recipe(tmp_path / "job.yaml", edits)


def losses(*given):
    folder = train(recipe_of(*given)).folder
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("kind", ["prompt", "p-tuning"])
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_packed_cut_and_recomputed_training_is_padded_training(family, kind, tmp_path, capsys):
    padded = losses(tmp_path, family, "padded", kind, "training.packing=false")
    assert padded[-1] < padded[0]
    capsys.readouterr()
    packed = losses(tmp_path, family, "packed", kind)
    assert "padded batches" not in "".join(capsys.readouterr())
    assert packed == pytest.approx(padded, rel=2e-4)
    assert losses(tmp_path, family, "cut", kind, "training.micro_batch_tokens=40") == pytest.approx(padded, rel=2e-4)
    again = losses(tmp_path, family, "again", kind, "training.activation_checkpointing=true")
    assert again == pytest.approx(packed, rel=1e-5)


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_a_prefix_runs_padded_and_may_be_cut(family, tmp_path, capsys):
    whole = losses(tmp_path, family, "whole", "prefix")
    assert "prefix tuning brings keys and values from outside" in "".join(capsys.readouterr())
    assert whole[-1] < whole[0]
    assert losses(tmp_path, family, "cut", "prefix", "training.micro_batch_tokens=40") == pytest.approx(whole, rel=2e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["t5", "bart"])
def test_the_saved_model_writes_what_was_scored(family, kind, tmp_path):
    recipe = recipe_of(tmp_path, family, "run", kind, "training.verify_reload=true", "task.num_beams=2")
    folder = train(recipe).folder
    metrics = read_json(folder / "metrics.json")
    assert metrics["reload_difference"] < 1e-4
    assert metrics["validation"]["num_generated"] == 4
    assert metrics["forecast"]["trainable"] == metrics["parameters"]["trainable"]
    assert read_json(folder / "model" / "adapter_config.json")["task_type"] == "SEQ_2_SEQ_LM"
    written = [json.loads(line) for line in (folder / "written-validation.jsonl").read_text().splitlines()]
    again = fathom.generate(str(folder), [row["source"] for row in written])
    assert [one.text.strip() for one in again] == [row["text"] for row in written]


def test_targets_leave_room_for_the_virtual_tokens(tmp_path):
    with pytest.raises(ConfigError, match=r"64 positions, and the virtual tokens take 3(.|\n)*at most 60"):
        train(recipe_of(tmp_path, "bart", "run", "prefix", "task.max_target_length=61"))
    with pytest.raises(ConfigError, match="takes at most 61 tokens beside 3 virtual ones"):
        train(recipe_of(tmp_path, "bart", "run", "prompt", "data.max_length=62"))


@pytest.mark.parametrize("kind", ["prompt", "p-tuning"])
def test_before_the_source_they_take_nothing_from_the_targets(tmp_path, kind):
    recipe = recipe_of(tmp_path, "bart", "run", kind, "task.max_target_length=62", "training.max_steps=1")
    assert train(recipe).metrics["steps"] == 1


def test_a_prefix_is_not_left_out_where_blocks_compute_again(tmp_path):
    with pytest.raises(ModelError, match=r"takes no earlier keys(.|\n)*use tuning 'prompt'"):
        train(recipe_of(tmp_path, "t5", "run", "prefix", "training.activation_checkpointing=true"))
