"""LoRA by recipe is PEFT's LoRA: the same modules, the same mathematics, folders that PEFT loads, merges that agree."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fathom import catalog
from fathom.config import validate
from fathom.model.anatomy import find_anatomy
from fathom.model.folder import load_folder
from fathom.model.load import load_model
from fathom.model.merge import merge
from fathom.model.reload import verify_reload
from folders_for_tests import FAMILIES, make_base, make_saved, make_task

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")


def load(base: Path) -> nn.Module:
    task = make_task("text-classification")
    return load_model(str(base), task.auto_class, task.config_overrides, seed=1)


def ours(base: Path, **options: Any) -> nn.Module:
    model = load(base)
    tuning = validate(catalog.load("tuning", "lora"), {"kind": "lora", "rank": 4, **options})
    torch.manual_seed(3)
    return tuning.apply(model, find_anatomy(model))


def plain_peft(base: Path, targets: str, heads: list[str], **options: Any) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules=targets, modules_to_save=heads, task_type="SEQ_CLS", **options)
    return get_peft_model(load(base), config)


def steps(model: nn.Module, count: int = 3) -> tuple[list[float], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(4, 60, (4, 9), generator=generator)
    optimizer = torch.optim.AdamW([tensor for tensor in model.parameters() if tensor.requires_grad], lr=1e-2)
    losses = []
    model.eval()  # no dropout: the two models draw nothing from the generator
    for _ in range(count):
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.tensor([0, 1, 2, 0])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses, {name: tensor.detach() for name, tensor in model.named_parameters() if tensor.requires_grad}


@pytest.mark.parametrize(
    ("family", "targets", "heads"),
    [
        ("bert", r".*encoder\.layer\.\d+\..*(query|key|value|dense)", ["pooler", "classifier"]),
        ("distilbert", r".*layer\.\d+\..*(q_lin|k_lin|v_lin|out_lin|lin1|lin2)", ["pre_classifier", "classifier"]),
        ("llama", r".*layers\.\d+\..*_proj", ["score"]),
    ],
)
def test_training_equals_plain_peft(tmp_path: Path, family: str, targets: str, heads: list[str]) -> None:
    base = make_base(tmp_path / "base", family)
    losses, weights = steps(ours(base, alpha=8))
    expected_losses, expected = steps(plain_peft(base, targets, heads, lora_alpha=8))
    assert weights.keys() == expected.keys()
    assert losses == pytest.approx(expected_losses, abs=1e-6)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=1e-6, msg=name)


def test_before_training_the_model_is_unchanged(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    ids = torch.randint(4, 60, (2, 5))
    with torch.no_grad():
        assert torch.equal(load(base).eval()(input_ids=ids).logits, ours(base).eval()(input_ids=ids).logits)


@pytest.mark.parametrize(("rslora", "scale"), [(False, 16 / 4), (True, 16 / math.sqrt(4))])
def test_scaling_is_alpha_over_rank(tmp_path: Path, rslora: bool, scale: float) -> None:
    model = ours(make_base(tmp_path / "base"), alpha=16, rslora=rslora)
    scales = {module.scaling["default"] for name, module in model.named_modules() if name.endswith("query")}
    assert scales == {scale}


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_peft_loads_the_saved_adapter(tmp_path: Path, family: str) -> None:
    from peft import PeftModel

    saved = make_saved(tmp_path, "lora", family=family, rank=2)
    loaded = PeftModel.from_pretrained(load(saved.base), str(saved.folder)).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(**saved.inputs).logits, saved.logits, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("family", "bias"), [("bert", "all"), ("gpt2", "none")])
def test_merging_agrees(tmp_path: Path, family: str, bias: str) -> None:
    saved = make_saved(tmp_path, "lora", family=family, rank=2, bias=bias)
    merge(saved.folder, tmp_path / "merged", saved.auto_class)
    model, _, _ = load_folder(tmp_path / "merged", saved.auto_class)
    with torch.no_grad():
        torch.testing.assert_close(model(**saved.inputs).logits, saved.logits, atol=1e-5, rtol=1e-4)


def test_auto_peft_and_transformers_load_the_folder(tmp_path: Path) -> None:
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification

    saved = make_saved(tmp_path, "lora")
    for auto in (AutoPeftModelForSequenceClassification, AutoModelForSequenceClassification):
        model = auto.from_pretrained(str(saved.folder), num_labels=3).eval()
        with torch.no_grad():
            torch.testing.assert_close(model(**saved.inputs).logits, saved.logits, atol=1e-6, rtol=1e-6)


def test_a_fresh_process_agrees(tmp_path: Path) -> None:
    saved = make_saved(tmp_path, "lora", family="gpt2")
    assert verify_reload(saved.folder, saved.auto_class, saved.inputs, saved.logits) < 1e-5
