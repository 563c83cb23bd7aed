"""DPO of a small new decoder on human comparisons (PandaLM's), beside TRL's DPOTrainer with the same hyperparameters.

Both start from the same folder of random weights and read the same pairs by the same chat template; pairs without a
majority are left out, and no instruction of the test is trained on. The model is new, so only the comparison counts.
Each program scores the test with its own evaluation. TRL runs with its defaults; `--precompute` lets it score its
reference beforehand, outside what is timed, as Fathom does from its cache.

`python -m benchmarks.compare_preference --trl FOLDER`; `--steps`, `--seeds`, `--rounds` (of speed).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

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

NAME = "preference-pandalm"
HYPERPARAMETERS = {
    "batch_size": 8, "learning_rate": 5e-4, "warmup_ratio": 0.1, "weight_decay": 0.01, "max_length": 256,
}  # fmt: skip
BETA = 0.1
VOCABULARY = 4000
MODEL = {"n_layer": 4, "n_embd": 256, "n_head": 4, "n_positions": 256}
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ 'User: ' + message['content'] + '\nAssistant: ' }}{% endif %}{% endfor %}"
)
"""Ends with the token that ends a turn, so that both programs count the same tokens."""


def read_pairs() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return training and test pairs as conversations, divided by instruction."""
    rows = json.loads((DATA / "pandalm_testset" / "testset-v1.json").read_text(encoding="utf-8"))
    instructions = sorted({row["instruction"] for row in rows})
    random.Random(7).shuffle(instructions)
    kept = set(instructions[: len(instructions) // 4])
    parts: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for row in rows:
        (better, votes), *_ = Counter(row[f"annotator{number}"] for number in (1, 2, 3)).most_common()
        answers = {number: str(row[f"response{number}"]).strip() for number in (1, 2)}  # one is `true`, no text
        if better == 0 or votes < 2 or not all(answers.values()) or answers[1] == answers[2]:
            continue
        asked = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        sides = {"chosen": answers[better], "rejected": answers[3 - better]}
        pair = {side: [{"role": "assistant", "content": text}] for side, text in sides.items()}
        parts[row["instruction"] in kept].append({"prompt": [{"role": "user", "content": asked.strip()}], **pair})
    return parts


def make_model(folder: Path, texts: list[str]) -> None:
    """Save a byte-level tokenizer of the texts and a GPT-2 of random weights."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        model_max_length=MODEL["n_positions"],
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    # without dropout: TRL turns it off, and Fathom is told to
    config = GPT2Config(**MODEL, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(folder)


def fitting(model: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pairs whose answers both fit behind their prompt."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.model_max_length = 1 << 20
    texts = [[*row["prompt"], *row[side]] for row in rows for side in ("chosen", "rejected")]
    lengths = [len(ids) for ids in tokenizer.apply_chat_template(texts, return_dict=False)]
    longest = [max(pair) for pair in zip(lengths[::2], lengths[1::2], strict=True)]
    return [row for row, length in zip(rows, longest, strict=True) if length <= HYPERPARAMETERS["max_length"]]


class Race:
    """The two programs on one set of pairs, in a folder of their own."""

    def __init__(self, work: Path, arguments: argparse.Namespace) -> None:
        self.folder = work / NAME
        self.folder.mkdir(parents=True, exist_ok=True)
        self.env = environment(arguments.threads, FATHOM_CACHE=str(work / "fathom-cache"))
        self.arguments = arguments
        self.model = self.folder / "base"
        self.paths = (self.folder / "train.jsonl", self.folder / "test.jsonl")
        read = read_pairs()
        if not self.model.is_dir():
            make_model(self.model, [json.dumps(row, ensure_ascii=False) for row in read[0]])
        # nothing is cut: the two programs cut long pairs in ways of their own
        parts = [fitting(self.model, rows)[: arguments.pairs] for rows in read]
        for path, rows in zip(self.paths, parts, strict=True):
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        self.sizes = tuple(map(len, parts))

    def fathom(self, seed: int, name: str) -> Figures:
        """Train with the `fathom` command; its evaluation before and after is in `metrics.json`."""
        training = {key: value for key, value in HYPERPARAMETERS.items() if key != "max_length"}
        recipe = {
            "model": str(self.model),
            "data": {
                "train": str(self.paths[0]),
                "validation": str(self.paths[1]),
                "max_length": HYPERPARAMETERS["max_length"],
            },
            "task": {"kind": "preference", "objective": "dpo", "beta": BETA},
            "training": {
                **training,
                "max_steps": self.arguments.steps,
                "eval_steps": self.arguments.steps,
                "seed": seed,
                "dropout": 0.0,
                "precision": self.arguments.precision,
                "load_best_model_at_end": False,
                "verify_reload": False,
            },
            "output": str(self.folder / name),
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(json.dumps(recipe), encoding="utf-8")
        shutil.rmtree(self.folder / name, ignore_errors=True)  # of an earlier, perhaps shorter, measurement
        run_process([*fathom_command(), "train", str(path)], self.env)
        found = json.loads((self.folder / name / "metrics.json").read_text(encoding="utf-8"))
        scores = {key: found["validation"][key] for key in ("loss", "accuracy", "margin")}
        timing = found["timing"]
        return {
            "loss_before": found["before"]["loss"],
            **scores,
            "train_seconds": timing["train_seconds"],
            "tokens_per_second": timing["real_tokens_per_s"],
        }

    def peer(self, seed: int) -> Figures:
        """Train with TRL."""
        options = {
            **HYPERPARAMETERS,
            "steps": self.arguments.steps,
            "seed": seed,
            "beta": BETA,
            "precompute": self.arguments.precompute,
        }
        where = ["--trl", self.arguments.trl] if self.arguments.trl else []
        command = python_module("benchmarks.peers.trl_dpo", self.model, *self.paths, json.dumps(options), *where)
        said = run_process(command, self.env).stdout
        figures: Figures = json.loads(said.strip().splitlines()[-1])
        return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=160, help="of 8 pairs; about two epochs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=0, help="at least as many runs, for speed")
    parser.add_argument("--pairs", type=int, default=None, help="of each split; left out, all")
    parser.add_argument("--precompute", action="store_true", help="TRL scores its reference beforehand")
    parser.add_argument("--trl", type=Path, help="folder with TRL, where it is not installed in this environment")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--precision", default="fp32", help="of Fathom; the peer runs in fp32")
    parser.add_argument("--work", type=Path, default=default_work())
    parser.add_argument("--no-result", action="store_true", help="print only: a trial, or a machine at other work")
    arguments = parser.parse_args()
    race = Race(arguments.work, arguments)
    found: dict[str, list[Figures]] = {"fathom": [], "trl": []}
    for turn in range(max(arguments.seeds, arguments.rounds)):
        for who in rotated(list(found), turn):
            found[who].append(race.fathom(turn + 1, f"fathom-{turn + 1}") if who == "fathom" else race.peer(turn + 1))
            print(who, found[who][-1], flush=True)
    speeds = {who: [run["tokens_per_second"] for run in runs] for who, runs in found.items()}
    result = {
        "claim": "DPO of a small new decoder beside TRL's DPOTrainer",
        "hyperparameters": {**HYPERPARAMETERS, "beta": BETA, "steps": arguments.steps},
        "pairs": dict(zip(("train", "test"), race.sizes, strict=True)),
        "precompute": arguments.precompute,
        "precision": {"fathom": arguments.precision, "trl": "fp32"},
        "runs": found,
        "accuracy": {who: mean(run["accuracy"] for run in runs) for who, runs in found.items()},
        "load_average": load_average(),
        "threads": arguments.threads,
        "revision": revision(),
        "versions": versions(),
    }
    if arguments.rounds >= 5:  # fewer rounds, or a machine at other work, say nothing of speed
        result["tokens_per_second"] = {who: summarize(values) for who, values in speeds.items()}
        result["speed_ratio"] = paired_ratio(speeds["fathom"], speeds["trl"])
    print(json.dumps(result, indent=1) if arguments.no_result else write_result(NAME, result))


if __name__ == "__main__":
    main()
