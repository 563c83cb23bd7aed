"""Several LoRA adapters in one pass are each what they are alone: losses, gradients, masks, scores, saved folders."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fathom.config import validate
from fathom.device import probe_machine
from fathom.errors import TrainingError
from fathom.model.many_lora import SharedBase
from fathom.recipe import Recipe, resolve
from fathom.runs import together as module
from fathom.runs.micro_batch import usual_order
from fathom.runs.open_run import RunResult
from fathom.runs.together import train_together
from fathom.runs.train import train
from fathom.training.step import compute_gradient
from fathom.training.together import Asked, JointSteps
from folders_for_tests import make_base
from runs_for_tests import make_model, make_recipe

LINES = ("step", "split", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "accuracy", "entity_f1")
VARIED = (
    ("tuning.rank=2",),
    ("tuning.rank=4", "training.learning_rate=0.01", "training.seed=3", "tuning.dropout=0.2"),
    ("tuning.rank=8", "tuning.alpha=8", "tuning.initialization=orthogonal", "training.max_grad_norm=0.1"),
    ("training.seed=9", "training.batch_size=5", "training.max_steps=11", "training.optimizer=lion"),
)
"""What differs between the trials of a pass: ranks, rates, seeds, masks, clipping, optimizer, batches, length."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("many") / "tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def recipes(tiny: Path, folder: Path, problem: str, *edits: str) -> list[Recipe]:
    folder.mkdir()
    found = []
    for number, own in enumerate(VARIED):
        output = f"output={folder / str(number)}"
        found.append(make_recipe(tiny, folder, problem, "tuning=lora", *edits, *own, output))
    return found


def lines(folder: Path) -> list[dict[str, Any]]:
    said = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key in LINES} for line in said]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(str(folder / "model" / "adapter_model.safetensors"))


def alike(first: Path, second: Path) -> None:
    """Both folders hold the same run: every logged loss and norm, every score, the adapter."""
    ours, theirs = lines(first), lines(second)
    assert len(ours) == len(theirs) > 8
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            expected = pytest.approx(other[key], rel=1e-5, abs=1e-5) if isinstance(value, float) else other[key]
            assert value == expected, (key, one, other)
    kept, expected_weights = weights(first), weights(second)
    assert kept.keys() == expected_weights.keys()
    for name, tensor in kept.items():
        torch.testing.assert_close(tensor, expected_weights[name], atol=1e-4, rtol=1e-4, msg=name)


def test_losses_scores_and_folders_are_those_of_each_alone(tiny: Path, tmp_path: Path) -> None:
    for recipe in recipes(tiny, tmp_path / "apart", "tags"):
        train(recipe)
    joint = train_together(recipes(tiny, tmp_path / "joint", "tags"))
    for number, result in enumerate(joint):
        assert isinstance(result, RunResult)
        assert result.metrics["together"] == len(VARIED)
        alike(result.folder, tmp_path / "apart" / str(number))
        names = {path.name for path in (result.folder / "model").iterdir()}
        assert names == {path.name for path in (tmp_path / "apart" / str(number) / "model").iterdir()}
    learned = [lines(tmp_path / "joint" / str(number))[-1]["loss"] for number in range(len(VARIED))]
    assert len(set(learned)) == len(VARIED)


def test_a_run_whose_loss_is_not_finite_is_left_and_the_others_go_on(tiny: Path, tmp_path: Path) -> None:
    edits = ("tuning=lora", "training.non_finite=skip", "training.max_skipped_steps=1")

    def recipe_of(rate: str, output: Path) -> Recipe:
        return make_recipe(tiny, tmp_path, "single", *edits, f"training.learning_rate={rate}", f"output={output}")

    rates = ("0.003", "1e30", "0.01")
    joint = train_together([recipe_of(rate, tmp_path / "joint" / rate) for rate in rates])
    assert isinstance(joint[1], TrainingError)
    assert "step" in str(joint[1])
    assert not (tmp_path / "joint" / "1e30" / "metrics.json").exists()
    for number in (0, 2):
        found = joint[number]
        assert isinstance(found, RunResult)
        alike(found.folder, train(recipe_of(rates[number], tmp_path / rates[number])).folder)


TEXTS = ("a pet", "Smith visited Berlin in May", "O'Neill said that unbelievable 北京 大学 上海", "the Dr. said so")


def gathered(base: Path, folder: Path, task: str) -> Iterator[tuple[JointSteps, list[Asked]]]:
    """Three adapters of different ranks, seeds and batches over one base, no update zero; and two steps of each."""
    rows = [
        f"{text}{' and then' * (number % 5)},{'no' if number % 3 else 'yes'}" for number, text in enumerate(TEXTS * 4)
    ]
    head = [] if task == "causal-lm" else ["text,label"]
    data = folder / ("rows.txt" if task == "causal-lm" else "rows.csv")
    data.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")
    machine = probe_machine()
    found = []
    for number, rank in enumerate((2, 4, 6)):
        raw = {
            "model": str(base),
            "data": {"train": str(data), "validation_fraction": 0.0, "max_length": 24}
            | ({"document_separator": "line"} if task == "causal-lm" else {}),
            "task": task,
            "tuning": {"kind": "lora", "rank": rank, "initialization": "orthogonal", "dropout": 0.1 * number},
            "training": {"batch_size": 4 + number, "precision": "fp32", "seed": number, "threads": 1, "dropout": 0.1},
            "output": str(folder / str(number)),
        }
        found.append(resolve(validate(Recipe, raw), machine))
    base_of_all, members = module._gather(found, machine)
    works = [prepared.work for _, prepared in members]
    for work in works:
        work.train_mode()
    for step in range(2):
        orders = [usual_order(work.store, recipe.training) for work, recipe in zip(works, found, strict=True)]
        yield JointSteps(base_of_all, works), [Asked(n, order.batch(step), step) for n, order in enumerate(orders)]


@pytest.mark.parametrize(
    ("family", "task"),
    [
        *((name, "text-classification") for name in ("distilbert", "gpt2", "llama", "modernbert", "roberta")),
        ("gpt2", "causal-lm"),
    ],
)
def test_gradients_are_those_of_each_alone_in_every_family(tmp_path: Path, family: str, task: str) -> None:
    base = make_base(tmp_path / "base", family)
    for steps, asked in gathered(base, tmp_path, task):
        steps.compare(asked)
        wanted, buffers = {}, {}
        for item in asked:
            work = steps.works[item.number]
            wanted[item.number] = compute_gradient(work, item.rows, item.step)
            buffers[item.number] = [gradient.clone() for gradient in work.parameters.gradients]
            for slot in work.parameters.slots.values():
                work.parameters.gradient(slot).fill_(7.0)
        for most_tokens in (None, 90):
            steps.most_tokens = most_tokens
            found = steps.compute(asked)
            for number, result in wanted.items():
                assert vars(found[number]) == pytest.approx(vars(result), rel=1e-5)
                for gradient, expected in zip(steps.works[number].parameters.gradients, buffers[number], strict=True):
                    assert expected.abs().max() > 0
                    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)


def test_passes_are_halved_where_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = SharedBase.run, []

    def narrow(base: SharedBase, batches: Any) -> Any:
        sizes.append(len(batches))
        if len(batches) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(base, batches)

    steps, asked = next(gathered(make_base(tmp_path / "base"), tmp_path, "text-classification"))
    expected = steps.compute(asked)
    monkeypatch.setattr(SharedBase, "run", narrow)
    found = steps.compute(asked)
    assert sizes[0] == 3 and steps.most_tokens is not None
    for number, result in expected.items():
        assert vars(found[number]) == pytest.approx(vars(result), rel=1e-5)


def test_frozen_weights_are_in_memory_once(tmp_path: Path) -> None:
    steps, _ = next(gathered(make_base(tmp_path / "base"), tmp_path, "text-classification"))
    places = [
        {parameter.data_ptr() for name, parameter in work.model.named_parameters() if "base_layer.weight" in name}
        for work in steps.works
    ]
    assert places[0] and places[0] == places[1] == places[2]
