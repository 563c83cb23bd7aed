"""What a run will write is counted beforehand: saves by the plan, and a small run's own folder as the judge."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertModel

from fathom import catalog, files
from fathom.data.hidden import FOLDER, SCALES, VALUES
from fathom.runs.disk import Disk, folder_bytes, num_saves
from fathom.runs.train import train
from fathom.training.loop import Plan
from fathom.training.settings import Training
from runs_for_tests import make_model, make_recipe
from strategies_for_tests import OPTIONS, require

SIDES = {"hidden_size": 128, "intermediate_size": 256}
RECORDS_BYTES = 40_000
"""Random state, names, tokenizer and the like, beside the numbers of a checkpoint or a model."""
MORE_BYTES = {"adalora": 40_000}
"""Averages of importance, until the ranks are settled."""
SHARE = 0.02
WIDE: dict[str, dict[str, Any]] = {
    **{kind: {"rank": 16} for kind in ("lora", "dora", "qlora")},
    "vera": {"rank": 64},
    "p-tuning": {"hidden_size": 128},
}
"""Options under which what a strategy saves, or does not save, is larger than the records."""
LEFT_OUT = ("layers", "layerwise", "auto-freezing")
"""Strategies that write as another one does, and one whose checkpoints shrink when a block stops changing."""


@pytest.mark.parametrize(
    ("settings", "evaluates", "saves"),
    [
        (Training(epochs=3, batch_size=10), True, 3),  # at the end of each epoch of ten steps
        (Training(epochs=3, batch_size=10, eval_steps=4), True, 8),  # the last step too
        (Training(epochs=3, batch_size=10, eval_steps=4, save_steps=15), True, 2),
        (Training(epochs=3, batch_size=10), False, 1),
        (Training(epochs=3, batch_size=10, save_steps=1000), True, 1),
    ],
)
def test_saves_follow_the_plan(settings: Training, evaluates: bool, saves: int) -> None:
    assert num_saves(settings, Plan.of(settings, 100), evaluates=evaluates) == saves


def test_a_total_is_what_stays() -> None:
    disk = Disk(checkpoints=20, best=3, model=5, writing=10)
    assert disk.total == 28
    assert disk.to_json() == {"checkpoints": 20, "best": 3, "model": 5, "writing": 10, "cache": 0, "total": 28}


def test_what_is_in_the_cache_is_told_where_there_is_any() -> None:
    megabyte = 10**6
    sizes = {"checkpoints": 20, "best": 3, "model": 5, "writing": 10, "cache": 7}
    text = Disk(**{name: size * megabyte for name, size in sizes.items()}).to_text()
    assert text.startswith("disk forecast: 28 MB, of these 5 MB for the model")
    assert text.endswith("; 7 MB in the cache, of frozen blocks")
    assert "cache" not in Disk(checkpoints=1, best=1, model=1, writing=1).to_text()


def test_a_folder_is_measured_with_what_lies_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"12345")
    (tmp_path / "other").write_bytes(b"1")
    assert folder_bytes(tmp_path) == 6


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model large enough for its weights to count beside its tokenizer: 0.3 million parameters."""
    folder = make_model(tmp_path_factory.mktemp("base"))
    config = BertConfig.from_pretrained(folder, **SIDES)
    BertModel(config).save_pretrained(folder)
    return folder


def judge(folders: Iterable[Path], forecast: int, more: int = 0) -> None:
    """Require of folders that they hold what was forecast, and records beside it."""
    sizes = [folder_bytes(folder) for folder in folders]
    assert forecast * (1 - SHARE) <= sum(sizes) <= forecast * (1 + SHARE) + len(sizes) * (RECORDS_BYTES + more)


@pytest.mark.parametrize("kind", [name for name in catalog.names("tuning") if name not in LEFT_OUT])
def test_a_run_leaves_what_was_forecast(kind: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require(kind)
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path / "cache"))
    tuning = json.dumps({"kind": kind, **OPTIONS.get(kind, {}), **WIDE.get(kind, {})})
    run = train(make_recipe(base, tmp_path, "single", f"tuning={tuning}", "training.max_steps=16")).folder
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    disk, measured = metrics["forecast"]["disk"], metrics["measured"]
    checkpoints = list((run / "checkpoints").glob("step-*"))
    assert len(checkpoints) == 2
    judge(checkpoints, disk["checkpoints"], MORE_BYTES.get(kind, 0))
    judge((run / "checkpoints").glob("best-*"), disk["best"])
    judge([run / "model"], disk["model"])
    cached = [path for path in (files.cache_folder() / FOLDER).rglob("*") if path.name in (VALUES, SCALES)]
    assert disk["cache"] == sum(path.stat().st_size for path in cached)
    assert (disk["cache"] > 0) == (kind in ("head", "top-layers"))
    assert measured["disk_bytes"] == pytest.approx(disk["total"], rel=SHARE, abs=5 * RECORDS_BYTES)
    assert measured["disk_error"] == pytest.approx(disk["total"] / measured["disk_bytes"] - 1)
