"""Contrastive tuning of MiniLM on banking77, beside sentence-transformers with the same loss and hyperparameters.

Pairs of questions of one intent are drawn once from the training split; both programs learn from the same pairs with
in-batch negatives, and the same untuned model is judged too. Retrieval on the official test split: each question is a
query among all others, those of its intent are relevant. Vectors of all three are judged by one function.

`python -m benchmarks.compare_embedding`; `--steps`, `--seeds`, `--rounds` (of speed), `--test` for fewer questions.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    fathom_command,
    load_average,
    paired_ratio,
    python_module,
    revision,
    rotated,
    run_process,
    summarize,
    versions,
    write_result,
)
from benchmarks.settings import THREADS
from benchmarks.sources import DATA
from fathom.evaluation.retrieval import RetrievalAccumulator
from fathom.model.load import resolve_model

NAME = "embedding-banking77"
HYPERPARAMETERS = {"batch_size": 64, "learning_rate": 2e-4, "warmup_ratio": 0.1, "weight_decay": 0.01, "max_length": 64}
TEMPERATURE = 0.05


def read_rows(split: str) -> list[tuple[str, str]]:
    """Return (question, intent) of a split."""
    with (DATA / "banking77" / f"{split}.csv").open(encoding="utf-8", newline="") as stream:
        return [(" ".join(row["text"].split()), row["category"]) for row in csv.DictReader(stream)]


def write_pairs(path: Path, seed: int = 7) -> None:
    """Write pairs of questions: each question of the training split beside another of its intent."""
    by_intent = defaultdict(list)
    for text, intent in read_rows("train"):
        by_intent[intent].append(text)
    chance = random.Random(seed)
    pairs = []
    for texts in by_intent.values():
        chance.shuffle(texts)
        pairs += list(zip(texts, [*texts[1:], texts[0]], strict=True))
    chance.shuffle(pairs)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("anchor", "positive"), *pairs])


def judge(vectors: np.ndarray[Any, Any], intents: list[str]) -> dict[str, float]:
    """Return the retrieval scores of the test questions' vectors."""
    accumulator = RetrievalAccumulator()
    for vector, intent in zip(vectors, intents, strict=True):
        accumulator.update(vector[None], {"example": {"label": intent}, "sizes": (), "negatives": None})
    return {key: round(value, 5) for key, value in accumulator.compute().items()}


class Race:
    """The two programs on one set of pairs, in a folder of their own."""

    def __init__(self, work: Path, arguments: argparse.Namespace) -> None:
        self.folder = work / NAME
        self.folder.mkdir(parents=True, exist_ok=True)
        self.pairs, self.questions = self.folder / "pairs.csv", self.folder / "test.txt"
        self.env = environment(arguments.threads, FATHOM_CACHE=str(work / "fathom-cache"))
        self.arguments = arguments
        write_pairs(self.pairs)
        test = read_rows("test")
        random.Random(7).shuffle(test)
        self.test = test[: arguments.test]
        self.questions.write_text("\n".join(text for text, _ in self.test) + "\n", encoding="utf-8")

    def fathom(self, seed: int, name: str) -> Figures:
        """Train with the `fathom` command and embed the test questions."""
        training = {key: value for key, value in HYPERPARAMETERS.items() if key != "max_length"}
        recipe = {
            "model": "minilm",
            "data": {
                "train": str(self.pairs),
                "validation_fraction": 0,
                "max_length": HYPERPARAMETERS["max_length"],
            },
            "task": {"kind": "sentence-embedding", "temperature": TEMPERATURE},
            "training": {
                **training,
                "max_steps": self.arguments.steps,
                "seed": seed,
                "precision": self.arguments.precision,
                "verify_reload": False,
            },
            "output": str(self.folder / name),
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(recipe), encoding="utf-8")
        shutil.rmtree(self.folder / name, ignore_errors=True)  # of an earlier, perhaps shorter, measurement
        run_process([*fathom_command(), "train", str(path)], self.env)
        timing = json.loads((self.folder / name / "metrics.json").read_text(encoding="utf-8"))["timing"]
        vectors = self.folder / f"{name}.npy"
        model = str(self.folder / name / "model")
        run_process([*fathom_command(), "predict", model, str(self.questions), "--output", str(vectors)], self.env)
        scores = judge(np.load(vectors), [intent for _, intent in self.test])
        return {**scores, "train_seconds": timing["train_seconds"], "tokens_per_second": timing["real_tokens_per_s"]}

    def peer(self, seed: int, name: str, steps: int) -> Figures:
        """Train with sentence-transformers (0 steps: not at all) and embed the test questions."""
        vectors = self.folder / f"{name}.npy"
        options = {**HYPERPARAMETERS, "steps": steps, "seed": seed, "temperature": TEMPERATURE}
        said = run_process(
            python_module(
                "benchmarks.peers.st_trainer", resolve_model("minilm"), self.pairs, self.questions, vectors,
                json.dumps(options),
            ),
            self.env,
        ).stdout  # fmt: skip
        timing: Figures = json.loads(said.strip().splitlines()[-1])
        return {**judge(np.load(vectors), [intent for _, intent in self.test]), **timing}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=156, help="of 64 pairs; 156 are one epoch")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=0, help="at least as many runs, for speed")
    parser.add_argument("--test", type=int, default=None, help="test questions; left out, all")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--precision", default="fp32", help="of Fathom; the peer runs in fp32, its default")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    race = Race(arguments.work, arguments)
    untuned = race.peer(0, "untuned", 0)
    print("untuned", untuned, flush=True)
    found: dict[str, list[Figures]] = {"fathom": [], "sentence-transformers": []}
    for turn in range(max(arguments.seeds, arguments.rounds)):
        for who in rotated(list(found), turn):
            if who == "fathom":
                found[who].append(race.fathom(turn + 1, f"fathom-{turn + 1}"))
            else:
                found[who].append(race.peer(turn + 1, f"peer-{turn + 1}", arguments.steps))
            print(who, found[who][-1], flush=True)
    gains = {who: mean(run["ndcg@10"] for run in runs) - untuned["ndcg@10"] for who, runs in found.items()}
    speeds = {who: [run["tokens_per_second"] for run in runs] for who, runs in found.items()}
    result = {
        "claim": "contrastive tuning of MiniLM on banking77 beside sentence-transformers",
        "hyperparameters": {**HYPERPARAMETERS, "temperature": TEMPERATURE, "steps": arguments.steps},
        "precision": {"fathom": arguments.precision, "sentence-transformers": "fp32"},
        "test_questions": len(race.test),
        "untuned": {key: value for key, value in untuned.items() if "@" in key or key == "mrr"},
        "runs": found,
        "gain_ndcg@10": gains,
        "load_average": load_average(),
        "threads": arguments.threads,
        "revision": revision(),
        "versions": versions(),
    }
    if arguments.rounds >= 5:  # fewer rounds, or a machine at other work, say nothing of speed
        result["tokens_per_second"] = {who: summarize(values) for who, values in speeds.items()}
        result["speed_ratio"] = paired_ratio(speeds["fathom"], speeds["sentence-transformers"])
    print(write_result(NAME, result))


if __name__ == "__main__":
    main()
