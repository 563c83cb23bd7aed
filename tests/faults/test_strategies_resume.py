"""Every strategy by recipe: it trains, leaves alone what it freezes, and a stopped run ends as one never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import fathom
from fathom import catalog
from fathom.model.folder import load_folder
from fathom.training.loop import Loop
from runs_for_tests import make_model, make_recipe
from stops_for_tests import stopped_before
from strategies_for_tests import make_tuning, require

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:transformers")

OPTIONS = {
    "layers": "layers: [-1]",
    "auto-freezing": "intervals: 6",
    "lora": "rank: 2",
    "qlora": "rank: 2",
    "dora": "rank: 2",
    "adalora": "rank: 2, initial_rank: 4, warmup: 0.1, final: 0.3",
    "vera": "rank: 6",
    "adapter": "size: 4",
    "ladder": "width: 6, inner: 8",
    "prompt": "num_virtual_tokens: 3",
    "p-tuning": "num_virtual_tokens: 3, hidden_size: 8",
    "prefix": "num_virtual_tokens: 3",
}
STEPS = 12
AUTO_CLASS = "AutoModelForSequenceClassification"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def recipe(base: Path, folder: Path, kind: str) -> Any:
    folder.mkdir(exist_ok=True)
    edits = [
        f"tuning={{kind: {kind}, {OPTIONS.get(kind, '')}}}",
        "data.test=null",
        "training.dropout=0.1",
        f"training.max_steps={STEPS}",
        "training.load_best_model_at_end=false",
    ]
    return make_recipe(base, folder, "single", *edits)


def weights(folder: Path) -> dict[str, Tensor]:
    return {
        f"{path.name}/{name}": tensor
        for path in sorted((folder / "model").glob("*.safetensors"))
        for name, tensor in load_file(str(path)).items()
    }


@pytest.mark.parametrize("kind", catalog.names("tuning"))
def test_stopped_and_resumed(kind: str, base: Path, tmp_path: Path) -> None:
    require(kind)
    whole = fathom.train(recipe(base, tmp_path / "whole", kind)).folder
    # AdaLoRA has its ranks settled at step 9: once before, with averages to keep, once after, with ranks to keep
    for stop in (6, 11) if kind == "adalora" else (6,):
        with stopped_before(stop):
            fathom.train(recipe(base, tmp_path / f"stopped{stop}", kind))
        again = fathom.train(recipe(base, tmp_path / f"stopped{stop}", kind)).folder
        expected, found = weights(whole), weights(again)
        assert expected.keys() == found.keys()
        assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    if not make_tuning(kind).saves_adapter:
        _check_frozen(kind, base, whole)


def _check_frozen(kind: str, base: Path, run: Path) -> None:
    """Compare what the strategy froze with the base model's file."""
    from fathom.config import validate
    from fathom.model.anatomy import find_anatomy

    model, _, _ = load_folder(run / "model", AUTO_CLASS)
    options = {"layers": [-1]} if kind == "layers" else {}
    validate(catalog.load("tuning", kind), {"kind": kind, **options}).apply(model, find_anatomy(model))
    before = load_file(str(base / "model.safetensors"))
    names = {
        name: tensor
        for name, tensor in model.named_parameters()
        if not tensor.requires_grad and name.removeprefix("bert.") in before
    }
    assert names or kind in ("full", "layerwise", "gradual-unfreezing", "auto-freezing")
    assert all(torch.equal(tensor, before[name.removeprefix("bert.")]) for name, tensor in names.items())


def test_adalora_spends_its_budget_in_the_loop(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranks: list[int] = []
    original = Loop._step

    def counted(self: Loop, state: Any) -> Any:
        result = original(self, state)
        named = self.work.model.named_parameters()
        ranks.append(sum(int((tensor != 0).sum()) for name, tensor in named if "lora_E" in name))
        return result

    monkeypatch.setattr(Loop, "_step", counted)
    run = fathom.train(recipe(base, tmp_path / "run", "adalora")).folder
    projections = 2 * 6
    # the first step has a rate of 0 and leaves the diagonal at 0; then the budget falls, and stays where it was settled
    assert ranks[1] > ranks[3] > ranks[8]
    assert ranks[8:] == [2 * projections] * 4
    saved = weights(run)
    kept = [tensor for name, tensor in saved.items() if name.endswith("lora_E")]
    assert sum(tensor.numel() for tensor in kept) == 2 * projections


def test_adalora_settles_its_ranks_when_the_step_for_it_was_left_out() -> None:
    from fathom.model.anatomy import find_anatomy
    from strategies_for_tests import make_batch, mean_square
    from strategies_for_tests import make_model as tiny

    tuning: Any = make_tuning("adalora", rank=2, initial_rank=4)
    model = tiny("bert")
    tuned: Any = tuning.apply(model, find_anatomy(model))
    optimizer = torch.optim.AdamW([tensor for tensor in tuned.parameters() if tensor.requires_grad], lr=1e-2)
    batch = make_batch("bert")
    for step in range(1, 13):
        mean_square(tuned(**batch).logits, batch).backward()
        optimizer.step()
        if step not in (8, 9, 10):  # 9 is the one PEFT waits for
            tuning.after_step(tuned, step, 12)
        optimizer.zero_grad()
    values = [tensor for name, tensor in tuned.named_parameters() if "lora_E" in name]
    assert sum(int((tensor != 0).sum()) for tensor in values) == 2 * len(values)
