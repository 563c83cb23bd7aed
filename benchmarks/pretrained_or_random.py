"""Does pretraining help? Small models pretrained by Fathom, fine-tuned beside the same models of random weights.

For each architecture: a tokenizer from the corpus, a pretrained model, then the same fine-tuning from its weights and
from random ones, over several seeds. Everything is made by the `fathom` command. The corpus is the helpdesk's texts,
Chinese poetry and Shakespeare; the task is the intents of the helpdesk, whose test split shares no template and no
value with train. `python -m benchmarks.pretrained_or_random`; `--only`, `--steps`, `--seeds`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    fathom_command,
    read_result,
    revision,
    run_process,
    versions,
    write_result,
)
from benchmarks.settings import THREADS
from benchmarks.sources import require

NAME = "pretrained_or_random"
HELPDESK = ("helpdesk:dialogues", "helpdesk:tickets", "helpdesk:intents", "helpdesk:faq")
SHARED = ("tinyshakespeare/input.txt", "chinese_poetry/全唐诗/唐诗三百首.json", "chinese_poetry/宋词/宋词三百首.json")
FINE_TUNING = {"epochs": 5, "batch_size": 32, "learning_rate": 3e-4}


@dataclass(frozen=True)
class Case:
    """One architecture, its tokenizer and its objective."""

    architecture: str
    depth: int
    algorithm: str
    task: dict[str, Any]
    steps: int


CASES = {
    "bert": Case("bert", 4, "wordpiece", {"kind": "masked-lm", "masking": "whole-word"}, 800),
    "gpt2": Case("gpt2", 4, "byte-bpe", {"kind": "causal-lm"}, 500),
    "t5": Case("t5", 3, "unigram", {"kind": "span-denoising"}, 500),
}


class Maker:
    """Runs commands for one case in a folder of its own."""

    def __init__(self, name: str, work: Path, threads: int) -> None:
        self.case = CASES[name]
        self.folder = work / NAME / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.env = environment(threads, FATHOM_CACHE=str(work / "fathom-cache"))

    def run(self, *words: str) -> None:
        """Run one command."""
        run_process([*fathom_command(), *words], self.env)

    def train(self, name: str, recipe: dict[str, Any]) -> Figures:
        """Train a recipe and return its metrics."""
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps({**recipe, "output": str(self.folder / name)}), encoding="utf-8")
        self.run("train", str(path))
        metrics: Figures = json.loads((self.folder / name / "metrics.json").read_text(encoding="utf-8"))
        return metrics

    def tokenizer(self, corpus: list[str]) -> str:
        """Train the tokenizer."""
        output = self.folder / "tokenizer"
        options = ("--algorithm", self.case.algorithm, "--style", self.case.architecture, "--vocab-size", "6000")
        self.run("tokenizer", "train", *corpus, *options, "--output", str(output), "--replace")
        return str(output)

    def pretrain(self, corpus: list[str], tokenizer: str, steps: int) -> Figures:
        """Pretrain from random weights."""
        first, *rest = corpus
        return self.train(
            "pretrained",
            {
                "model": self.new(tokenizer),
                "data": {
                    "train": first,
                    "mixture": dict.fromkeys(rest, 1.0),
                    "validation_fraction": 0.05,
                    "max_length": 128,
                },
                "task": self.case.task,
                "training": {"max_steps": steps, "batch_size": 32, "eval_steps": steps, "seed": 1},
            },
        )

    def fine_tune(self, name: str, model: Any, seed: int) -> Figures:
        """Fine-tune to the intents and return the metrics."""
        data = {split: f"helpdesk:intents/{split}" for split in ("train", "validation", "test")}
        training = {**FINE_TUNING, "seed": seed, "evaluate_before": False, "verify_reload": False}
        metrics = self.train(name, {"model": model, "data": data, "task": "text-classification", "training": training})
        shutil.rmtree(self.folder / name)
        return metrics

    def new(self, tokenizer: str) -> dict[str, Any]:
        """The model that does not exist yet."""
        return {
            "kind": "new",
            "architecture": self.case.architecture,
            "depth": self.case.depth,
            "tokenizer": tokenizer,
        }


def measure(name: str, work: Path, steps: int | None, seeds: list[int], threads: int) -> Figures:
    """Pretrain one case and fine-tune it both ways over the seeds."""
    maker = Maker(name, work, threads)
    shutil.rmtree(maker.folder)
    maker.folder.mkdir()
    corpus = [*HELPDESK, *(str(require(path)) for path in SHARED)]
    tokenizer = maker.tokenizer(corpus)
    before = maker.pretrain(corpus, tokenizer, steps or maker.case.steps)
    starts = {"pretrained": str(maker.folder / "pretrained" / "model"), "random": maker.new(tokenizer)}
    result: Figures = {
        "pretraining": {
            "steps": before["steps"],
            "loss_before": before["before"]["loss"],
            "loss_after": before["validation"]["loss"],
            "parameters": before["parameters"]["total"],
            "tokens": before["timing"]["real_tokens"],
        }
    }
    for start, model in starts.items():
        found = [maker.fine_tune(f"{start}-{seed}", model, seed)["test"] for seed in seeds]
        scores = {key: [run[key] for run in found] for key in ("accuracy", "f1_macro") if key in found[0]}
        result[start] = {
            key: {"mean": mean(values), "deviation": stdev(values) if len(values) > 1 else 0.0, "values": values}
            for key, values in scores.items()
        }
        print(f"{name:6} {start:10} test accuracy {[round(value, 4) for value in scores['accuracy']]}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--steps", type=int, help="of pretraining, in place of each case's own")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    result = read_result(NAME)
    for name in arguments.only.split(","):
        cases = result.setdefault("cases", {})
        cases[name] = measure(name, arguments.work, arguments.steps, seeds, arguments.threads)
        result |= {"seeds": seeds, "fine_tuning": FINE_TUNING, "versions": versions(), "revision": revision()}
        write_result(NAME, result)


if __name__ == "__main__":
    main()
