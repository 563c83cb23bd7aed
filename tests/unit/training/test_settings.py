"""The `training` section: optimizers and schedules as parts, their other names, the rate each optimizer starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fathom import catalog
from fathom.device import probe_machine
from fathom.errors import ConfigError
from fathom.recipe import Recipe, dump_recipe, load_recipe, recipe_digest, resolve
from fathom.training.settings import Training


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "recipe.yaml"
    file.write_text("model: minilm\ndata: train.csv\ntask: text-classification\n", encoding="utf-8")
    return file


def training(path: Path, *edits: str) -> Training:
    return load_recipe(path, edits).training


def test_bare_names_and_options(path: Path) -> None:
    assert training(path).optimizer.kind == "adamw"
    assert training(path).lr_scheduler.kind == "linear"
    found = training(path, "training.optimizer={kind: muon, momentum: 0.9}", "training.lr_scheduler=cosine")
    assert found.optimizer.model_dump()["momentum"] == 0.9
    assert found.lr_scheduler.kind == "cosine"
    edited = training(path, "training.optimizer=sgd", "training.optimizer.momentum=0.9", "training.optim.nesterov=true")
    assert edited.optimizer.model_dump() == {"kind": "sgd", "momentum": 0.9, "nesterov": True}
    assert training(path, "training.lr_scheduler.min_lr_rate=0.1", "training.lr_scheduler.kind=cosine")


@pytest.mark.parametrize(
    ("family", "alias"), [(family, alias) for family, names in catalog.ALIASES.items() for alias in names]
)
def test_hugging_face_names_are_read_and_ours_are_written(family: str, alias: str, path: Path) -> None:
    recipe = load_recipe(path, [f"training.{family}={alias}"])
    written = load_recipe_again(recipe, path.parent)
    found: Any = getattr(written.training, family)
    assert found.kind == catalog.ALIASES[family][alias]
    assert found.kind in catalog.CATALOG[family]
    assert written == recipe


def test_one_rhythm_of_evaluation(path: Path) -> None:
    assert training(path, "training.eval_epochs=2").eval_epochs == 2
    with pytest.raises(ConfigError, match="eval_steps and eval_epochs both say when to evaluate: leave one of them"):
        training(path, "training.eval_epochs=2", "training.eval_steps=10")
    with pytest.raises(ConfigError, match=r"training\.eval_epochs"):
        training(path, "training.eval_epochs=0.5")


def load_recipe_again(recipe: Recipe, folder: Path) -> Recipe:
    file = folder / "recipe.yaml"  # as in a run's folder: the file's name names nothing
    file.write_text(dump_recipe(recipe), encoding="utf-8")
    return load_recipe(file)


@pytest.mark.parametrize("name", catalog.names("optimizer"))
def test_a_rate_that_nobody_gave_is_made_for_the_optimizer(name: str, path: Path) -> None:
    machine = probe_machine()
    recipe = resolve(load_recipe(path, [f"training.optimizer={name}"]), machine)
    scale = recipe.training.optimizer.learning_rate_scale
    assert recipe.training.learning_rate == pytest.approx(2e-4 * scale)
    assert resolve(recipe, machine) == recipe
    given = resolve(load_recipe(path, [f"training.optimizer={name}", "training.lr=0.125"]), machine)
    assert given.training.learning_rate == 0.125
    strategy = resolve(load_recipe(path, [f"training.optimizer={name}", "tuning.learning_rate=0.25"]), machine)
    assert strategy.training.learning_rate == 0.25


def test_options_decide_the_digest_and_logging_does_not(path: Path) -> None:
    digests = [
        recipe_digest(load_recipe(path, edits))
        for edits in (
            [],
            ["training.optimizer=adamw_torch"],
            ["training.log_gradients=layers"],
            ["training.optimizer=lion"],
            ["training.optimizer={kind: lion, beta2: 0.98}"],
            ["training.lr_scheduler={kind: cosine, min_lr_ratio: 0.1}"],
        )
    ]
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests[2:])) == 4


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("training.optimizer={kind: muon, momentun: 0.9}", "training.optimizer.momentun: unknown key, did you mean"),
        ("training.optimizer.momentum=0.9", "training.optimizer.momentum: unknown key ('adamw' has no options)"),
        (
            "training.lr_scheduler={kind: cosine, power: 2}",
            "lr_scheduler.power: unknown key ('cosine' has min_lr_rate)",
        ),
        ("training.optimizer={kind: sgd, momentum: 1.5}", "training.optimizer.momentum: should be less than 1"),
        ("training.optimizer={kind: sgd, nesterov: true}", "nesterov needs a momentum"),
        ("training.lr_scheduler={kind: step, gamma: 0}", "training.lr_scheduler.gamma: should be greater than 0"),
        ("training.lr_scheduler={kind: warmup_stable_decay, decay_type: sqrt}", "training.lr_scheduler.decay_type"),
        ("training.optimizer=7", "training.optimizer: should be a mapping"),
    ],
)
def test_mistakes_in_options_are_told_with_their_path(edit: str, said: str, path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, [edit])
    assert said in str(caught.value)


def test_updates_in_the_backward_pass_name_all_that_they_cannot_go_with(path: Path) -> None:
    on = "training.optimizer_in_backward=true"
    with pytest.raises(ConfigError, match="max_grad_norm: 0 ") as refused:
        load_recipe(path, [on, "training.micro_batch_tokens=64", "training.log_gradients=layers"])
    assert "micro_batch_tokens: auto" in str(refused.value) and "log_gradients: none" in str(refused.value)
    for tuning in ("adalora", "diff-pruning", "gradual-unfreezing", "auto-freezing"):
        with pytest.raises(ConfigError, match=rf"tuning\.kind '{tuning}' needs those of the whole step"):
            load_recipe(path, [on, "training.max_grad_norm=0", f"tuning={tuning}"])
    assert training(path, "training.optimizer_in_bwd=true", "training.max_grad_norm=0").optimizer_in_backward


def test_offload_is_refused_without_a_gpu_and_changes_no_result_with_one(path: Path) -> None:
    machine = probe_machine()
    recipe = load_recipe(path, ["training.activation_offloading=true", "training.precision=fp32"])
    with pytest.raises(ConfigError, match="there is no GPU"):
        resolve(recipe, replace(machine, device="cpu", gpu=None))
    resolved = resolve(recipe, replace(machine, device="cuda", gpu="some GPU"))
    plain = load_recipe(path, ["training.precision=fp32"])
    assert resolved.training.activation_offload
    assert recipe_digest(recipe) == recipe_digest(plain)
