"""Questions of one intent near each other: pairs of banking77, and a search among its test questions."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from benchmarks.models import minilm_folder
from benchmarks.peers.job import Job
from benchmarks.settings import Hyperparameters
from benchmarks.sources import require
from benchmarks.tasks.row import Prepared, Scores, TaskRow, first, predict
from fathom.evaluation.retrieval import RetrievalAccumulator

SEED = 7


def read_questions(split: str) -> list[tuple[str, str]]:
    """Return (question, intent) of a split."""
    with require(f"banking77/{split}.csv").open(encoding="utf-8", newline="") as stream:
        return [(" ".join(row["text"].split()), row["category"]) for row in csv.DictReader(stream)]


def make_pairs(questions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return each question beside another of its intent."""
    by_intent = defaultdict(list)
    for text, intent in questions:
        by_intent[intent].append(text)
    chance = random.Random(SEED)
    pairs: list[tuple[str, str]] = []
    for texts in by_intent.values():
        chance.shuffle(texts)
        pairs += list(zip(texts, [*texts[1:], texts[0]], strict=True))
    chance.shuffle(pairs)
    return pairs


class Embedding(TaskRow):
    """Contrastive tuning with in-batch negatives; the first weights are judged too."""

    name = "sentence-embedding"
    data = "banking77"
    peer = "sentence-transformers"
    module = "benchmarks.peers.st_trainer"
    metric = "ndcg@10"
    hyperparameters = Hyperparameters(learning_rate=2e-4, epochs=1.0, batch_size=64, max_length=64)
    options: ClassVar[dict[str, Any]] = {"temperature": 0.05}
    answers_name = "answers.npy"
    judges_untuned = True

    def prepare(self, folder: Path, env: dict[str, str], quick: bool) -> Prepared:
        """Draw the pairs once: both programs learn from the same ones."""
        pairs = first(make_pairs(read_questions("train")), 256, quick)
        with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([("anchor", "positive"), *pairs])
        questions = read_questions("test")
        random.Random(SEED).shuffle(questions)
        kept = first(questions, 200, quick)
        (folder / "questions.txt").write_text("\n".join(text for text, _ in kept) + "\n", encoding="utf-8")
        (folder / "intents.json").write_text(json.dumps([intent for _, intent in kept]), encoding="utf-8")
        return Prepared(minilm_folder(), len(pairs), len(kept))

    def recipe(self, job: Job) -> dict[str, Any]:
        """The same loss at the same temperature."""
        return {
            "data": {"train": str(job.data / "pairs.csv"), "validation_fraction": 0},
            "task": {"kind": self.name, "temperature": job.options["temperature"]},
        }

    def answer(self, job: Job, env: dict[str, str]) -> Path:
        """Embed the test questions."""
        return predict(job, job.data / "questions.txt", env, self.answers_name)

    def judge(self, job: Job, answers: Path) -> Scores:
        """Each test question is a query among all others; those of its intent are relevant."""
        accumulator = RetrievalAccumulator()
        intents = json.loads((job.data / "intents.json").read_text(encoding="utf-8"))
        for vector, intent in zip(np.load(answers), intents, strict=True):
            accumulator.update(vector[None], {"example": {"label": intent}, "sizes": (), "negatives": None})
        return {key: round(value, 5) for key, value in accumulator.compute().items()}
