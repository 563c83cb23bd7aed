"""Training only the head for ten epochs, beside features computed once and scikit-learn's logistic regression.

Alternating rounds of fresh processes on banking77 with MiniLM; the time is that of training, features included, imports
not. Fathom trains the pooler too, which belongs to BERT's head. `python -m benchmarks.head_only`. The bar: 1.2 times as
fast, at no less accuracy.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from benchmarks.compare_training import Comparison, Plan, run_peer
from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    load_average,
    paired_ratio,
    python_module,
    read_result,
    revision,
    rotated,
    run_process,
    summarize,
    versions,
    write_result,
)
from benchmarks.settings import HYPERPARAMETERS, THREADS
from benchmarks.sources import find_source, prepare

NAME = "head-only"
DATA = "banking77"
PEERS = ("default", "tuned", "fathom")
NEEDED = 1.2
LEARNING_RATE = 1e-2
ROW = Comparison(
    NAME, "minilm", DATA, replace(HYPERPARAMETERS[DATA], epochs=10.0, learning_rate=LEARNING_RATE), tuning="top-0"
)


def run_features(mode: str, plan: Plan) -> Figures:
    out = plan.work / f"figures-features-{mode}.json"
    before = load_average()
    command = python_module(
        "benchmarks.peers.features_once", "--data", DATA, "--mode", mode, "--threads", plan.threads,
        "--work", plan.work, "--out", out,
    )  # fmt: skip
    run_process(command, environment(plan.threads))
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    return {**figures, "load_before": before}


def run_fathom(seed: int, plan: Plan) -> Figures:
    figures = run_peer("fathom", ROW, seed, plan)
    return {**figures, "accuracy": figures["dev"]["accuracy"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    plan = Plan(arguments.work, arguments.rounds, arguments.threads)
    plan.work.mkdir(parents=True, exist_ok=True)
    prepare(find_source(DATA), plan.work)
    result = read_result(NAME)
    if result.get("versions") != versions():
        result = {"versions": versions(), "learning_rate": LEARNING_RATE, "rounds": []}
    while len(result["rounds"]) < plan.rounds:
        turn = len(result["rounds"])
        found = {
            peer: run_fathom(turn + 1, plan) if peer == "fathom" else run_features(peer, plan)
            for peer in rotated(PEERS, turn)
        }
        for peer, figures in found.items():
            print(f"round {turn + 1} {peer:8} {figures['train_seconds']:6.1f} s  {figures['accuracy']:.4f}", flush=True)
        result["rounds"].append({"revision": revision(), "peers": found})
        write_result(NAME, result)

    def series(peer: str, key: str) -> list[float]:
        return [turn["peers"][peer][key] for turn in result["rounds"]]

    seconds = {peer: series(peer, "train_seconds") for peer in PEERS}
    faster = {f"faster_than_{peer}": paired_ratio(seconds[peer], seconds["fathom"]) for peer in PEERS[:-1]}
    result["summary"] = {
        "train_seconds": {peer: summarize(values) for peer, values in seconds.items()},
        "accuracy": {peer: summarize(series(peer, "accuracy")) for peer in PEERS},
        "ratios": faster,
        "needed": NEEDED,
    }
    summary = result["summary"]
    less = summary["accuracy"]["default"]["median"] - summary["accuracy"]["fathom"]["median"]
    fast = faster["faster_than_default"]["median"] >= NEEDED
    summary["verdict"] = f"accuracy is {less:.4f} lower: no claim" if less > 0 else "reached" if fast else "missed"
    write_result(NAME, result)
    print(json.dumps(result["summary"], indent=2))


if __name__ == "__main__":
    main()
