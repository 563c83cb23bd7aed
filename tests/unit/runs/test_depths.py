"""The ledger of models that do not exist yet: by family and depth, by recipe, several depths side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fathom.cli.main import app
from fathom.errors import ConfigError
from fathom.model.new import NewModel
from fathom.runs.depths import inspect_depths
from fathom.runs.inspect import inspect

RUNNER = CliRunner()


def run(*words: str) -> tuple[int, str]:
    result = RUNNER.invoke(app, ["inspect", *words])
    return result.exit_code, result.output


def test_gpt2_by_the_dial_is_gpt2() -> None:
    new = NewModel(architecture="gpt2", depth=12, vocabulary_size=50257)
    report = inspect(new, precision="fp32")
    assert report.parameters == inspect("gpt2", precision="fp32").parameters == 124_439_808
    assert report.model == "new:gpt2 depth 12"
    assert report.head == "CausalLM"


def test_a_new_model_may_be_written_as_in_a_recipe() -> None:
    written = "{kind: new, architecture: bert, depth: 4, vocab_size: 30522}"
    report = inspect(written, precision="fp32", task="text-classification")
    assert len(report.block_sizes) == 4
    assert report.ledger.width == 256
    with pytest.raises(ConfigError, match="did you mean 'depth'"):
        inspect("{kind: new, architecture: bert, dpth: 4}")


def test_a_recipe_is_inspected_with_its_task_tuning_and_batch(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "model: {kind: new, architecture: bert, depth: 2, tokenizer: minilm}\n"
        "data: {train: a.csv, max_length: 64}\ntask: text-classification\ntuning: head\ntraining: {batch_size: 4}\n",
        encoding="utf-8",
    )
    report = inspect(str(path), precision="fp32")
    assert [item.name for item in report.strategies] == ["head"]
    assert report.head == "SequenceClassification"
    assert (report.ledger.micro_batch.sequences, report.ledger.length) == (4, 64)
    assert report.parameters > 30522 * 128  # the tokenizer's rows
    assert inspect(str(path), precision="fp32", tuning="full", length=32).ledger.length == 32


def test_depths_side_by_side_grow_as_the_dial_says() -> None:
    new = NewModel(architecture="llama", vocabulary_size=1000)
    report = inspect_depths(new, [2, 4, 8], batch_size=2, length=32, precision="fp32")
    assert [row.sizes.width for row in report.rows] == [128, 256, 512]
    for row in report.rows:
        assert (
            row.parameters
            == inspect(
                NewModel(architecture="llama", depth=row.sizes.depth, vocabulary_size=1000), precision="fp32"
            ).parameters
        )
        blocks = row.parameters - row.embeddings
        # two operations for each weight of the blocks and of the output table, and attention's own
        assert row.forward_flops_per_token == pytest.approx(2 * (blocks + row.embeddings), rel=0.1)
    assert report.to_json()["rows"][0]["sizes"]["depth"] == 2
    with pytest.raises(ConfigError, match="no depth is named"):
        inspect_depths(new, [])


def test_the_command_shows_one_depth_or_several() -> None:
    code, text = run("llama", "--depth", "2", "--vocab", "1000", "--precision", "fp32")
    assert code == 0
    assert "new:llama depth 2 (llama, CausalLM)" in text
    code, text = run("modernbert", "--depth", "2,4", "--precision", "fp32", "--json")
    assert code == 0
    assert [row["sizes"]["depth"] for row in json.loads(text)["rows"]] == [2, 4]
    code, text = run("t5", "--depth", "1,2", "--precision", "fp32")
    assert code == 0
    assert "new t5 by depth, batch 32 x 128 tokens, fp32" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lama", "--depth", "2"], "did you mean 'llama'"),
        (["llama", "--depth", "x"], "'x' is no depth"),
        (["llama", "--depth", "0"], "greater than or equal to 1"),
        (["llama", "--vocab", "100"], "--vocab is for a new model"),
        (["llama", "--depth", "2,4", "--tuning", "lora"], "several depths are compared as they are pretrained"),
    ],
)
def test_wrong_words_end_with_two(words: list[str], message: str) -> None:
    code, text = run(*words)
    assert code == 2
    assert message in " ".join(text.split())
