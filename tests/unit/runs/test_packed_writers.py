"""An encoder-decoder trains packed as it does padded: the same losses, whole, cut and with checkpointing."""

from __future__ import annotations

import json

import pytest

from fathom.recipe import load_recipe
from fathom.runs.train import train
from writing_for_tests import make_writer, write_pairs


def losses(tmp_path, family, name, *edits):
    data = write_pairs(tmp_path / "train.jsonl", 60)
    folder = tmp_path / family
    if not folder.exists():
        make_writer(folder, family)
    (tmp_path / "job.yaml").write_text(
        f"model: '{folder}'\ndata: {{train: '{data}', validation_fraction: 0.2, max_length: 32}}\n"
        "task: {kind: translation, max_target_length: 8, generated_examples: 4}\n"
        "training: {max_steps: 6, batch_size: 12, learning_rate: 0.003, precision: fp32, threads: 1, seed: 7,\n"
        "  logging_steps: 1, eval_steps: 3, verify_reload: false, dropout: 0.0}\n"
        f"output: '{tmp_path / name}'\n",
        encoding="utf-8",
    )
    folder = train(load_recipe(tmp_path / "job.yaml", edits)).folder
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_packed_cut_and_recomputed_training_is_padded_training(family, tmp_path, capsys):
    padded = losses(tmp_path, family, "padded", "training.packing=false")
    assert "padded batches: packing is off" in "".join(capsys.readouterr())
    packed = losses(tmp_path, family, "packed")
    assert "padded batches" not in "".join(capsys.readouterr())
    assert packed == pytest.approx(padded, rel=2e-4)
    assert losses(tmp_path, family, "cut", "training.micro_batch_tokens=30") == pytest.approx(padded, rel=2e-4)
    again = losses(tmp_path, family, "again", "training.activation_checkpointing=true")
    assert again == pytest.approx(packed, rel=1e-5)


def test_with_dropout_checkpointing_draws_the_same_masks(tmp_path):
    edits = ["training.dropout=0.2"]
    packed = losses(tmp_path, "t5", "packed", *edits)
    again = losses(tmp_path, "t5", "again", *edits, "training.activation_checkpointing=true")
    assert again == pytest.approx(packed, rel=1e-4)
    assert all(loss > 0 for loss in packed)
