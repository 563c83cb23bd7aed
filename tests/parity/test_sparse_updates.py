"""Sparse updates: masked gradients and hard concrete gates written out in plain torch; other bits untouched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import fathom
from fathom.errors import ModelError
from fathom.model.anatomy import find_anatomy
from fathom.model.sparse_update import ChosenEntries, GatedEntries, updated_projections
from runs_for_tests import make_model as make_base
from runs_for_tests import make_recipe
from strategies_for_tests import answers, make_batch, make_model, make_tuning, mean_square, train

FAMILIES = ["bert", "gpt2", "qwen3"]


def bits(tensor: Tensor) -> Tensor:
    return tensor.detach().view(torch.int32)


def apply(kind: str, family: str = "bert", **options: Any) -> tuple[Any, nn.Module]:
    tuning, model = make_tuning(kind, **options), make_model(family)
    for tensor in model.parameters():
        tensor.data.flatten()[0] = -0.0
    return tuning, tuning.apply(model, find_anatomy(model))


def projections(family: str) -> list[str]:
    return [
        path for block in find_anatomy(make_model(family)).blocks for path in (*block.attention, *block.feed_forward)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_random_mask_is_a_mask_on_the_gradients(family: str) -> None:
    tuning, tuned = apply("random-mask", family)
    reference = apply("random-mask", family)[1]
    masks = {}
    for path, layer in updated_projections(reference).items():
        mask = torch.zeros(layer.weight.numel())
        mask[layer.get_buffer("sparse_indices")] = 1
        masks[f"{path}.weight"] = mask.view_as(layer.weight)
        assert int(mask.sum()) == round(0.1 * mask.numel())
        reference.set_submodule(path, layer.base_layer)
    heads = {name for name, tensor in reference.named_parameters() if tensor.requires_grad}
    assert heads
    named = dict(reference.named_parameters())
    batch = make_batch(family)
    optimizer = torch.optim.AdamW([named[name].requires_grad_() for name in {**masks, **dict.fromkeys(heads)}], lr=1e-2)
    optimizer.param_groups[0]["weight_decay"] = 0.0
    for _ in range(4):
        mean_square(reference.train()(**batch).logits, batch).backward()
        for name, mask in masks.items():
            named[name].grad.mul_(mask)  # type: ignore[union-attr]
        optimizer.step()
        optimizer.zero_grad()
    learning = [tensor for tensor in tuned.parameters() if tensor.requires_grad]
    ours = torch.optim.AdamW(learning, lr=1e-2, weight_decay=0.0)
    for _ in range(4):
        mean_square(tuned.train()(**batch).logits, batch).backward()
        ours.step()
        ours.zero_grad()
    tuning.fold(tuned)
    assert not updated_projections(tuned)
    torch.testing.assert_close(answers(tuned, batch), answers(reference, batch), atol=1e-4, rtol=1e-4)
    for name, tensor in tuned.named_parameters():
        if "key.bias" not in name:
            torch.testing.assert_close(tensor, named[name], atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("kind", ["random-mask", "diff-pruning"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_other_entry_keeps_every_bit(kind: str, family: str) -> None:
    tuning, tuned = apply(kind, family)
    before = {name: tensor.clone() for name, tensor in apply(kind, family)[1].named_parameters()}
    batch = make_batch(family)
    train(tuned, tuning, batch, steps=6, rate=1e-2)
    trained = answers(tuned, batch)
    tuning.fold(tuned)
    torch.testing.assert_close(answers(tuned, batch), trained, atol=1e-6, rtol=1e-5)
    paths = projections(family)
    sizes, changed = 0, 0
    for name, tensor in tuned.named_parameters():
        path = name.removesuffix(".weight")
        if path in paths:
            different = bits(tensor) != bits(before[f"{path}.base_layer.weight"])
            sizes, changed = sizes + tensor.numel(), changed + int(different.sum())
        elif find_anatomy(tuned).component_of(name)[1] != "head":
            old = before.get(name, before.get(f"{name.rpartition('.')[0]}.base_layer.bias"))
            assert old is not None
            assert torch.equal(bits(tensor), bits(old)), name
    assert 0.05 * sizes < changed <= round(0.1 * sizes) + len(paths)


def test_gates_are_the_hard_concrete_distribution() -> None:
    torch.manual_seed(0)
    layer = GatedEntries(nn.Linear(5, 4), 0.0)
    layer.diff_values.data.normal_()
    layer.diff_gates.data.normal_(std=3)
    torch.manual_seed(3)
    found = layer.train().update()
    torch.manual_seed(3)
    noise = torch.rand(20)
    stretched = torch.sigmoid((noise / (1 - noise)).log() + layer.diff_gates) * 3.0 - 1.5
    torch.testing.assert_close(found, layer.diff_values * stretched.clamp(0, 1))
    certain = (torch.sigmoid(layer.diff_gates) * 3.0 - 1.5).clamp(0, 1)
    torch.testing.assert_close(layer.eval().update(), layer.diff_values * certain)
    draws = torch.stack([layer.train().update() != 0 for _ in range(4000)]).float().mean(0).sum()
    assert float(layer.open_gates().detach()) == pytest.approx(float(draws), abs=0.3)


def test_the_gradient_of_an_update_is_autograds() -> None:
    torch.manual_seed(0)
    base = nn.Linear(6, 5)
    layer = ChosenEntries(base.requires_grad_(False), torch.tensor([3, 7, 20]))
    layer.sparse_values.data.normal_()
    hidden = torch.randn(2, 3, 6, requires_grad=True)
    layer(hidden).square().sum().backward()
    ours = (layer.sparse_values.grad, hidden.grad)
    values = layer.sparse_values.detach().clone().requires_grad_()
    plain = hidden.detach().clone().requires_grad_()
    weight = base.weight.flatten().index_add(0, torch.tensor([3, 7, 20]), values).view(5, 6)
    nn.functional.linear(plain, weight, base.bias).square().sum().backward()
    torch.testing.assert_close(ours, (values.grad, plain.grad))


def test_masks_are_drawn_from_their_seed() -> None:
    def entries(seed: int) -> list[Tensor]:
        found = updated_projections(apply("random-mask", mask_seed=seed)[1]).values()
        return [layer.get_buffer("sparse_indices") for layer in found]

    torch.manual_seed(1)
    first = entries(0)
    torch.manual_seed(2)
    assert all(torch.equal(one, other) for one, other in zip(first, entries(0), strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(first, entries(1), strict=True))
    assert not torch.equal(first[0], first[1]), "matrices of one shape have masks of their own"


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match=r"a share of 0\.0001 of the 256 entries of(.|\n)*at least 0\.004"):
        apply("random-mask", share=1e-4)


@pytest.mark.parametrize("stop", [2, 6])
def test_differences_are_pruned_to_the_share_whenever_they_are_saved(stop: int) -> None:
    tuning, tuned = apply("diff-pruning", share=0.02)
    batch = make_batch("bert")
    optimizer = torch.optim.AdamW([tensor for tensor in tuned.parameters() if tensor.requires_grad], lr=1e-2)
    for step in range(stop):
        (mean_square(tuned.train()(**batch).logits, batch) + tuning.penalty(tuned)).backward()
        optimizer.step()
        tuning.after_step(tuned, step + 1, 6)
        optimizer.zero_grad()
    layers = [layer for layer in updated_projections(tuned).values() if isinstance(layer, GatedEntries)]
    assert all(layer.settled for layer in layers) == (stop == 6)
    before = {path: layer.weight.clone() for path, layer in updated_projections(tuned).items()}
    total = sum(weight.numel() for weight in before.values())
    tuning.fold(tuned)
    changed = sum(int((tuned.get_parameter(f"{path}.weight") != weight).sum()) for path, weight in before.items())
    assert 0 < changed <= round(0.02 * total)


@pytest.mark.parametrize("kind", ["random-mask", "diff-pruning"])
def test_a_run_saves_an_ordinary_model(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    base = make_base(tmp_path / "base")
    edits = [f"tuning={{kind: {kind}, share: 0.05}}", "training.verify_reload=true", "training.optimizer=muon"]
    run = fathom.train(make_recipe(base, tmp_path, "single", *edits))
    assert run.metrics["reload_difference"] < 1e-5
    saved, old = load_file(run.folder / "model" / "model.safetensors"), load_file(base / "model.safetensors")
    matrices = [name for name in old if "encoder" in name and name.endswith("weight") and old[name].dim() == 2]
    changed = sum(int((saved[f"bert.{name}"] != old[name]).sum()) for name in matrices)
    total = sum(old[name].numel() for name in matrices)
    assert 0 < changed <= round(0.05 * total) + len(matrices)
    trained = run.metrics["parameters"]["trainable"]
    assert trained == run.metrics["forecast"]["trainable"]
    assert trained > (2 * total if kind == "diff-pruning" else 0.05 * total - len(matrices))
