"""`inspect`: the truth about a model's blocks, strategies side by side, and errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fathom import catalog
from fathom.device import probe_machine
from fathom.errors import ConfigError, ModelError
from fathom.model.load import build_on_meta
from fathom.recipe import dump_recipe, resolve
from fathom.runs.inspect import inspect
from fathom.runs.prepare import prepare_data
from matrix_for_tests import FIXTURES, Cell, Workshop

ALL = "full,head,top-layers,bitfit,lora"
ROWS_OF_THE_DATA = ("speech-recognition", "recommendation")
"""Tasks whose head has a row for each character or item of the data."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    root = tmp_path_factory.mktemp("inspected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FATHOM_CACHE", str(root / "cache"))
        yield Workshop(root)


def test_bert_base_at_a_glance() -> None:
    report = inspect("bert-base", precision="fp32")
    text = report.to_text()
    assert "12 blocks of width 768; 109,482,240 parameters, 109,482,240 learn" in text
    assert "blocks 0-11: 7,087,872 each" in text
    assert report.block_sizes == (7_087_872,) * 12
    ledger = report.ledger
    assert ledger.block_groups() == [(0, 11)]
    assert {row.component: row.parameters for row in ledger.block_rows(3)} == {
        "attention": 2_362_368,
        "feed-forward": 4_722_432,
        "norm": 3_072,
    }
    assert ledger.parameters == 109_482_240


def test_trainable_parameters_of_each_strategy() -> None:
    report = inspect("bert-base", tuning=ALL, precision="fp32")
    learn = {item.name: item.ledger.trainable for item in report.strategies if item.ledger is not None}
    head = 768 * 768 + 768 + 768 * 2 + 2
    assert learn == {
        "full": 109_482_240 + 768 * 2 + 2,
        "head": head,
        "top-layers": 2 * 7_087_872 + head,
        # biases of four projections, two feed-forward layers and two norms in each block, and the head whole
        "bitfit": 12 * (4 * 768 + 3072 + 768 + 2 * 768) + head,
        # rank 8 beside four square projections and two of the feed-forward
        "lora": 12 * 8 * (4 * 2 * 768 + 2 * (768 + 3072)) + head,
    }
    assert report.parameters == learn["full"]


def test_nothing_below_the_lowest_trained_block_has_a_backward_pass() -> None:
    ledger = inspect("bert-base", tuning="top-layers", precision="fp32").ledger
    assert ledger.block_groups() == [(0, 9), (10, 10), (11, 11)]
    below = [row for row in ledger.rows if row.depth is not None and row.depth < 10]
    assert all(row.backward_flops == 0 and row.activation_bytes == 0 for row in below)
    assert all(row.gradient_bytes == 0 and row.optimizer_bytes == 0 for row in below)
    assert ledger.forward_flops == inspect("bert-base", task="text-classification").ledger.forward_flops


def test_seventy_billion_parameters_take_no_memory() -> None:
    report = inspect("llama-3-70b", precision="bf16", tuning="full,lora")
    assert report.parameters == 70_553_706_496
    assert report.block_sizes == (855_654_400,) * 80
    full = report.ledger
    assert full.memory.optimizer == 8 * 70_553_706_496
    assert full.depth == 80
    # the work is by block, not by parameter: eighty blocks of three components, embeddings, norm and head
    assert len(full.rows) == 80 * 3 + 3


def test_numbers_as_json() -> None:
    report = inspect("distilbert", tuning="full,bitfit", batch_size=4, length=16, precision="bf16")
    raw = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert raw["model"] == "distilbert"
    first = raw["strategies"][0]
    assert first["parameters"] == sum(row["parameters"] for row in first["rows"])
    assert first["memory"]["total"] == sum(size for kind, size in first["memory"].items() if kind != "total")
    micro_batch = {"sequences": 4, "length": 16, "tokens": 64, "attended": 64, "pairs": 4 * 16 * 16}
    assert first["micro_batch"] == {**micro_batch, "largest_pairs": 4 * 16 * 16, "packed": True}


def test_a_task_gives_the_model_its_head() -> None:
    report = inspect("minilm", task={"kind": "token-classification", "num_labels": 9}, precision="fp32")
    head = next(row for row in report.ledger.rows if row.component == "head")
    assert head.parameters == 384 * 9 + 9
    assert head.forward_flops == 2 * 384 * 9 * 128


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("kind", catalog.names("task"))
def test_every_task_is_inspected_with_the_head_that_a_run_gives(kind: str, workshop: Workshop, tmp_path: Path) -> None:
    cell = Cell(kind, FIXTURES[kind].architectures[0], "full")
    recipe = resolve(workshop.recipe(cell, tmp_path / "run"), probe_machine())
    data = prepare_data(recipe)
    path = tmp_path / "job.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    counted = data.task.labels and kind != "prompt-classification"
    labels = {"num_labels": len(data.task.labels)} if counted else {}
    report = inspect(str(path), task={**recipe.task.model_dump(mode="json"), **labels}, precision="fp32")
    wanted = data.task.auto_class.removeprefix("AutoModelFor")
    assert report.head == ("no task head" if wanted == "AutoModel" else wanted)
    assert inspect(str(path), precision="fp32").head == report.head, "a recipe names its task itself"
    model: Any = build_on_meta(
        recipe.model.read_config(data.tokenizer, data.task.config_overrides), data.task.auto_class
    )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert kind in ROWS_OF_THE_DATA or report.parameters == parameters
    config = model.config
    config.architectures = [type(model).__name__]
    config.save_pretrained(tmp_path / "saved")
    saved = inspect(str(tmp_path / "saved"), precision="fp32")
    assert (saved.head, saved.parameters) == (report.head, parameters), "a saved folder is what it is"


def test_what_a_head_has_not_is_refused() -> None:
    report = inspect("minilm", task="sentence-embedding", tuning="head,lora", precision="fp32")
    assert report.strategies[0].refusal is not None and "no head stands behind it" in report.strategies[0].refusal
    assert report.strategies[1].ledger is not None
    with pytest.raises(ModelError, match="no head stands behind it"):
        inspect("minilm", task="sentence-embedding", tuning="head")
    with pytest.raises(ModelError, match="reads a text from both sides"):
        inspect("minilm", task="chat")
    with pytest.raises(ModelError, match="body of a llama 'transformer', elsewhere 'model'"):
        inspect("llama-3-8b", task="question-answering")
    new = inspect("{kind: new, architecture: llama, depth: 2}", task="question-answering", precision="fp32")
    assert new.head == "QuestionAnswering"
    with pytest.raises(ModelError, match="reads no waveforms"):
        inspect("vit-base", task="speech-recognition")
    for kind in ("reranking", "masked-lm", "sentence-embedding"):
        with pytest.raises(ConfigError, match="does not grow with a number of labels"):
            inspect("minilm", task={"kind": kind, "num_labels": 3})


def test_the_options_of_a_task_choose_its_head() -> None:
    assert inspect("gpt2", task="translation", precision="fp32").head == "CausalLM"
    pairs = inspect("bert-base", task={"kind": "masked-lm", "sentence_objective": "next-sentence"}, precision="fp32")
    assert pairs.head == "PreTraining"
    items = inspect("recommendation", precision="fp32")
    assert items.head == "CausalLM" and items.parameters > 32_000 * 64
    with pytest.raises(ConfigError, match="sentence_objectve"):
        inspect("bert-base", task={"kind": "masked-lm", "sentence_objectve": "next-sentence"})


def test_a_strategy_with_options_and_a_refused_one() -> None:
    report = inspect("qwen3-0.6b", tuning="{kind: lora, rank: 4}, bitfit", precision="fp32")
    assert [item.name for item in report.strategies] == ["lora (rank 4)", "bitfit"]
    assert report.strategies[1].ledger is None
    assert "have none" in report.to_text()
    with pytest.raises(ModelError, match="have none"):
        inspect("qwen3-0.6b", tuning="bitfit")


def test_speech_and_images_have_their_own_lengths() -> None:
    assert inspect("vit-base", precision="fp32").ledger.length == 197
    heard = inspect("{kind: new, architecture: ast, depth: 2, positions: 1024}", precision="fp32").ledger
    assert heard.length == 12 * 101 + 2, "patches of the published spectrogram, and two tokens before them"
    whisper = inspect("whisper-tiny", precision="fp32", length=8).ledger
    assert whisper.block_groups() == [(0, 3), (4, 7)]
    encoder, decoder = (sum(row.forward_flops for row in whisper.block_rows(depth)) for depth in (0, 4))
    assert encoder > 5 * decoder  # 1,500 frames beside 8 tokens that read them all


def test_a_saved_folder_is_inspected_as_what_it_is(tmp_path: object) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_embd=16, n_layer=3, n_head=2, vocab_size=40, n_positions=16, bos_token_id=1, eos_token_id=2)
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(str(tmp_path))
    report = inspect(str(tmp_path), precision="fp32", length=8)
    assert report.head == "CausalLM"
    assert report.ledger.num_blocks == 3


def write_recipe(folder: Path, *lines: str) -> str:
    """A recipe without data on disk: `inspect` reads none."""
    path = folder / "job.yaml"
    path.write_text("\n".join(["data: {train: none.csv, max_length: 64}", *lines]) + "\n", encoding="utf-8")
    return str(path)


TEXTS = ("model: {name: bert-base}", "task: text-classification")


def test_a_recipe_says_how_it_trains(tmp_path: Path) -> None:
    said = "{optimizer: sgd, activation_checkpointing: true, precision: fp32, batch_size: 16}"
    report = inspect(write_recipe(tmp_path, *TEXTS, f"training: {said}"))
    ledger, plain = report.ledger, inspect("bert-base", task="text-classification", length=64, precision="fp32").ledger
    assert ledger.setting.checkpointing and ledger.setting.precision == "fp32"
    assert (ledger.micro_batch.sequences, ledger.micro_batch.length) == (16, 64)
    assert ledger.memory.optimizer == 0 and plain.memory.optimizer == 8 * plain.trainable
    assert ledger.backward_flops > plain.backward_flops, "blocks run twice"
    assert ledger.memory.activations < plain.memory.activations / 10
    title = report.to_text().split("\n", 1)[0]
    assert "batch 16 x 64 tokens, fp32, sgd, activation checkpointing, tuning full" in title
    raw = report.to_json()
    assert (raw["optimizer"]["kind"], raw["activation_checkpointing"], raw["frozen_cache"]) == ("sgd", True, "auto")


def test_what_is_asked_for_comes_before_the_recipe(tmp_path: Path) -> None:
    said = "{optimizer: sgd, activation_checkpointing: true, precision: fp32, micro_batch_tokens: 640}"
    source = write_recipe(tmp_path, *TEXTS, f"training: {said}")
    assert inspect(source).ledger.micro_batch.sequences == 10, "so many are in memory at once"
    given: dict[str, Any] = {"optimizer": {"kind": "sgd", "momentum": 0.9}, "gradient_checkpointing": False}
    ledger = inspect(source, precision="bf16", batch_size=12, **given).ledger
    assert (ledger.setting.precision, ledger.setting.checkpointing) == ("bf16", False)
    assert ledger.micro_batch.sequences == 12 and ledger.memory.optimizer == 4 * ledger.trainable
    with pytest.raises(ConfigError, match="optimiser"):
        inspect(source, optimiser="sgd")


def by_strategy(model: str, tuning: str, **options: Any) -> dict[str, Any]:
    """The ledger of each strategy."""
    return {item.name: item.ledger for item in inspect(model, tuning=tuning, precision="fp32", **options).strategies}


def test_all_strategies_are_compared_as_they_would_train() -> None:
    usual, other = (
        by_strategy("minilm", "full,head,lora", **more)
        for more in ({}, {"optimizer": "sgd", "activation_checkpointing": True})
    )
    for name, ledger in other.items():
        assert ledger.memory.optimizer == 0, name
        assert ledger.memory.activations < usual[name].memory.activations or name == "head"
    beside = inspect("minilm", tuning="lora,ladder", precision="fp32", activation_checkpointing=True).strategies
    assert beside[0].refusal is None and "nothing to compute again" in str(beside[1].refusal)


def test_frozen_blocks_are_read_from_a_cache_where_that_is_asked_for(tmp_path: Path) -> None:
    names = "head,top-layers,full,ladder"
    computed, cached = (by_strategy("bert-base", names, **more) for more in ({}, {"frozen_cache": "float32"}))
    first = {name: ledger.setting.first_block for name, ledger in cached.items()}
    assert first == {"head": 12, "top-layers": 10, "full": 0, "ladder": 0}, "the ladder reads inside the frozen blocks"
    for name, ledger in cached.items():
        blocks = sum(row.forward_flops for depth in range(first[name], 12) for row in ledger.block_rows(depth))
        assert blocks == sum(row.forward_flops for row in ledger.rows if row.depth is not None)
        assert blocks * 12 == (12 - first[name]) * sum(
            row.forward_flops for row in computed[name].rows if row.depth is not None
        ), name
    said = write_recipe(tmp_path, *TEXTS, "tuning: head", "training: {frozen_cache: int8, precision: fp32}")
    report = inspect(said)
    assert report.ledger.setting.first_block == 12
    assert "frozen blocks from the cache" in report.to_text()
    for more in ({"frozen_cache": "off"}, {"packing": False}, {"frozen_dropout": True}):
        assert inspect(said, **more).ledger.setting.first_block == 0, more


def test_a_masked_head_is_asked_for_the_share_of_its_task(tmp_path: Path) -> None:
    task = "task: {kind: masked-lm, mask_probability: 0.4}"
    source = write_recipe(tmp_path, "model: {name: bert-base}", task)
    assert inspect(source, precision="fp32").ledger.setting.labelled_share == 0.4
    assert inspect("bert-base", task="masked-lm", precision="fp32").ledger.setting.labelled_share == 0.15


def test_virtual_tokens_take_their_place() -> None:
    report = inspect("bert-base", tuning="full,prompt,prefix", batch_size=4, length=64, precision="fp32")
    full, prompt, prefix = (item.ledger for item in report.strategies if item.ledger is not None)
    assert (full.micro_batch.length, prompt.micro_batch.length, prefix.micro_batch.length) == (64, 84, 64)
    assert (full.micro_batch.packed, prompt.micro_batch.packed, prefix.micro_batch.packed) == (True, True, False)
    assert prefix.micro_batch.pairs == 4 * 64 * 84
    assert "batch 4 x 64 tokens" in report.to_text()
    row = next(line for line in report.to_text().splitlines() if line.startswith("prompt"))
    assert f"{prompt.forward_flops / 64e6:,.1f}" in row, "the work of twenty tokens more is the text's"


@pytest.mark.parametrize("tuning", ["lorra", "", "{kind: lora, ranke: 3}", "[", "full,"])
def test_strategies_that_do_not_exist(tuning: str) -> None:
    if tuning == "full,":
        assert inspect("minilm", tuning=tuning, precision="fp32").strategies[0].name == "full"
        return
    with pytest.raises(ConfigError):
        inspect("minilm", tuning=tuning)


def test_models_and_tasks_that_do_not_exist() -> None:
    with pytest.raises(ModelError):
        inspect("./nowhere")
    with pytest.raises(ConfigError, match="no task is called 'juggling'"):
        inspect("minilm", task="juggling")
