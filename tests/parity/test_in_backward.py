"""Updates in the backward pass are those of the step that would follow it, and gradients are never all there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import fathom
from fathom import catalog
from fathom.config import validate
from fathom.device import probe_machine
from fathom.errors import TrainingError
from fathom.model import compute
from fathom.model.passing_gradients import PassingParameters
from fathom.recipe import Recipe, resolve
from fathom.runs.prepare import PreparedModel, prepare_data, prepare_model
from fathom.training.forward import Losses, Runner
from fathom.training.loop import Loop
from fathom.tuning.base import Tuning
from languages_for_tests import WORDS, make_tokenizer
from runs_for_tests import identical, make_model, make_recipe

ON = "training.optimizer_in_backward=true"
UNCLIPPED = "training.max_grad_norm=0"
OPTIMIZERS = {
    "adamw": "adamw",
    "sgd": "{kind: sgd, momentum: 0.9}",
    "lion": "lion",
    "adafactor": "adafactor",
    "rmsprop": "rmsprop",
}
TEXT = "\n".join(" ".join(WORDS[(7 * line + word * word) % len(WORDS)] for word in range(23)) for line in range(24))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def train(model: Path, folder: Path, *edits: str, problem: str = "single") -> Path:
    folder.mkdir(exist_ok=True)
    return fathom.train(make_recipe(model, folder, problem, UNCLIPPED, *edits)).folder


def language_recipe(folder: Path, architecture: str, task: str, **training: Any) -> Recipe:
    """A new model whose word table is head and embeddings at once."""
    folder.mkdir(exist_ok=True)
    make_tokenizer().save_pretrained(folder / "tokenizer")
    (folder / "train.txt").write_text(TEXT, encoding="utf-8")
    sizes = {"depth": 2, "width": 16, "heads": 2, "tokenizer": str(folder / "tokenizer")}
    own = {"max_steps": 4, "batch_size": 4, "threads": 1, "precision": "fp32", "seed": 3, "save_steps": 4}
    raw = {
        "model": {"kind": "new", "architecture": architecture, **sizes},
        "data": {"train": str(folder / "train.txt"), "max_length": 24, "document_separator": "line"},
        "task": task,
        "training": {**own, "max_grad_norm": 0, "verify_reload": False, **training},
        "output": str(folder / "run"),
    }
    return validate(Recipe, raw)


def saved(run: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of the last checkpoint, and its moments without the number of their part."""
    last = max((run / "checkpoints").glob("step-*"), key=lambda folder: int(folder.name.partition("-")[2]))
    moments = load_file(last / "optimizer.safetensors") if (last / "optimizer.safetensors").is_file() else {}
    plain = {}
    for name, value in moments.items():
        parts = name.split("/")
        plain["/".join(part for part in parts[1:] if not part.isdigit())] = value
    return load_file(last / "model.safetensors"), plain


def same(first: Path, second: Path) -> None:
    """Weights and moments are equal to the last bit, and so are the losses."""
    for ours, theirs in zip(saved(first), saved(second), strict=True):
        assert ours.keys() == theirs.keys()
        assert [name for name, value in ours.items() if not torch.equal(value, theirs[name])] == []
    assert curve(first, "loss") == curve(second, "loss")


def curve(run: Path, name: str) -> list[float]:
    said = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line[name] for line in said if line["split"] == "train" and name in line]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_is_the_one_that_updates_after_the_backward_pass(optimizer: str, model: Path, tmp_path: Path) -> None:
    edits = (f"training.optimizer={OPTIMIZERS[optimizer]}", "training.weight_decay=0.1")
    usual = train(model, tmp_path / "usual", *edits)
    apart = train(model, tmp_path / "apart", *edits, ON)
    same(apart, usual)
    assert curve(apart, "grad_norm") == pytest.approx(curve(usual, "grad_norm"), rel=1e-5)


def test_muon_differs_by_the_rounding_of_its_batched_products(model: Path, tmp_path: Path) -> None:
    usual = train(model, tmp_path / "usual", "training.optimizer=muon")
    apart = train(model, tmp_path / "apart", "training.optimizer=muon", ON)
    ours, theirs = saved(apart)[0], saved(usual)[0]
    assert max((ours[name] - theirs[name]).abs().max().item() for name in theirs) < 1e-4


@pytest.mark.parametrize(
    ("edits", "problem"),
    [
        (("tuning=lora",), "tags"),
        (("training.activation_checkpointing=true",), "single"),
        (("tuning=layerwise",), "single"),
        (("tuning=head",), "single"),
        (("training.decay_embeddings=false", "training.weight_decay=0.3"), "multi"),
    ],
)
def test_under_other_settings_too(edits: tuple[str, ...], problem: str, model: Path, tmp_path: Path) -> None:
    usual = train(model, tmp_path / "usual", *edits, problem=problem)
    same(train(model, tmp_path / "apart", *edits, ON, problem=problem), usual)


def test_a_padded_batch_goes_in_one_pass_where_it_was_cut_by_length(model: Path, tmp_path: Path) -> None:
    edits = ("training.packing=false", "training.dropout=0")
    usual = train(model, tmp_path / "usual", *edits, problem="tags")
    apart = train(model, tmp_path / "apart", *edits, ON, problem="tags")
    assert curve(apart, "loss") == pytest.approx(curve(usual, "loss"), rel=1e-4)


def test_bf16_copies_follow(model: Path, tmp_path: Path) -> None:
    if not probe_machine().bf16_native:
        pytest.skip("the processor has no bf16")
    usual = train(model, tmp_path / "usual", "training.precision=bf16")
    same(train(model, tmp_path / "apart", "training.precision=bf16", ON), usual)


@pytest.mark.parametrize(("architecture", "task"), [("gpt2", "causal-lm"), ("bert", "masked-lm"), ("t5", "prefix-lm")])
def test_a_table_read_at_both_ends_waits_for_both(architecture: str, task: str, tmp_path: Path) -> None:
    runs = [
        fathom.train(language_recipe(tmp_path / str(apart), architecture, task, optimizer_in_backward=apart)).folder
        for apart in (False, True)
    ]
    same(runs[1], runs[0])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "adafactor"])
def test_stopped_and_run_again_is_the_same(
    optimizer: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = (ON, f"training.optimizer={optimizer}", "training.save_steps=3")
    whole = train(model, tmp_path / "whole", *edits)
    real = Loop._step

    def stopping(loop: Loop, state: Any) -> Any:
        if state.step == 5:
            raise KeyboardInterrupt
        return real(loop, state)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(model, tmp_path / "cut", *edits)
    again = train(model, tmp_path / "cut", *edits)
    identical(again, whole)
    same(again, whole)


def test_gradients_are_never_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most there is at once is what the forecast says: the tied table, a block, and what lies behind the blocks."""
    most = 0
    real = PassingParameters._hold

    def watched(parameters: PassingParameters, group: int) -> None:
        nonlocal most
        real(parameters, group)
        most = max(most, sum(gradient.untyped_storage().size() for gradient in parameters.gradients))

    monkeypatch.setattr(PassingParameters, "_hold", watched)
    recipe = language_recipe(tmp_path, "gpt2", "causal-lm", optimizer_in_backward=True)
    prepared = opened(recipe)
    work = prepared.work
    assert isinstance(work.parameters, PassingParameters)
    everything = sum(gradient.nbytes for gradient in work.parameters.gradients)
    by_stage = {
        stage: sum(work.parameters.gradients[group].nbytes for group in work.parameters._groups(stage))
        for stage in work.parameters.stages
    }
    fathom.train(recipe)
    # the embeddings' gradients begin at the head; of the blocks there is one
    assert by_stage[0] + by_stage[1] <= most <= by_stage[0] + max(by_stage[1], by_stage[2]) + by_stage[3]
    assert most < everything


def opened(recipe: Recipe) -> PreparedModel:
    machine = probe_machine()
    resolved = resolve(recipe, machine)
    return prepare_model(resolved, prepare_data(resolved), machine)


def spoiled(value: float, *steps: int) -> Callable[..., Losses]:
    """The loss of a pass, multiplied by a value at the given calls, counted from 1."""
    calls = 0
    real = Runner.loss

    def loss(runner: Runner, *args: Any) -> Losses:
        nonlocal calls
        found = real(runner, *args)
        calls += 1
        return found._replace(total=found.total * value) if calls in steps else found

    return loss


@pytest.mark.parametrize("policy", ["retry", "skip"])
def test_a_bad_loss_is_tried_again_or_left_out_as_ever(
    policy: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = (f"training.non_finite={policy}",)
    folders = []
    for name, more in (("usual", ()), ("apart", (ON,))):
        with monkeypatch.context() as patch:
            patch.setattr(Runner, "loss", spoiled(float("nan"), 3))
            folders.append(train(model, tmp_path / name, *edits, *more))
    same(folders[1], folders[0])
    assert len(curve(folders[1], "event")) == 1


def test_a_bad_gradient_under_a_good_loss_ends_the_run_and_spoils_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = (ON, "training.save_steps=2")
    calls = 0
    real = compute.column_sums

    def sums(grad_TF: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        found = real(grad_TF)
        # each of two blocks sums six times in a step: the last of the fourth step lies in the lower block
        return found * float("nan") if calls == 4 * 12 else found

    with monkeypatch.context() as patch:
        patch.setattr(compute, "column_sums", sums)
        with pytest.raises(TrainingError, match=r"step 4: .* gradient of '\S*layer\.0\.\S*bias' is not finite .*csv:"):
            train(model, tmp_path / "run", *edits)
    kept = sorted(folder.name for folder in (tmp_path / "run/run/checkpoints").glob("step-*"))
    assert kept == ["step-2"]
    whole = train(model, tmp_path / "whole", *edits)
    same(train(model, tmp_path / "run", *edits), whole)


def test_memory_that_runs_out_is_told_and_the_batch_is_not_cut(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Runner, "loss", exhausted)
    with pytest.raises(TrainingError, match=r"step 1: memory does not hold its .* tokens in one pass") as refused:
        train(model, tmp_path / "run", ON)
    assert "training.batch_size" in str(refused.value)


def test_a_test_of_rates_updates_so_too(model: Path, tmp_path: Path) -> None:
    curves = []
    for name, more in (("usual", []), ("apart", [ON])):
        (tmp_path / name).mkdir()
        make_recipe(model, tmp_path / name)
        source = str(tmp_path / name / "job.yaml")
        curves.append(fathom.find_rate(source, [UNCLIPPED, *more], tmp_path / name / "rates", num_steps=30))
    assert curves[0].losses == curves[1].losses


@pytest.mark.parametrize("name", catalog.names("tuning"))
def test_strategies_that_look_at_a_whole_step_say_so(name: str) -> None:
    part = catalog.load("tuning", name)
    looks = any(getattr(part, method) is not getattr(Tuning, method) for method in ("penalty", "after_step", "stages"))
    assert part.updates_apart is not looks
