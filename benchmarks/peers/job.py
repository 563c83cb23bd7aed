"""What one side of a row of `compare_tasks` is told, in one JSON file, and where it leaves what it did."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.settings import Hyperparameters

FIGURES = "figures.json"


@dataclass(frozen=True)
class Job:
    """One training, the same for whoever does it.

    Attributes:
        data: Folder of the row's prepared files.
        base: Folder of the first weights and their tokenizer or processor.
        output: Folder for figures and answers; empty when the training begins.
        mode: `default`, `tuned`, `fathom`; or `untuned`, which answers without training.
        max_steps: Optimizer steps; -1: as many as the epochs have.
        options: The row's own settings, such as the longest target.
    """

    data: Path
    base: Path
    output: Path
    mode: str
    seed: int
    threads: int
    hyperparameters: Hyperparameters
    max_steps: int = -1
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def tuned(self) -> bool:
        """Whether the public settings that make a trainer faster are chosen."""
        return self.mode == "tuned"

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), default=str), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Job:
        said = json.loads(path.read_text(encoding="utf-8"))
        places = {name: Path(said.pop(name)) for name in ("data", "base", "output")}
        return cls(**places, hyperparameters=Hyperparameters(**said.pop("hyperparameters")), **said)


def begin() -> Job:
    """Return the job that the command line names; threads are pinned, and random numbers come from its seed."""
    job = Job.read(Path(sys.argv[1]))
    os.environ.setdefault("HF_DATASETS_CACHE", str(job.data / "datasets-cache"))
    import torch
    import transformers
    from datasets import disable_progress_bars

    disable_progress_bars()
    torch.set_num_threads(job.threads)
    transformers.set_seed(job.seed)
    return job


def leave(job: Job, figures: dict[str, Any], answers: list[dict[str, Any]] | None = None) -> None:
    """Write the figures, and the answers where they are rows."""
    if answers is not None:
        write_rows(job.output / "answers.jsonl", answers)
    (job.output / FIGURES).write_text(json.dumps(figures), encoding="utf-8")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of JSON lines."""
    # by '\n' alone: a text may hold what `splitlines` takes for the end of a line
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
