"""Every task: a run that is stopped in the middle of an epoch and run again ends byte for byte as one never stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fathom
from fathom import catalog
from fathom.config import validate
from fathom.recipe import Recipe
from matrix_for_tests import FIXTURES, MEDIA, Cell, Workshop, cells
from stops_for_tests import require_same_run, steps_made, stopped_before

pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter")
CELLS = [
    cell
    for cell in cells()
    if cell.tuning == "full"
    and (cell.architecture in MEDIA or cell.architecture == FIXTURES[cell.task].architectures[0])
]
"""One architecture of each task, and all that see or hear."""
CELLS += [Cell("translation", "t5", "p-tuning"), Cell("translation", "bart", "prefix")]
"""What stands before a source, and before what the decoder writes."""
TASK: dict[str, dict[str, Any]] = {
    "image-classification": {"augmentation": {"kind": "standard"}},
    "audio-classification": {"augmentation": {"kind": "standard"}},
    "speech-recognition": {"augmentation": {"kind": "standard"}},
    "translation": {"generated_examples": 2},
    "summarization": {"generated_examples": 2},
}
"""Options under which a task draws or writes more."""
WRITES = {"whisper": {"generated_examples": 2}}
STEPS, STOP = 4, 2


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    root = tmp_path_factory.mktemp("resumed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FATHOM_CACHE", str(root / "cache"))
        yield Workshop(root)


def recipe(workshop: Workshop, cell: Cell, output: Path) -> Recipe:
    """A recipe of four steps, three to an epoch, which draws dropout, is scored on the way and saved every two."""
    raw = workshop.recipe(cell, output).model_dump(mode="json")
    raw["task"] |= {**TASK.get(cell.task, {}), **WRITES.get(cell.architecture, {})}
    raw["data"]["validation_fraction"] = 0.25
    raw["training"] |= {
        "max_steps": STEPS,
        "batch_size": 2,
        "dropout": 0.1,
        "save_steps": STOP,
        "eval_steps": STOP,
        "logging_steps": 1,
    }
    return validate(Recipe, raw)


def test_every_task_is_among_them() -> None:
    assert {cell.task for cell in CELLS} == set(catalog.names("task"))


@pytest.mark.parametrize("cell", CELLS, ids=["-".join(cell) for cell in CELLS])
def test_a_stopped_run_ends_as_one_never_stopped(cell: Cell, workshop: Workshop, tmp_path: Path) -> None:
    fathom.train(recipe(workshop, cell, tmp_path / "whole"))
    parts = recipe(workshop, cell, tmp_path / "parts")
    with stopped_before(STOP):
        fathom.train(parts)
    with steps_made() as made:
        fathom.train(parts)
    assert made == list(range(STOP, STEPS)), "the run went on, and did not begin again"
    require_same_run(tmp_path / "whole", tmp_path / "parts")
