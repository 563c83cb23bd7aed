"""An adapter over every task merges into a whole model that answers as it does; what cannot be merged says why.

LoRA over one architecture of each task here, and over all that see or hear; the others, and the other strategies whose
adapters are weights, in the long form.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import fathom
from fathom import catalog
from fathom.config import validate
from fathom.errors import ConfigError, ModelError
from fathom.files import read_json
from fathom.model.folder import open_folder
from fathom.model.reload import ReloadProcess, verify_reload
from matrix_for_tests import FIXTURES, MEDIA, Cell, Workshop, answers, cells, refusal_of
from strategies_for_tests import OPTIONS
from trained_for_tests import (
    compared_inputs,
    in_memory,
    logits,
    matrix_page,
    reopened,
    require_alike,
    train_kept,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:At least one mel filter"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
]
TOLERANCE = 1e-4
"""Of logits, relative to the largest, as `fathom merge` allows it: sums of weights are rounded otherwise."""
ANSWERS_TOLERANCE = 1e-3
"""Of the numbers in answers; texts and labels are equal."""
FIRST = {(cell.task, cell.architecture) for cell in cells(first_only=True)}
CELLS = [cell for cell in cells() if cell.tuning == "lora"]


def saves_adapter(tuning: str) -> bool:
    """Whether a strategy saves an adapter."""
    options = {"kind": tuning, **OPTIONS.get(tuning, {})}
    return bool(validate(catalog.load("tuning", tuning), options).saves_adapter)


OTHERS = [cell for cell in cells(first_only=True) if cell.tuning != "lora" and saves_adapter(cell.tuning)]


def param(cell: Cell) -> Any:
    now = cell.tuning == "lora" and ((cell.task, cell.architecture) in FIRST or cell.architecture in MEDIA)
    return pytest.param(cell, id="-".join(cell), marks=() if now else pytest.mark.slow)


@pytest.fixture(scope="module")
def told() -> dict[Cell, str | None]:
    """What the page of the matrix says of each cell."""
    page = matrix_page()
    found: dict[Cell, str | None] = page.parse(page.PAGE.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    root = tmp_path_factory.mktemp("merged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FATHOM_CACHE", str(root / "cache"))
        yield Workshop(root)


@pytest.fixture(scope="module")
def fresh() -> Iterator[None]:
    """One process that loads all merged models: a process for each takes seconds to begin."""
    with ReloadProcess() as process, pytest.MonkeyPatch.context() as patch:
        patch.setattr("fathom.model.merge.verify_reload", partial(verify_reload, fresh=process))
        yield


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("cell", [param(cell) for cell in [*CELLS, *OTHERS]])
def test_a_merged_model_answers_as_the_adapter(
    cell: Cell, workshop: Workshop, told: dict[Cell, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        run = train_kept(workshop.recipe(cell, tmp_path / "run"), monkeypatch)
    except (ConfigError, ModelError) as error:
        assert refusal_of(error) == told[cell], "there is no adapter to merge"
        return
    output = tmp_path / "merged"
    try:
        fathom.merge(run.folder, output)
    except ModelError as error:
        assert "cannot be merged: what it computes fits into no weight of the base model" in str(error)
        assert cell.tuning not in ("lora", "qlora", "dora", "adalora", "vera", "ia3", "norms")
        assert not output.exists()
        return
    opened = open_folder(output)
    assert opened.info["weights"] == "whole" and opened.info["lineage"][-1]["step"] == "merge"
    whole = opened.load_model(run.data.task.auto_class)
    assert type(whole).__name__ == opened.info["architecture"], "nothing is wrapped any more"
    inputs = compared_inputs(run)
    found, wanted = logits(whole, inputs), logits(run.prepared.model, inputs)
    assert float((found - wanted).abs().max()) < TOLERANCE * max(1.0, float(wanted.abs().max()))
    asked = workshop.asked(cell.task)
    if asked:
        saved = output if FIXTURES[cell.task].writes else reopened(output, whole)
        told_by_whole, told_by_adapter = (answers(cell.task, one, asked) for one in (saved, in_memory(cell.task, run)))
        require_alike(told_by_whole, told_by_adapter, tolerance=ANSWERS_TOLERANCE)


def test_every_task_is_among_them() -> None:
    assert {cell.task for cell in CELLS} == set(catalog.names("task"))


def test_a_merged_whisper_tells_transformers_how_to_write(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.model.merge.verify_reload", lambda *_: 0.0)
    run = train_kept(workshop.recipe(Cell("speech-recognition", "whisper", "lora"), tmp_path / "run"), monkeypatch)
    before = read_json(workshop.base("whisper") / "generation_config.json")
    after = read_json(fathom.merge(run.folder, tmp_path / "merged") / "generation_config.json")
    wanted = dict(run.data.task.generation_config)
    assert wanted and {name: after.get(name) for name in wanted} == wanted
    assert any(before.get(name) != value for name, value in wanted.items()), "the base says something else"
