"""Every task under every strategy: trained two steps, saved, loaded, alike; or refused in words, before a load.

One architecture of each task here, the others in the long form. What works is what `docs/reference/matrix.md` says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from architecture import source
from fathom import catalog
from fathom.errors import ConfigError, ModelError
from fathom.model import load
from fathom.model.folder import open_folder
from fathom.runs.prepare import load_untuned
from matrix_for_tests import FIXTURES, TUNINGS, Cell, Workshop, answers, cells, refusal_of
from trained_for_tests import (
    TOLERANCE,
    compared_inputs,
    in_memory,
    logits,
    matrix_page,
    reopened,
    require_alike,
    train_kept,
)

FIRST = set(cells(first_only=True))
CELLS = [pytest.param(cell, id="-".join(cell), marks=() if cell in FIRST else pytest.mark.slow) for cell in cells()]
ANSWERED_ELSEWHERE = [
    Cell("text-classification", "bert", "lora"),
    Cell("token-classification", "bert", "prefix"),
    Cell("relation-extraction", "bert", "prompt"),
    Cell("prompt-classification", "bert", "random-mask"),
    Cell("chat", "gpt2", "adapter"),
    Cell("translation", "t5", "ia3"),
    Cell("image-classification", "vit", "ladder"),
    Cell("speech-recognition", "wav2vec2", "adalora"),
]
SCRIPT = """
import json, sys
from matrix_for_tests import answers
print(json.dumps([answers(task, folder, asked) for task, folder, asked in json.load(sys.stdin)]))
"""
pytestmark = [
    pytest.mark.filterwarnings("ignore:At least one mel filter"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers"),
]


@pytest.fixture(scope="module")
def page() -> Any:
    return matrix_page()


@pytest.fixture(scope="module")
def told(page: Any) -> dict[Cell, str | None]:
    """What the page says of each cell."""
    found: dict[Cell, str | None] = page.parse(page.PAGE.read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    root = tmp_path_factory.mktemp("matrix")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FATHOM_CACHE", str(root / "cache"))
        yield Workshop(root)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the functions that have read or drawn weights."""
    found: list[str] = []

    def noting(name: str) -> Any:
        original = vars(load)[name]

        def noted(*args: Any, **words: Any) -> Any:
            found.append(name)
            return original(*args, **words)

        return noted

    for name in ("load_model", "draw_model"):
        monkeypatch.setattr(load, name, noting(name))
    return found


def test_every_task_has_a_fixture_and_every_strategy_works_somewhere(told: dict[Cell, str | None]) -> None:
    assert sorted(FIXTURES) == sorted(catalog.names("task"))
    working = [cell for cell, refusal in told.items() if refusal is None]
    assert {cell.task for cell in working} == set(catalog.names("task"))
    assert {cell.tuning for cell in working} == set(TUNINGS)


def test_the_page_lists_every_cell(page: Any, told: dict[Cell, str | None]) -> None:
    assert list(told) == list(cells()), "python docs/generate_matrix.py"
    assert page.PAGE.read_text(encoding="utf-8") == page.render(told), "python docs/generate_matrix.py"


@pytest.mark.parametrize("cell", CELLS)
def test_cell(
    cell: Cell,
    workshop: Workshop,
    told: dict[Cell, str | None],
    loads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        run = train_kept(workshop.recipe(cell, tmp_path / "run"), monkeypatch)
    except (ConfigError, ModelError) as error:
        assert loads == [], "refused after weights were loaded"
        assert refusal_of(error) == told[cell], "python docs/generate_matrix.py"
        return
    assert told[cell] is None, "python docs/generate_matrix.py"
    inputs = compared_inputs(run)
    after = logits(run.prepared.model, inputs)
    assert not torch.equal(after, logits(load_untuned(run.recipe, run.data), inputs)), "nothing has been learnt"
    auto_class = run.data.task.auto_class
    assert f"model = {auto_class}.from_pretrained(" in (run.folder / "README.md").read_text(encoding="utf-8")
    loaded = open_folder(run.folder).load_model(auto_class)
    torch.testing.assert_close(logits(loaded, inputs), after, atol=TOLERANCE, rtol=TOLERANCE)
    asked = workshop.asked(cell.task)
    if asked:
        saved = run.folder if FIXTURES[cell.task].writes else reopened(run.folder, loaded)
        require_alike(answers(cell.task, saved, asked), answers(cell.task, in_memory(cell.task, run), asked))


def test_a_fresh_process_answers_alike(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, given = [], []
    for cell in ANSWERED_ELSEWHERE:
        run = train_kept(workshop.recipe(cell, tmp_path / cell.task), monkeypatch)
        asked = workshop.asked(cell.task)
        wanted.append(answers(cell.task, in_memory(cell.task, run), asked))
        given.append((cell.task, str(run.folder), asked))
    paths = [str(source.ROOT / "src"), str(source.ROOT / "tests")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(given),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    require_alike(json.loads(done.stdout.splitlines()[-1]), json.loads(json.dumps(wanted)))
