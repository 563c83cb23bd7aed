"""On a CUDA device: packed equals padded, and a short run in bf16 learns, stops, and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import fathom
from fathom.model.load import load_model
from fathom.model.packing import pack_model
from fathom.training.loop import Loop
from runs_for_tests import make_model, make_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_packed_equals_padded_on_cuda(tmp_path: Path) -> None:
    base = make_model(tmp_path / "tiny")
    model = load_model(str(base), "AutoModelForTokenClassification", {"num_labels": 3}, seed=1).eval().to("cuda")
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 30, (3, 9), generator=generator).to("cuda")
    mask = (torch.arange(9) < torch.tensor([[9], [4], [1]])).long().to("cuda")
    with torch.no_grad():
        padded = model(input_ids=ids, attention_mask=mask).logits
        packed = pack_model(model)
        assert packed.reason is None
        packed.prepare(mask)
        found = model(input_ids=ids, attention_mask=mask).logits
    inside = mask.bool()
    assert found.device.type == "cuda"
    assert (found[inside] - padded[inside]).abs().max().item() <= 1e-5


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_bf16_run_learns_stops_and_goes_on(tuning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    base = make_model(tmp_path / "tiny")
    settings = {"precision": "bf16", "dropout": 0, "max_steps": 20, "verify_reload": "true"}
    edits = [f"tuning={tuning}", *(f"training.{name}={value}" for name, value in settings.items())]
    recipe = make_recipe(base, tmp_path, "tags", *edits)
    real = Loop._step

    def stopping(loop: Loop, state: Any) -> Any:
        if state.step == 13:
            raise KeyboardInterrupt
        return real(loop, state)

    monkeypatch.setattr(Loop, "_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        fathom.train(recipe)
    monkeypatch.setattr(Loop, "_step", real)
    result = fathom.train(recipe)
    lines = (result.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    values = [line for line in map(json.loads, lines) if line["split"] == "train"]
    assert [line["step"] for line in values] == list(range(1, 21))
    assert result.metrics["validation"]["loss"] < result.metrics["before"]["loss"]
    scores = fathom.evaluate(str(result.folder), str(tmp_path / "validation.conll"))
    assert scores["loss"] == pytest.approx(result.metrics["validation"]["loss"], rel=1e-3)


def test_offload_changes_no_loss_and_takes_less_of_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    base = make_model(tmp_path / "tiny")
    curves, peaks = [], []
    for name, edits in (("usual", []), ("moved", ["training.activation_offload=true"])):
        (tmp_path / name).mkdir()
        torch.cuda.reset_peak_memory_stats()
        recipe = make_recipe(base, tmp_path / name, "tags", "training.dropout=0", "training.batch_size=48", *edits)
        folder = fathom.train(recipe).folder
        peaks.append(torch.cuda.max_memory_allocated())
        said = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        curves.append([line["loss"] for line in said if line["split"] == "train"])
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
    assert peaks[1] < peaks[0]


def test_updates_in_the_backward_pass_are_the_usual_ones_on_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    base = make_model(tmp_path / "tiny")
    curves = []
    for name, edits in (("usual", []), ("apart", ["training.optimizer_in_backward=true"])):
        (tmp_path / name).mkdir()
        still = ("training.dropout=0", "training.max_grad_norm=0")
        folder = fathom.train(make_recipe(base, tmp_path / name, "tags", *still, *edits)).folder
        said = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        curves.append([line["loss"] for line in said if line["split"] == "train"])
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)
