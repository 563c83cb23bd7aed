"""Kill `fathom train` anywhere, run the same command again, and compare with a run that was never stopped.

`python -m benchmarks.kill_resume` makes 20 kills at random moments and 20 inside a save and writes
results/kill_resume.json. The claim: every run ends with the same weights, optimizer state, random state and metrics
lines, bit for bit. `tests/faults/test_kill_resume.py` does the same with a few kills.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import multiprocessing
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from multiprocessing.process import BaseProcess
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "kill_resume.json"
ANYWHERE, INSIDE_A_SAVE = "anywhere", "inside a save"
WORDS = [
    "good",
    "bad",
    "fine",
    "poor",
    "nice",
    "great",
    "film",
    "book",
    "food",
    "place",
    "the",
    "a",
    "was",
    "very",
    "so",
]
PRELOADED = [
    "transformers.models.bert.modeling_bert",
    "fathom.cli.main",
    "fathom.runs.train",
    "fathom.tasks.text_classification",
    "fathom.evaluation.classification",
    "fathom.tuning.full",
    "fathom.training.optimizers.adamw",
]
LIMIT_SECONDS = 300.0


@dataclass(frozen=True)
class Outcome:
    """One run that was killed.

    Attributes:
        kind: Where the kill was aimed.
        lines: Lines in metrics.jsonl when each kill came.
        hit_a_save: Whether a kill left an unfinished temporary behind.
        differences: What is not bit for bit that of the uninterrupted run; empty means equal.
    """

    kind: str
    lines: list[int]
    hit_a_save: bool
    differences: list[str]


def make_inputs(folder: Path) -> Path:
    """Write a tiny random BERT, two small CSV files and a recipe; returns the recipe.

    The recipe has all that makes resuming hard: dropout, batches cut into micro-batches, several epochs with a short
    last batch, early stopping, the best model kept, and saves that fall on other steps than evaluations.
    """
    from transformers import BertConfig, BertModel, BertTokenizerFast, set_seed

    set_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]) + "\n")
    model = folder / "tiny-bert"
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(model)
    BertTokenizerFast(str(vocabulary)).save_pretrained(model)
    chance = random.Random(5)
    for name, rows in (("train", 53), ("validation", 20)):
        with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "label"])
            for row in range(rows):
                words = chance.choices(WORDS, k=chance.randint(3, 20))
                writer.writerow([f"{' '.join(words)} {WORDS[row % 7]}", ["yes", "no"][row % 2]])
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"model: {json.dumps(str(model))}\n"
        f"data: {{train: {json.dumps(str(folder / 'train.csv'))},"
        f" validation: {json.dumps(str(folder / 'validation.csv'))}, allow_leaks: true}}\n"
        "task: text-classification\n"
        "training: {epochs: 3, batch_size: 8, micro_batch_tokens: 48, learning_rate: 1e-3, dropout: 0.1, seed: 7,\n"
        "  save_steps: 3, eval_steps: 4, logging_steps: 1, early_stopping_patience: 9, load_best_model_at_end: true,\n"
        "  threads: 1, verify_reload: false}\n"
    )
    return recipe


class Trainer:
    """Starts `fathom train` in processes that fork from one that has the libraries imported already."""

    def __init__(self, recipe: Path) -> None:
        self._recipe = recipe
        os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        os.environ["FATHOM_CACHE"] = str(recipe.parent / "cache")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def start(self, run: Path) -> BaseProcess:
        """Start `fathom train recipe output=run`."""
        arguments = ["fathom", "train", str(self._recipe), f"output={run}"]
        process = self._context.Process(target=call_command_line, args=(arguments, str(run) + ".log"))
        process.start()
        return process

    def finish(self, run: Path) -> None:
        """Run the command to its end.

        Raises:
            RuntimeError: It failed; with what it said.
        """
        process = self.start(run)
        process.join(LIMIT_SECONDS)
        if process.exitcode != 0:
            process.kill()
            said = Path(str(run) + ".log").read_text(encoding="utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"fathom train ended with {process.exitcode}:\n{said}")

    def kill(self, run: Path, is_time: Callable[[], bool], delay_seconds: float) -> bool:
        """Start the command and kill it after a sign; False if it ended before that."""
        process = self.start(run)
        deadline = time.monotonic() + LIMIT_SECONDS
        while process.is_alive() and not is_time() and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(delay_seconds)
        process.kill()
        process.join()
        return process.exitcode != 0


def call_command_line(arguments: list[str], log: str) -> None:
    """Be the process of one command: its arguments, its output in a file."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = arguments
    from fathom.cli.main import main

    main()


def count_lines(run: Path) -> int:
    """Return the lines of metrics.jsonl so far."""
    try:
        return (run / "metrics.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def unfinished(run: Path) -> list[str]:
    """Return the temporaries of writes that are going on, or were when the process was killed."""
    return [name for _, folders, names in os.walk(run) for name in [*folders, *names] if name.endswith(".fathom-tmp")]


@dataclass(frozen=True)
class Sign:
    """What a kill waits for: so many lines of metrics.jsonl and, if wanted, a write that is going on."""

    run: Path
    lines: int
    inside_a_write: bool

    def seen(self) -> bool:
        """Return whether the sign is there."""
        return count_lines(self.run) >= self.lines and (not self.inside_a_write or bool(unfinished(self.run)))


def fingerprint(run: Path) -> dict[str, str]:
    """Return the sha256 of everything that must not depend on having been killed."""
    paths = [run / "metrics.jsonl", *(run / "model").rglob("*.safetensors")]
    checkpoints = run / "checkpoints"
    if checkpoints.is_dir():
        paths += sorted(checkpoints.glob("step-*/*.safetensors"))
        paths += sorted(checkpoints.glob("step-*/values.json"))
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def differences(run: Path, reference: dict[str, str]) -> list[str]:
    """Name the files whose content is not the reference's."""
    found = fingerprint(run)
    return sorted(name for name in {*found, *reference} if found.get(name) != reference.get(name))


def kill_and_resume(trainer: Trainer, run: Path, reference: Path, kind: str, chance: random.Random) -> Outcome:
    """Kill a run once or twice, finish it, and compare it with the reference."""
    lines, hit = [], False
    last_line = count_lines(reference)
    for _ in range(chance.choice([1, 1, 2])):
        # Saves come at every third step and when the model is the best so far: one is chosen by the lines before it.
        inside = kind == INSIDE_A_SAVE
        sign = Sign(run, chance.randrange(last_line - 2 * inside), inside)
        killed = trainer.kill(run, sign.seen, chance.uniform(0, 0.006 if inside else 0.03))
        if killed:
            lines.append(count_lines(run))
            hit = hit or bool(unfinished(run))
    trainer.finish(run)
    return Outcome(kind, lines, hit, differences(run, fingerprint(reference)))


def measure(folder: Path, anywhere: int, inside: int) -> Iterator[Outcome]:
    """Make the uninterrupted run twice (it must repeat itself), then the killed ones, each given as it ends."""
    trainer = Trainer(make_inputs(folder))
    reference = folder / "reference"
    trainer.finish(reference)
    trainer.finish(folder / "again")
    changed = differences(folder / "again", fingerprint(reference))
    if changed:
        raise RuntimeError(f"two uninterrupted runs differ in {changed}")
    chance = random.Random(anywhere * 1000 + inside)
    kinds = [ANYWHERE] * anywhere + [INSIDE_A_SAVE] * inside
    for number, kind in enumerate(kinds):
        outcome = kill_and_resume(trainer, folder / f"killed-{number}", reference, kind, chance)
        print(f"{number + 1}/{len(kinds)}  {outcome}", file=sys.stderr, flush=True)
        yield outcome


def main() -> None:
    """Run the long form and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anywhere", type=int, default=20)
    parser.add_argument("--inside", type=int, default=20)
    options = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        for outcome in measure(Path(folder), options.anywhere, options.inside):
            outcomes.append(outcome)
            write_result(outcomes, planned=options.anywhere + options.inside)
    print(RESULT.read_text(encoding="utf-8").partition('"outcomes"')[0])


def write_result(outcomes: list[Outcome], planned: int) -> None:
    """Write what is known so far; a measurement that was stopped shows in `runs` being fewer than `planned`."""
    killed = [outcome for outcome in outcomes if outcome.lines]
    summary = {
        "planned": planned,
        "runs": len(outcomes),
        "runs_killed": len(killed),
        "runs_killed_inside_a_write": sum(outcome.hit_a_save for outcome in outcomes),
        "kills": sum(len(outcome.lines) for outcome in outcomes),
        "killed_and_bit_identical": sum(not outcome.differences for outcome in killed),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("torch", "transformers", "fathom-lm")},
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
