"""Every strategy of the catalog on every family and task: apply, two steps, save, reload, the same logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fathom import catalog
from fathom.errors import ModelError
from fathom.model.anatomy import find_anatomy
from fathom.model.folder import load_folder
from fathom.model.load import load_model
from fathom.model.save import save_model
from fathom.model.virtual_tokens import install
from strategies_for_tests import FAMILIES, REFUSED, TASKS, answers, make_batch, make_model, make_tuning, train
from tokenizers_for_tests import tokenizer_of

KINDS = catalog.names("tuning")
CELLS = [(kind, family, task) for kind in KINDS for family in FAMILIES for task in TASKS]
STEPS = 6
"""Enough for AdamW's first steps, which are of full size whatever the gradient, to be made good: ModernBERT's final
norm turns three virtual tokens that moved a little into other logits altogether."""
OVERRIDES = {"num_labels": 3}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved body of every family."""
    root = tmp_path_factory.mktemp("bases")
    for family in FAMILIES:
        make_model(family).base_model.save_pretrained(root / family)  # type: ignore[operator, union-attr]
    return {family: root / family for family in FAMILIES}


@pytest.mark.filterwarnings("ignore::FutureWarning:transformers")
@pytest.mark.parametrize(("kind", "family", "task"), CELLS, ids=str)
def test_cell(kind: str, family: str, task: str, bases: dict[str, Path], tmp_path: Path) -> None:
    auto_class = f"AutoModelFor{TASKS[task]}"
    model = load_model(str(bases[family]), auto_class, OVERRIDES, seed=1)
    tuning = make_tuning(kind)
    if family in REFUSED.get(kind, ()):
        with pytest.raises(ModelError, match=r"none|no place"):
            tuning.apply(model, find_anatomy(model))
        return
    torch.manual_seed(0)  # what a strategy adds is drawn from torch's own generator
    tuned = tuning.apply(model, find_anatomy(model))
    frozen = {name: tensor.clone() for name, tensor in tuned.named_parameters() if not tensor.requires_grad}
    before = {name: tensor.detach().clone() for name, tensor in tuned.named_parameters() if tensor.requires_grad}
    batch = make_batch(family)
    losses = train(tuned, tuning, batch, steps=STEPS, rate=3e-3)
    assert losses[-1] < losses[0]
    named = dict(tuned.named_parameters())
    assert all(torch.equal(named[name], tensor) for name, tensor in frozen.items()), "a frozen weight changed"
    unmoved = [name for name, tensor in before.items() if torch.equal(named[name], tensor)]
    assert all(_may_stay(name, kind) for name in unmoved), unmoved
    tuning.fold(tuned)
    expected = answers(tuned, batch)
    info = {"task": {"kind": task}, "base_model": str(bases[family]), "max_length": 32}
    save_model(tuned, tokenizer_of("bpe"), tmp_path / "model", info)
    assert (tmp_path / "model" / "adapter_config.json").exists() == tuning.saves_adapter
    loaded, _, saved_info = load_folder(tmp_path / "model", auto_class)
    assert saved_info["weights"] == ("adapter" if tuning.saves_adapter else "whole")
    torch.testing.assert_close(answers(loaded, batch), expected, atol=1e-6, rtol=1e-5)


def _may_stay(name: str, kind: str) -> bool:
    """Whether a trainable parameter need not have moved: it has no gradient, or was taken away again."""
    rows_alone = "position" in name or "token_type" in name or "embedding" in name
    # attention is blind to what is added to every key; AdaLoRA masks some of E
    return rows_alone or "key.bias" in name or "k_lin.bias" in name or ("lora_E" in name and kind == "adalora")


@pytest.mark.parametrize("kind", KINDS)
def test_rates_are_those_of_a_strategy_of_its_own(kind: str) -> None:
    tuning: Any = make_tuning(kind)
    assert 0 < tuning.default_learning_rate < 0.1
    assert tuning.learning_rate is None
    model = make_model("bert")
    tuned = tuning.apply(model, find_anatomy(model))
    scales = tuning.learning_rate_scales(tuned, find_anatomy(tuned))
    heads = {name for name, tensor in tuned.named_parameters() if "classifier" in name and tensor.requires_grad}
    assert heads
    if tuning.saves_adapter:
        assert {scales[name] for name in heads} == {tuning.head_scale}
    assert all(scale > 0 for scale in scales.values())


@pytest.mark.parametrize("kind", ["prompt", "p-tuning"])
@pytest.mark.parametrize("family", FAMILIES)
def test_installing_leaves_other_models_alone(kind: str, family: str) -> None:
    model = make_model(family)
    assert install(model) is model
    assert "forward" not in vars(model)
