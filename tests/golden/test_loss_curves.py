"""Short loss curves that must not move: alike on one machine to the last bit, across machines within 1e-4.

After an intended change of the mathematics: `FATHOM_WRITE_GOLDEN=1 pytest tests/golden`, and say why in the commit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import fathom
from fathom.files import write_json
from runs_for_tests import make_model, make_recipe

GOLDEN = Path(__file__).parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))


def curve(model: Path, folder: Path, problem: str, tuning: str) -> dict[str, Any]:
    folder.mkdir()
    edits = [f"tuning={tuning}", "training.dropout=0.1", "training.max_steps=12", "training.learning_rate=0.003"]
    made = fathom.train(make_recipe(model, folder, problem, *edits)).folder
    lines = [json.loads(line) for line in (made / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    return {
        "loss": [line["loss"] for line in train],
        "grad_norm": [line["grad_norm"] for line in train],
        "validation_loss": [line["loss"] for line in lines if line["split"] == "validation"],
    }


@pytest.mark.parametrize("tuning", ["full", "lora"])
@pytest.mark.parametrize("problem", ["single", "tags"])
def test_loss_curve(problem: str, tuning: str, model: Path, tmp_path: Path) -> None:
    found = curve(model, tmp_path / "first", problem, tuning)
    path = GOLDEN / f"{problem}-{tuning}.json"
    if os.environ.get("FATHOM_WRITE_GOLDEN"):
        write_json(path, found)
    wanted = json.loads(path.read_text(encoding="utf-8"))
    assert len(found["loss"]) == 12
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, rel=1e-4), name
    assert curve(model, tmp_path / "second", problem, tuning) == found
