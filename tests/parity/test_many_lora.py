"""Several LoRA adapters in one pass are each what they are alone: losses, gradients, masks, scores, saved folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

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
from runs_for_tests import alike, lines, make_model, make_recipe

VARIED = (
    ("tuning.rank=2",),
    (
        "tuning.rank=4",
        "training.learning_rate=0.01",
        "training.seed=3",
        "tuning.dropout=0.2",
        "training.max_grad_norm=0.1",
    ),
    ("tuning.initialization=orthogonal", "training.batch_size=5", "training.max_steps=11", "training.optimizer=lion"),
)
"""What differs between the trials of a pass: ranks, rates, seeds, masks, clipping, optimizer, batches, length."""


def numbers(result: Any) -> dict[str, float]:
    """What a step gave; these tasks have one objective."""
    assert result.side_loss is None
    return {name: value for name, value in vars(result).items() if name != "side_loss"}


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

    rates = ("0.003", "1e30")
    joint = train_together([recipe_of(rate, tmp_path / "joint" / rate) for rate in rates])
    assert isinstance(joint[1], TrainingError)
    assert "step" in str(joint[1])
    assert not (tmp_path / "joint" / "1e30" / "metrics.json").exists()
    assert isinstance(joint[0], RunResult)
    alike(joint[0].folder, train(recipe_of(rates[0], tmp_path / "alone")).folder)


TEXTS = ("a pet", "Smith visited Berlin in May", "O'Neill said that unbelievable 北京 大学 上海", "the Dr. said so")


def gathered(base: Path, folder: Path, task: str, precision: str = "fp32") -> tuple[JointSteps, list[Asked]]:
    """Three adapters of different ranks, seeds and batches over one base, no update zero; and a step of each."""
    rows = [
        f"{text}{' and then' * (number % 5)},{'no' if number % 3 else 'yes'}" for number, text in enumerate(TEXTS * 4)
    ]
    head = [] if task == "causal-lm" else ["text,label"]
    data = folder / ("rows.txt" if task == "causal-lm" else "rows.csv")
    data.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")
    machine = replace(probe_machine(), bf16_native=True)  # slowly where it is not
    found = []
    for number, rank in enumerate((2, 4, 6)):
        raw = {
            "model": str(base),
            "data": {"train": str(data), "validation_fraction": 0.0, "max_length": 24}
            | ({"document_separator": "line"} if task == "causal-lm" else {}),
            "task": task,
            "tuning": {"kind": "lora", "rank": rank, "initialization": "orthogonal", "dropout": 0.1 * number},
            "training": {
                "batch_size": 4 + number,
                "precision": precision,
                "seed": number,
                "threads": 1,
                "dropout": 0.1,
            },
            "output": str(folder / str(number)),
        }
        found.append(resolve(validate(Recipe, raw), machine))
    gathered = module._gather(found, machine)
    assert gathered.base is not None
    works = [one.prepared.work for one in gathered.members]
    for work in works:
        work.train_mode()
    orders = [usual_order(work.store, recipe.training) for work, recipe in zip(works, found, strict=True)]
    return JointSteps(gathered.base, works), [Asked(n, order.batch(1), 1) for n, order in enumerate(orders)]


@pytest.mark.parametrize(
    ("family", "task"),
    [
        *((name, "text-classification") for name in ("gpt2", "llama", "modernbert")),
        ("gpt2", "causal-lm"),
    ],
)
def test_gradients_are_those_of_each_alone_in_every_family(tmp_path: Path, family: str, task: str) -> None:
    base = make_base(tmp_path / "base", family)
    steps, asked = gathered(base, tmp_path, task)
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
            assert numbers(found[number]) == pytest.approx(numbers(result), rel=1e-5)
            for gradient, expected in zip(steps.works[number].parameters.gradients, buffers[number], strict=True):
                assert expected.abs().max() > 0
                torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-4)


def test_in_low_precision_gradients_stay_near_and_weights_are_in_memory_once(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    steps, asked = gathered(base, tmp_path, "text-classification", "bf16")
    steps.compare(asked)  # in float32
    wanted = {item.number: compute_gradient(steps.works[item.number], item.rows, item.step) for item in asked}
    for number, result in steps.compute(asked).items():
        assert numbers(result) == pytest.approx(numbers(wanted[number]), rel=0.02)
    frozen = [
        [module for path, module in work.model.named_modules() if path.endswith("query.base_layer")]
        for work in steps.works
    ]
    for modules in zip(*frozen, strict=True):
        assert len({module.weight.data_ptr() for module in modules}) == 1
        copies = [work.compute.leaf_of(one).weight_FD for work, one in zip(steps.works, modules, strict=True)]
        assert copies[0].dtype == torch.bfloat16
        assert len({copy.data_ptr() for copy in copies}) == 1


def test_passes_are_halved_where_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, sizes = SharedBase.run, []

    def narrow(base: SharedBase, batches: Any) -> Any:
        sizes.append(len(batches))
        if len(batches) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return real(base, batches)

    steps, asked = gathered(make_base(tmp_path / "base"), tmp_path, "text-classification")
    expected = steps.compute(asked)
    monkeypatch.setattr(SharedBase, "run", narrow)
    found = steps.compute(asked)
    assert sizes[0] == 3 and steps.most_tokens is not None
    for number, result in expected.items():
        assert numbers(found[number]) == pytest.approx(numbers(result), rel=1e-5)
