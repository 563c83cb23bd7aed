"""All strategies on one model: the tables, their sums, and the picture."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from fathom import catalog
from fathom.cli.main import app
from fathom.runs.inspect import InspectReport, inspect
from fathom.runs.strategies_plot import short_count
from fathom.runs.strategies_text import component_places, depth_places, trainable_at


@pytest.fixture(scope="module")
def report() -> InspectReport:
    return inspect("bert-base", tuning="all", batch_size=4, length=64, precision="fp32")


def test_all_is_every_strategy_of_the_catalog(report: InspectReport) -> None:
    assert [item.name.partition(" ")[0] for item in report.strategies] == catalog.names("tuning")
    assert all(item.ledger is not None for item in report.strategies)


def test_what_a_family_cannot_take_is_in_the_table_with_its_reason() -> None:
    text = inspect("llama-3-8b", tuning="all", precision="bf16").to_text()
    assert "bitfit                             refused" in text or "refused" in text.split("bitfit")[1].split("\n")[0]
    assert "bitfit: tuning 'bitfit' trains biases, and the blocks of LlamaForCausalLM have none" in text


def test_depths_and_components_add_up(report: InspectReport) -> None:
    ledgers = {item.name: item.ledger for item in report.strategies if item.ledger is not None}
    depths, components = depth_places(ledgers), component_places(ledgers)
    assert [heading for heading, _ in depths] == [
        "embeddings", "block 0", "blocks 1-9, each", "block 10", "block 11", "above",
    ]  # fmt: skip
    for name, ledger in ledgers.items():
        by_depth = [trainable_at(ledger, place) for place in depths]
        by_depth[2] *= 9
        assert sum(by_depth) == ledger.trainable, name
        assert sum(trainable_at(ledger, place) for place in components) == ledger.trainable, name


def test_the_picture_has_every_strategy_and_number(report: InspectReport) -> None:
    root = ElementTree.fromstring(report.to_svg())
    texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {item.name for item in report.strategies} <= set(texts)
    assert texts.count("7.09 M") == 4 * 4 + 2 + 2, "four whole strategies and two of some blocks"
    assert root.get("width")


@pytest.mark.parametrize(("count", "text"), [(7, "7"), (1234, "1.23 k"), (7_087_872, "7.09 M"), (7e10, "70 G")])
def test_counts_are_short(count: int, text: str) -> None:
    assert short_count(count) == text


def test_the_command_takes_how_it_trains() -> None:
    command = ["inspect", "minilm", "--tuning", "full,head", "--batch", "8", "--precision", "fp32"]
    more = ["--optimizer", "{kind: sgd, momentum: 0.9}", "--checkpointing", "--frozen-cache", "bfloat16"]
    done = CliRunner().invoke(app, [*command, *more, "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["optimizer"] == {"kind": "sgd", "momentum": 0.9, "nesterov": False}
    for item, first_block in zip(said["strategies"], (0, 6), strict=True):
        assert item["setting"]["checkpointing"] and item["setting"]["first_block"] == first_block
        assert item["micro_batch"]["sequences"] == 8
        assert item["memory"]["optimizer"] == 4 * item["trainable"]
    assert CliRunner().invoke(app, ["inspect", "minilm", "--optimizer", "sgdd"]).exit_code == 2
    depths = CliRunner().invoke(app, ["inspect", "llama", "--depth", "2,4", "--optimizer", "sgd", "--batch", "8"])
    assert depths.exit_code == 0 and "batch 8 x 128 tokens" in depths.output


def test_the_command_draws_and_refuses(tmp_path: Path) -> None:
    runner, file = CliRunner(), tmp_path / "strategies.svg"
    done = runner.invoke(app, ["inspect", "bert-base", "--tuning", "full,head", "--plot", str(file)])
    assert done.exit_code == 0, done.output
    assert file.read_text(encoding="utf-8").startswith("<svg")
    assert runner.invoke(app, ["inspect", "bert-base", "--plot", str(tmp_path / "x.png")]).exit_code == 2
    assert runner.invoke(app, ["inspect", "llama", "--depth", "2,4", "--plot", str(file)]).exit_code == 2
