"""Writes `docs/reference/matrix.md`: which strategy works with which task and architecture, and why not.

`python docs/generate_matrix.py` after adding a task, a strategy, an architecture of the tests' table or a refusal. It
asks every cell; the tests train those that work.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fathom.device import probe_machine  # noqa: E402
from fathom.errors import ConfigError, ModelError  # noqa: E402
from fathom.log import quietly  # noqa: E402
from fathom.recipe import resolve  # noqa: E402
from fathom.runs.prepare import prepare_data  # noqa: E402
from matrix_for_tests import TUNINGS, Cell, Workshop, cells, refusal_of  # noqa: E402

PAGE = Path(__file__).resolve().parent / "reference" / "matrix.md"
NOTICE = "<!-- Written by docs/generate_matrix.py from tests/matrix_for_tests.py; change that. -->\n"
TITLE = "# Tasks, architectures and tuning strategies"
ABOUT = (
    "Every task of the catalog on tiny models of several architectures, under every tuning strategy. A test trains "
    "a cell with a tick for two steps, saves it, loads it again, and requires the answers of the model in memory: the "
    "first architecture of each task whenever the tests run, the others in their long form (`pytest -m slow`). A "
    "number is a refusal, told before a weight is loaded; its words stand below. An architecture called new starts "
    "from new weights. One that is not listed is not refused for that: `fathom inspect MODEL --tuning all` says what a "
    "model takes."
)
WORKS = "✓"

Outcome = str | None
"""Why a cell is refused; None where it works."""


def refusal(workshop: Workshop, cell: Cell) -> Outcome:
    """Return why a cell is refused, told before its model is loaded; None where it is not."""
    try:
        prepare_data(resolve(workshop.recipe(cell, workshop.root / "run"), probe_machine()))
    except (ConfigError, ModelError) as error:
        return refusal_of(error)
    return None


def ask(chosen: Iterable[Cell]) -> dict[Cell, Outcome]:
    """Ask every one of some cells."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FATHOM_CACHE"] = f"{folder}/cache"
        workshop = Workshop(Path(folder))
        return {cell: refusal(workshop, cell) for cell in chosen}


def render(found: Mapping[Cell, Outcome]) -> str:
    """Return the page."""
    reasons = list(dict.fromkeys(reason for reason in found.values() if reason is not None))
    number = {reason: str(place) for place, reason in enumerate(reasons, start=1)}
    lines = [NOTICE, TITLE, "", ABOUT, "", _row("Task", "Architecture", *TUNINGS), "|---" * (len(TUNINGS) + 2) + "|"]
    for task, architecture in dict.fromkeys((cell.task, cell.architecture) for cell in found):
        outcomes = [found[Cell(task, architecture, tuning)] for tuning in TUNINGS]
        marks = [WORKS if reason is None else number[reason] for reason in outcomes]
        lines.append(_row(task, architecture, *marks))
    lines += ["", "## Refusals", "", *(f"{place}. {_escaped(reason)}" for reason, place in number.items())]
    return "\n".join(lines) + "\n"


def parse(text: str) -> dict[Cell, Outcome]:
    """Return the outcomes a page tells."""
    lines = text.splitlines()
    listed = (line.partition(". ") for line in lines if line.partition(". ")[0].isdigit())
    reasons = {place: _plain(reason) for place, _, reason in listed}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    columns = rows[0][2:]
    return {
        Cell(task, architecture, tuning): None if mark == WORKS else reasons[mark]
        for task, architecture, *marks in rows[1:]
        for tuning, mark in zip(columns, marks, strict=True)
    }


def _row(*texts: str) -> str:
    return f"| {' | '.join(texts)} |"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("<", "\\<").replace("*", "\\*")


def _plain(text: str) -> str:
    return text.replace("\\<", "<").replace("\\*", "*")


if __name__ == "__main__":
    with quietly():
        PAGE.write_text(render(ask(cells())), encoding="utf-8")
