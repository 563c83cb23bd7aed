"""A small T5 from the same random weights learns English to Chinese, beside transformers' Seq2SeqTrainer.

Tatoeba pairs, split by English sentence (a sentence has several translations); one tokenizer, one folder of first
weights, the same batches' size, rates and seeds. Both write the test split greedily, and one function scores both:
sacreBLEU with its Chinese tokenization. `--precision fp32` is what the peer runs in by default.

`python -m benchmarks.compare_translation`; `--steps`, `--seeds`, `--rounds` (of speed), `--pairs`, `--test`;
`--quick`: a smoke test.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
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

NAME = "translation-tatoeba"
HYPERPARAMETERS = {"batch_size": 64, "learning_rate": 1e-3, "warmup_ratio": 0.1, "weight_decay": 0.0, "max_length": 64}
VOCABULARY = 8000
SIZES = {"d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 3, "num_decoder_layers": 3, "num_heads": 4}


def read_pairs() -> list[tuple[str, str]]:
    """Return (English, Chinese), in the order of the file."""
    lines = (DATA / "tatoeba_cmn_eng" / "cmn.txt").read_text(encoding="utf-8").splitlines()
    return [(english, chinese) for english, _, chinese in (line.partition("\t") for line in lines)]


def split_pairs(most: int | None, test: int) -> dict[str, list[tuple[str, str]]]:
    """Return train and test: every English sentence with all of its translations on one side."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for pair in read_pairs():
        groups.setdefault(pair[0], []).append(pair)
    ordered = list(groups.values())
    random.Random(7).shuffle(ordered)
    held, learned = ordered[:test], ordered[test:]
    train = [pair for group in learned for pair in group]
    return {"train": train[:most], "test": [group[0] for group in held]}


def bleu(written: list[str], references: list[str]) -> float:
    """Return sacreBLEU with the Chinese tokenization."""
    import sacrebleu

    return round(float(sacrebleu.BLEU(tokenize="zh").corpus_score(written, [references]).score), 3)


class Race:
    """The two programs on the same data, in a folder of their own."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.folder = arguments.work / NAME
        self.folder.mkdir(parents=True, exist_ok=True)
        self.env = environment(arguments.threads, FATHOM_CACHE=str(arguments.work / "fathom-cache"))
        self.splits = split_pairs(arguments.pairs, arguments.test)
        for name, pairs in self.splits.items():
            lines = [json.dumps({"source": source, "target": target}) for source, target in pairs]
            (self.folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        text = "\n".join(side for pair in self.splits["train"] for side in pair)
        (self.folder / "text.txt").write_text(text, encoding="utf-8")
        self.base = self.folder / "base"
        self._make_base()

    def _make_base(self) -> None:
        """Train the tokenizer and draw the first weights that both sides start from."""
        import torch
        import transformers

        tokenizer = self.folder / "tokenizer"
        run_process(
            [
                *fathom_command(), "tokenizer", "train", str(self.folder / "text.txt"), "--output", str(tokenizer),
                "--algorithm", "unigram", "--style", "t5", "--vocab-size", str(self.arguments.vocabulary), "--replace",
            ],
            self.env,
        )  # fmt: skip
        loaded = transformers.AutoTokenizer.from_pretrained(tokenizer)
        torch.manual_seed(7)
        config = transformers.T5Config(
            vocab_size=len(loaded), pad_token_id=loaded.pad_token_id, eos_token_id=loaded.eos_token_id,
            decoder_start_token_id=loaded.pad_token_id, **SIZES,
        )  # fmt: skip
        transformers.T5ForConditionalGeneration(config).save_pretrained(self.base)
        loaded.save_pretrained(self.base)

    def score(self, written: list[str]) -> float:
        """Return the BLEU of what was written for the test split."""
        return bleu(written, [target for _, target in self.splits["test"]])

    def fathom(self, seed: int) -> Figures:
        """Train with the `fathom` command, which also writes the test split."""
        name = f"fathom-{seed}"
        training = {key: value for key, value in HYPERPARAMETERS.items() if key != "max_length"}
        recipe = {
            "model": str(self.base),
            "data": {
                "train": str(self.folder / "train.jsonl"),
                "test": str(self.folder / "test.jsonl"),
                "validation_fraction": 0,
                "max_length": HYPERPARAMETERS["max_length"],
            },
            "task": {"kind": "translation", "max_target_length": HYPERPARAMETERS["max_length"]},
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
        metrics = json.loads((self.folder / name / "metrics.json").read_text(encoding="utf-8"))
        lines = (self.folder / name / "written-test.jsonl").read_text(encoding="utf-8").splitlines()
        timing = metrics["timing"]
        return {
            "bleu": self.score([json.loads(line)["text"] for line in lines]),
            "bleu_own": metrics["test"]["bleu"],
            "loss": metrics["test"]["loss"],
            "train_seconds": timing["train_seconds"],
            "tokens_per_second": timing["real_tokens_per_s"],
            "peak_memory_bytes": timing["peak_memory_bytes"],
        }

    def peer(self, seed: int) -> Figures:
        """Train with transformers' Seq2SeqTrainer and write the test split by `generate`."""
        output = self.folder / f"peer-{seed}.json"
        options = {**HYPERPARAMETERS, "steps": self.arguments.steps, "seed": seed, "threads": self.arguments.threads}
        run_process(
            python_module("benchmarks.peers.hf_seq2seq", self.base, self.folder, output, json.dumps(options)), self.env
        )
        found: Figures = json.loads(output.read_text(encoding="utf-8"))
        return {"bleu": self.score(found.pop("written")), **found}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=0, help="at least as many runs, for speed")
    parser.add_argument("--pairs", type=int, default=None, help="training pairs; left out, all")
    parser.add_argument("--test", type=int, default=1000, help="English sentences held out")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--precision", default="fp32", help="of Fathom; the peer runs in fp32, its default")
    parser.add_argument("--quick", action="store_true", help="a smoke test; no figure from it counts")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.seeds, arguments.pairs, arguments.test, arguments.vocabulary = 3, 1, 300, 10, 1200
    return arguments


def main() -> None:
    arguments = read_arguments()
    race = Race(arguments)
    found: dict[str, list[Figures]] = {"fathom": [], "seq2seq-trainer": []}
    for turn in range(max(arguments.seeds, arguments.rounds)):
        for who in rotated(list(found), turn):
            found[who].append(race.fathom(turn + 1) if who == "fathom" else race.peer(turn + 1))
            print(who, found[who][-1], flush=True)
    result: dict[str, Any] = {
        "claim": "a T5 from random weights translates tatoeba English to Chinese, beside Seq2SeqTrainer",
        "hyperparameters": {**HYPERPARAMETERS, "steps": arguments.steps, "sizes": SIZES},
        "precision": {"fathom": arguments.precision, "seq2seq-trainer": "fp32"},
        "pairs": {name: len(pairs) for name, pairs in race.splits.items()},
        "runs": found,
        "bleu": {
            who: {**summarize([run["bleu"] for run in runs]), "mean": mean(run["bleu"] for run in runs)}
            for who, runs in found.items()
        },
        "load_average": load_average(),
        "threads": arguments.threads,
        "revision": revision(),
        "versions": versions(),
    }
    if arguments.rounds >= 5:  # fewer rounds, or a machine at other work, say nothing of speed
        speeds = {who: [run["tokens_per_second"] for run in runs] for who, runs in found.items()}
        result["tokens_per_second"] = {who: summarize(values) for who, values in speeds.items()}
        result["speed_ratio"] = paired_ratio(speeds["fathom"], speeds["seq2seq-trainer"])
    if arguments.quick:
        print(json.dumps(result, indent=1))
    else:
        print(write_result(NAME, result))


if __name__ == "__main__":
    main()
