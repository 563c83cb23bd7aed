"""Relations between two nominals: SemEval-2010 task 8, its own split."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.models import minilm_folder
from benchmarks.peers.job import Job, read_rows, write_rows
from benchmarks.settings import Hyperparameters
from benchmarks.sources import require
from benchmarks.tasks.row import Prepared, Scores, TaskRow, first
from fathom.evaluation.relations import RelationF1

NONE = "Other"
SIGNS = {"e1": "@", "e2": "#"}
"""What Fathom's marks of the style `punctuation` are made of."""


def read_sentences(split: str) -> list[dict[str, str]]:
    """Return rows of `text`, with `<e1>` and `<e2>` in it, and `label`."""
    lines = require(f"semeval2010_task8/{split}.tsv").read_text(encoding="utf-8").splitlines()
    return [{"text": text, "label": label} for label, _, text in (line.partition("\t") for line in lines)]


def marked(text: str) -> str:
    """Return a text with its entities marked by signs, as Fathom's model reads it but for blanks."""
    return re.sub(r"</?(e[12])>", lambda found: f" {SIGNS[found[1]]} ", text)


class Relations(TaskRow):
    """Relation extraction; the peer has no head for pairs and classifies the marked sentence."""

    name = "relation-extraction"
    data = "semeval2010_task8"
    peer = "Trainer, sequence classification"
    module = "benchmarks.peers.hf_relations"
    metric = "f1_macro"
    hyperparameters = Hyperparameters(learning_rate=2e-4, max_length=128)

    def prepare(self, folder: Path, env: dict[str, str], quick: bool) -> Prepared:
        """Write the sentences for Fathom, and marked by signs for the peer."""
        counts = []
        for split in ("train", "test"):
            rows = first(read_sentences(split), 64 if split == "train" else 16, quick)
            write_rows(folder / f"{split}.jsonl", rows)
            write_rows(folder / f"marked-{split}.jsonl", [{**row, "text": marked(row["text"])} for row in rows])
            counts.append(len(rows))
        return Prepared(minilm_folder(), *counts)

    def recipe(self, job: Job) -> dict[str, Any]:
        """The task as it is by default."""
        return {"data": {"train": str(job.data / "train.jsonl"), "validation_fraction": 0}, "task": self.name}

    def judge(self, job: Job, answers: Path) -> Scores:
        """The official macro F1, micro F1 and accuracy."""
        truth = [row["label"] for row in read_rows(job.data / "test.jsonl")]
        accumulator = RelationF1().open(sorted(set(truth)))
        for given, label in zip(read_rows(answers), truth, strict=True):
            pair = (None if one == NONE else one for one in (given["label"], label))
            accumulator.update(*pair)
        found = accumulator.compute()
        return {key: float(found[key]) for key in ("f1_macro", "f1_micro", "accuracy")}
