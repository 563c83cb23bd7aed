"""What a row of `compare_tasks` says of itself: its data, its first weights, its recipe and its judge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.bars import Bar
from benchmarks.peers.job import Job
from benchmarks.rounds import fathom_command, run_process
from benchmarks.settings import Hyperparameters

Scores = dict[str, float]


@dataclass(frozen=True)
class Prepared:
    """What both sides begin with: a folder of first weights, and how many rows there are to learn from and to judge."""

    base: Path
    train: int
    test: int


class TaskRow(ABC):
    """A task on a data set, learnt by Fathom and by the library that is usually taken for it."""

    name: ClassVar[str]
    data: ClassVar[str]
    peer: ClassVar[str]
    """What Fathom is compared with, in words."""
    module: ClassVar[str]
    """The peer's program."""
    metric: ClassVar[str]
    """The score that is compared."""
    scale: ClassVar[float] = 1.0
    """What a perfect score is."""
    unit: ClassVar[str] = "tokens"
    """What is counted in each second: tokens that are not padding, or samples."""
    hyperparameters: ClassVar[Hyperparameters]
    options: ClassVar[dict[str, Any]] = {}
    over_default: ClassVar[Bar] = Bar(2.0)
    over_tuned: ClassVar[Bar] = Bar(1.2)
    answers_name: ClassVar[str] = "answers.jsonl"
    """What the peer leaves of the test split in the folder of its job."""
    judges_untuned: ClassVar[bool] = False
    """Whether the first weights are worth a score of their own."""

    @abstractmethod
    def prepare(self, folder: Path, env: dict[str, str], quick: bool) -> Prepared:
        """Write the data and the first weights into an empty folder: the same on every machine and in every round."""

    @abstractmethod
    def recipe(self, job: Job) -> dict[str, Any]:
        """Return the sections of Fathom's recipe but `model`, `output` and the hyperparameters."""

    def answer(self, job: Job, env: dict[str, str]) -> Path:
        """Have a model that Fathom trained answer the test split; returns the file of answers."""
        return predict(job, job.data / "test.jsonl", env)

    @abstractmethod
    def judge(self, job: Job, answers: Path) -> Scores:
        """Return the scores of answers, whoever gave them."""


def predict(job: Job, inputs: Path, env: dict[str, str], name: str = "answers.jsonl") -> Path:
    """Write what the model in the run folder of a job predicts for a file."""
    output = job.output / name
    run_process(
        [*fathom_command(), "predict", str(job.output / "run" / "model"), str(inputs), "--output", str(output)], env
    )
    return output


def first(rows: Sequence[Any], count: int, quick: bool) -> list[Any]:
    """Return all rows, or the first ones in a smoke test."""
    return list(rows[:count] if quick else rows)
