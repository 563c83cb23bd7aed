"""Eight trials of one comparison: `fathom compare` beside eight Trainer runs one after another.

`trials-top-2`: the top two blocks learn, four learning rates by two seeds (bar: 2.3 times as fast). `trials-lora`: four
ranks by two seeds, beside PEFT (bar: 1.4). The time of a round is that of all eight trials, one after another or in one
pass, from start to trained and scored on dev; the Trainer runs tuned (bf16, length grouping, fused AdamW).
`python -m benchmarks.compare_trials`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks.compare_training import Comparison, Plan, run_peer
from benchmarks.peers.fathom_run import tuning_section
from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    fathom_command,
    load_average,
    paired_ratio,
    read_result,
    revision,
    rotated,
    run_process,
    summarize,
    versions,
    write_result,
)
from benchmarks.settings import HYPERPARAMETERS, THREADS
from benchmarks.sources import fathom_data_section, find_source, prepare

DATA = "wnut17"
SEEDS = (1, 2)
PEERS = ("tuned", "fathom")


@dataclass(frozen=True)
class Trials:
    """What varies beside the seed, and how much faster Fathom has to be."""

    name: str
    tunings: tuple[str, ...]
    rates: tuple[float, ...]
    needed: float

    @property
    def varied(self) -> list[str]:
        """What `fathom compare` is told."""
        sections = [json.dumps(tuning_section(tuning)) for tuning in self.tunings]
        edits = [f"training.learning_rate={list(self.rates)}", f"training.seed={list(SEEDS)}"]
        return [*edits, f"tuning=[{','.join(sections)}]"]


ROWS = {
    row.name: row
    for row in (
        Trials("trials-top-2", ("top-2",), (1e-4, 2e-4, 5e-4, 1e-3), 2.3),
        Trials("trials-lora", ("lora-4", "lora-8", "lora-16", "lora-32"), (2e-3,), 1.4),
    )
}


def run_trainers(row: Trials, plan: Plan) -> Figures:
    began = time.perf_counter()
    scores = {}
    for tuning, rate, seed in product(row.tunings, row.rates, SEEDS):
        chosen = replace(HYPERPARAMETERS[DATA], learning_rate=rate)
        one = Comparison(row.name, "minilm", DATA, chosen, tuning=tuning, peers=PEERS)
        scores[f"{tuning} {rate} {seed}"] = run_peer("tuned", one, seed, plan)["dev"]["entity_f1"]
    return {"seconds": time.perf_counter() - began, "scores": scores}


def run_compare(row: Trials, plan: Plan) -> Figures:
    chosen = HYPERPARAMETERS[DATA]
    folder, cache = plan.work / "trials", plan.work / "fathom-cache"
    for gone in (folder, cache / "hidden"):
        shutil.rmtree(gone, ignore_errors=True)
    recipe = {
        "model": {"name": "minilm"},
        "data": {**fathom_data_section(find_source(DATA), plan.work), "max_length": chosen.max_length},
        "task": "token-classification",
        "training": {
            "epochs": chosen.epochs,
            "batch_size": chosen.batch_size,
            "weight_decay": chosen.weight_decay,
            "warmup_ratio": chosen.warmup_ratio,
            "eval_steps": 10**9,
            "save_steps": 10**9,
            "load_best_model_at_end": False,
            "evaluate_before": False,
            "verify_reload": False,
            "threads": plan.threads,
        },
    }
    path = plan.work / "trials.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    command = [*fathom_command(), "compare", str(path), *row.varied, "--output", str(folder)]
    began = time.perf_counter()
    run_process(command, environment(plan.threads, FATHOM_CACHE=str(cache)))
    seconds = time.perf_counter() - began
    scores = {}
    for metrics in sorted(folder.glob("trials/*/metrics.json")):
        found = json.loads(metrics.read_text(encoding="utf-8"))
        scores[metrics.parent.name] = found["validation"]["f1"]
    return {"seconds": seconds, "scores": scores}


def measure(row: Trials, plan: Plan) -> None:
    """Run the rounds that are missing and write the result."""
    result = read_result(row.name)
    if result.get("versions") != versions():
        result = {"versions": versions(), "rounds": []}
    while len(result["rounds"]) < plan.rounds:
        turn = len(result["rounds"])
        before = load_average()
        found = {}
        for peer in rotated(PEERS, turn):
            found[peer] = run_trainers(row, plan) if peer == "tuned" else run_compare(row, plan)
            told = mean(found[peer]["scores"].values())
            print(f"round {turn + 1} {peer:8} {found[peer]['seconds']:6.1f} s  mean F1 {told:.4f}", flush=True)
        result["rounds"].append({"revision": revision(), "load_before": before, "peers": found})
        write_result(row.name, result)
    seconds = {peer: [turn["peers"][peer]["seconds"] for turn in result["rounds"]] for peer in PEERS}
    ratio = paired_ratio(seconds["tuned"], seconds["fathom"])
    scores = {peer: mean(mean(turn["peers"][peer]["scores"].values()) for turn in result["rounds"]) for peer in PEERS}
    result["summary"] = {
        "seconds": {peer: summarize(values) for peer, values in seconds.items()},
        "mean_f1": scores,
        "ratios": {"faster_than_tuned": ratio},
        "needed": row.needed,
        "verdict": "reached" if ratio["median"] >= row.needed else "missed",
    }
    write_result(row.name, result)
    print(json.dumps(result["summary"], indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    plan = Plan(arguments.work, arguments.rounds, arguments.threads)
    plan.work.mkdir(parents=True, exist_ok=True)
    prepare(find_source(DATA), plan.work)
    for name in arguments.rows.split(","):
        measure(ROWS[name], plan)


if __name__ == "__main__":
    main()
