"""Questions on passages: XQuAD's English part, divided by passage."""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

from benchmarks.models import minilm_folder
from benchmarks.peers.job import Job, read_rows, write_rows
from benchmarks.settings import Hyperparameters
from benchmarks.sources import require
from benchmarks.tasks.row import Prepared, Scores, TaskRow, first, predict
from fathom.evaluation.squad import squad

TEST_SHARE = 0.2


def read_passages() -> dict[str, list[dict[str, Any]]]:
    """Return the paragraphs of train and test."""
    articles = json.loads(require("xquad_en/xquad.en.json").read_text(encoding="utf-8"))["data"]
    passages = [passage for article in articles for passage in article["paragraphs"]]
    random.Random(7).shuffle(passages)
    held = round(TEST_SHARE * len(passages))
    return {"train": passages[held:], "test": passages[:held]}


def flat_rows(passages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each question, in the form of the hub's `squad`."""
    asked = [(passage["context"], one) for passage in passages for one in passage["qas"]]
    return [
        {
            "number": number,
            "context": context,
            "question": one["question"],
            "answers": {key: [answer[key] for answer in one["answers"]] for key in ("text", "answer_start")},
        }
        for number, (context, one) in enumerate(asked)
    ]


class Questions(TaskRow):
    """Extractive question answering."""

    name = "question-answering"
    data = "xquad_en"
    peer = "Trainer, as run_qa.py"
    module = "benchmarks.peers.hf_questions"
    metric = "f1"
    # length and stride are the script's defaults
    hyperparameters = Hyperparameters(learning_rate=2e-4, batch_size=16, max_length=384)
    options: ClassVar[dict[str, Any]] = {"stride": 128}

    def prepare(self, folder: Path, env: dict[str, str], quick: bool) -> Prepared:
        """Write SQuAD JSON for Fathom, and the same questions as rows for the peer and the judge."""
        counts = []
        for split, passages in read_passages().items():
            kept = first(passages, 8 if split == "train" else 2, quick)
            whole = {"version": "1.1", "data": [{"title": split, "paragraphs": kept}]}
            (folder / f"{split}.json").write_text(json.dumps(whole), encoding="utf-8")
            rows = flat_rows(kept)
            write_rows(folder / f"flat-{split}.jsonl", rows)
            counts.append(len(rows))
        return Prepared(minilm_folder(), *counts)

    def recipe(self, job: Job) -> dict[str, Any]:
        """Windows as the peer cuts them."""
        return {
            "data": {"train": str(job.data / "train.json"), "validation_fraction": 0},
            "task": {"kind": self.name, "stride": job.options["stride"]},
        }

    def answer(self, job: Job, env: dict[str, str]) -> Path:
        """Answer the test questions."""
        return predict(job, job.data / "test.json", env)

    def judge(self, job: Job, answers: Path) -> Scores:
        """Exact match and F1 by SQuAD's rule, means over questions."""
        pairs = zip(read_rows(answers), read_rows(job.data / "flat-test.jsonl"), strict=True)
        found = [squad(given["answer"], asked["answers"]["text"]) for given, asked in pairs]
        return {"exact_match": mean(exact for exact, _ in found), "f1": mean(f1 for _, f1 in found)}
