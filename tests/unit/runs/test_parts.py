"""The parts of a run by themselves: preparing, forecasting, refusing, scoring, reporting."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fathom import catalog
from fathom.data.sampler import Sampler
from fathom.data.store import from_features
from fathom.device import peak_memory_bytes, probe_machine
from fathom.errors import ConfigError, DataError, ModelError
from fathom.recipe import Recipe, resolve
from fathom.runs.forecast import forecast
from fathom.runs.keeper import facts_of
from fathom.runs.micro_batch import Passes
from fathom.runs.preflight import check_data, check_trainable
from fathom.runs.prepare import PreparedData, examples_digest, longest, prepare_data, prepare_model
from fathom.runs.report import class_table, score_table
from fathom.runs.scoring import Scorer, score
from fathom.runs.train import train
from fathom.training.clock import Clock
from folders_for_tests import make_task
from runs_for_tests import make_model, make_recipe
from tokenizers_for_tests import tokenizer_of

EXAMPLES = [{"text": "a", "where": "a.csv:2"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def prepared(model: Path, folder: Path, problem: str, *edits: str) -> tuple[Recipe, PreparedData]:
    recipe = resolve(make_recipe(model, folder, problem, *edits), probe_machine())
    return recipe, prepare_data(recipe)


@pytest.mark.parametrize("problem", ["single", "multi", "tags"])
def test_scores_do_not_depend_on_how_they_are_batched(
    problem: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, data = prepared(model, tmp_path, problem)
    made = prepare_model(recipe, data, probe_machine())
    made.model.eval()
    split = data.split("validation")
    assert split is not None
    wanted = score(Scorer(made.model, made.work.packed, data.task, 64), split)
    monkeypatch.setattr("fathom.runs.scoring.WINDOW", 5)
    found = score(Scorer(made.model, made.work.packed, data.task, 3), split)
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    assert found[data.task.main_metric] == pytest.approx(wanted[data.task.main_metric])


def test_data_are_encoded_once(model: Path, tmp_path: Path) -> None:
    _, first = prepared(model, tmp_path, "single")
    _, again = prepared(model, tmp_path, "single")
    assert isinstance(again.stores["train"].fields["input_ids"], np.memmap)
    for name, values in first.stores["train"].fields.items():
        assert np.array_equal(values, again.stores["train"].fields[name])
    _, shorter = prepared(model, tmp_path, "single", "data.max_length=6")
    assert int(shorter.stores["train"].lengths.max()) == 6


def test_what_examples_say_decides_not_where_they_stand() -> None:
    here = [{"text": "a", "label": "x", "where": "one.csv:2"}]
    assert examples_digest(here) == examples_digest([{"label": "x", "text": "a", "where": "two.csv:9"}])
    assert examples_digest(here) != examples_digest([{"text": "a", "label": "y", "where": "one.csv:2"}])
    assert examples_digest([{"text": "\ud800", "where": "x"}])


def test_longest_is_what_model_and_tokenizer_take(model: Path, tmp_path: Path) -> None:
    recipe, data = prepared(model, tmp_path, "single")
    assert longest(recipe, data.tokenizer) == 64
    section = recipe.data.model_copy(update={"max_length": 65})
    with pytest.raises(ConfigError, match="at most 64"):
        longest(recipe.model_copy(update={"data": section}), data.tokenizer)


def test_the_forecast_counts_trainable_parameters_exactly(model: Path, tmp_path: Path) -> None:
    for tuning in ("full", "lora", "bitfit", "head"):
        recipe, data = prepared(model, tmp_path, "tags", f"tuning={tuning}")
        made = prepare_model(recipe, data, probe_machine())
        expected = forecast(recipe, data, made)
        trainable = sum(p.numel() for p in made.model.parameters() if p.requires_grad)
        assert expected.judge(expected.peak_memory_bytes, trainable)["trainable_error"] == 0
        assert expected.judge(2 * expected.peak_memory_bytes, trainable)["memory_error"] == -0.5
        assert expected.to_json()["trainable"] == trainable
        clock = Clock(began=0.0, ended=100 * expected.time.step_seconds, steps=200)
        assert expected.judge(1, trainable, clock)["step_seconds_error"] == pytest.approx(1.0)
        expected.remember(clock, expected.peak_memory_bytes)
        learnt = forecast(recipe, data, made).time.step_seconds  # the prior still counts a little
        assert learnt == pytest.approx(expected.time.step_seconds / 2, rel=0.05)


@pytest.mark.parametrize(("targets", "copied"), [("all-linear", 0), ("attention", 2 * 2)])
@pytest.mark.parametrize("kind", ["random-mask", "diff-pruning"])
def test_what_is_added_up_in_every_pass_has_no_copies(
    kind: str, targets: str, copied: int, model: Path, tmp_path: Path
) -> None:
    tuning = f"tuning={{kind: {kind}, share: 0.1, targets: {targets}}}"
    recipe, data = prepared(model, tmp_path, "tags", tuning, "training.precision=bf16")
    work = prepare_model(recipe, data, probe_machine()).work
    assert work.parameters.shadows == [None] * len(work.parameters.keys)
    # a module that runs from a copy has a forward of its own
    replaced = [
        module for module in work.model.modules() if isinstance(module, nn.Linear) and "forward" in vars(module)
    ]
    assert len(replaced) == copied, "the feed-forwards of two blocks"


def test_on_a_gpu_its_memory_is_judged_by_what_lies_there(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, data = prepared(model, tmp_path, "single")
    here = forecast(recipe, data, prepare_model(recipe, data, probe_machine()))
    there = dataclasses.replace(here, device="cuda")
    assert here.peak_memory_bytes - there.peak_memory_bytes == here.ledger.memory.process
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 1 << 20)
    found = there.judge(peak_memory_bytes("cuda"), 1)
    assert found["peak_memory_bytes"] == 1 << 20
    assert found["memory_error"] == there.peak_memory_bytes / (1 << 20) - 1
    assert found["host_peak_memory_bytes"] > 1 << 20
    assert "host_peak_memory_bytes" not in here.judge(peak_memory_bytes(), 1)


def test_another_tokenizer_is_another_run(model: Path, tmp_path: Path) -> None:
    recipe, data = prepared(model, tmp_path, "single")
    before = facts_of(recipe, data)
    backend = data.tokenizer.backend_tokenizer
    backend.enable_truncation(7)  # a setting of one call, or of the file, that encoding does not use
    assert facts_of(recipe, data) == before
    data.tokenizer.add_tokens(["another"])
    assert facts_of(recipe, data)["tokenizer"] != before["tokenizer"]


def test_the_largest_micro_batch_is_within_the_limit(model: Path, tmp_path: Path) -> None:
    _, data = prepared(model, tmp_path, "single")
    store = data.stores["train"]
    passes = Passes(store, Sampler(len(store), 8, 7), num_steps=6)
    whole, cut = passes.largest(None), passes.largest(20)
    assert whole.tokens > cut.tokens
    assert cut.tokens <= 20


def test_a_split_without_a_supervised_token_is_refused() -> None:
    ids = np.arange(4, dtype=np.int32)
    task = make_task("text-classification")
    with pytest.raises(DataError, match="no token"):
        check_data(from_features([{"input_ids": ids, "labels": np.full(4, -100, dtype=np.int32)}]), task, EXAMPLES)
    with pytest.raises(DataError, match="no labels"):
        check_data(from_features([{"input_ids": ids}]), task, EXAMPLES)
    check_data(from_features([{"input_ids": ids, "label": np.asarray(0)}]), task, EXAMPLES)


def long_texts(lengths: list[int]) -> list[dict[str, Any]]:
    return [
        {"text": " ".join(["a"] * length), "label": "ab"[row % 2], "where": f"a.csv:{row + 2}"}
        for row, length in enumerate(lengths)
    ]


def checked(lengths: list[int], max_length: int) -> None:
    examples = long_texts(lengths)
    task = catalog.load("task", "text-classification")().open(examples, tokenizer_of("bpe"), max_length)
    check_data(from_features(task.encode(examples)), task, examples)


def test_texts_cut_to_next_to_nothing_are_refused() -> None:
    said = r"a\.csv:2: every training text is cut at 3 tokens(.|\n)*longest has \d+"
    with pytest.raises(DataError, match=said) as caught:
        checked([20, 40, 30], 3)
    assert caught.value.mend == "raise data.max_length"
    checked([20, 40, 1], 3)
    checked([200, 400], 16)


def test_the_first_texts_that_are_cut_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    checked([1, 400, 2, 400, 400, 400], 32)
    said = capsys.readouterr().err
    assert "4 of 6 inputs (66.7%) are longer than 32 tokens" in said
    assert said.strip().endswith("the first a.csv:3, a.csv:5, a.csv:6")


def test_a_model_without_trainable_parameters_is_refused() -> None:
    line = nn.Linear(2, 3)
    assert check_trainable(line, "full") == 9
    with pytest.raises(ConfigError, match="'bitfit' trains no parameter"):
        check_trainable(line.requires_grad_(False), "bitfit")


@pytest.mark.parametrize(
    ("tuning", "message"), [("{kind: lora, rank: 99}", "rank 99 is above"), ("{kind: layers, layers: 7}", "no layer 7")]
)
def test_a_strategy_the_model_cannot_take_is_refused_before_anything_is_encoded_or_loaded(
    tuning: str, message: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(model, tmp_path, "single", f"tuning={tuning}")
    monkeypatch.setattr("fathom.model.load.load_model", None)
    monkeypatch.setattr("fathom.runs.prepare.encode_split", None)
    with pytest.raises(ModelError, match=message):
        train(recipe)


def test_tables_of_the_report() -> None:
    splits = {"before": {"loss": 1.0, "support": {"a": 1}}, "test": {"loss": 0.5, "f1": 0.25, "support": {"a": 1}}}
    assert score_table(splits) == [
        "| score | before | test |",
        "|---|---:|---:|",
        "| loss | 1.0000 | 0.5000 |",
        "| f1 |  | 0.2500 |",
    ]
    rows = class_table({"warm": {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 1200}})
    assert rows[-1] == "| warm | 1.000 | 0.500 | 0.667 | 1,200 |"


def test_the_same_seed_makes_the_same_model(model: Path, tmp_path: Path) -> None:
    weights = []
    for seed in (7, 7, 8):
        recipe, data = prepared(model, tmp_path, "single", f"training.seed={seed}")
        made = prepare_model(recipe, data, probe_machine())
        weights.append(made.model.get_parameter("classifier.weight").data.clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
