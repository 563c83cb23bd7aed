"""Pretraining speed and memory of Fathom beside the Trainer: alternating rounds, each run a fresh process.

`python -m benchmarks.compare_pretraining` measures every row; `--rows`, `--rounds`, `--steps`; `--quick`: a smoke test.
A comparison that was stopped goes on with the missing rounds.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.bars import Bar
from benchmarks.compare_training import Plan, precision_of, probe_machine
from benchmarks.pretraining import ROWS, Row, model_folder, read_config, training_flops_per_token
from benchmarks.processor import result_name
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
from benchmarks.settings import THREADS

PEERS = ("default", "tuned", "fathom")
BARS: dict[str, dict[str, Bar]] = {
    "gpt-10m-causal": {"speed_over_default": Bar(2.0, 3.0), "speed_over_tuned": Bar(1.4, 1.8)},
    "bert-12x256-masked": {"speed_over_default": Bar(4.0, 6.0), "speed_over_tuned": Bar(2.0, 3.0)},
    "bert-100k-memory": {"memory_over_default": Bar(0.3, 0.2, at_most=True)},
}


def run_peer(peer: str, row: Row, seed: int, steps: int, plan: Plan) -> Figures:
    """Run one peer once in a fresh process and return its figures."""
    out = plan.work / f"pretraining-{peer}.json"
    out.unlink(missing_ok=True)
    common: list[object] = [
        "--row",
        row.name,
        "--seed",
        seed,
        "--threads",
        plan.threads,
        "--work",
        plan.work,
        "--out",
        out,
    ]
    common += ["--steps", steps]
    if peer == "fathom":
        command = python_module("benchmarks.peers.fathom_pretraining", *common)
    else:
        command = python_module("benchmarks.peers.hf_pretraining", "--mode", peer, *common)
    before = load_average()
    run_process(command, environment(plan.threads))
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    return {**figures, "load_before": before}


def compare(row: Row, plan: Plan, steps: int) -> Figures:
    """Run the rounds that are still missing and return the result with its summary."""
    name = result_name(f"quick-{row.name}" if plan.quick else row.name)
    model_folder(row, plan.work)
    settings = {**asdict(row), "steps": steps, "threads": plan.threads, "versions": versions()}
    result = read_result(name)
    if result.get("settings") != json.loads(json.dumps(settings)):
        result = {"settings": settings, "machine": probe_machine(plan), "rounds": []}
    while len(result["rounds"]) < plan.rounds:
        turn = len(result["rounds"])
        figures = {}
        for peer in rotated(PEERS, turn):
            found = figures[peer] = run_peer(peer, row, turn + 1, steps, plan)
            print(
                f"{row.name} round {turn + 1} {peer:8} {found['real_tokens_per_s']:8.0f} tokens/s  "
                f"peak {found['peak_memory_bytes'] / 2**20:6.0f} MiB  loss {found['validation_loss']:.4f}",
                flush=True,
            )
        order = rotated(PEERS, turn)
        result["rounds"].append({"order": order, "seed": turn + 1, "revision": revision(), "peers": figures})
        write_result(name, result)
    result["summary"] = summarize_rounds(row, result, plan)
    write_result(name, result)
    return result


def summarize_rounds(row: Row, result: Figures, plan: Plan) -> Figures:
    """Put medians, paired ratios, the share of the machine's limit and the losses of a row together."""

    def series(peer: str, key: str) -> list[float]:
        return [turn["peers"][peer][key] for turn in result["rounds"]]

    vocabulary = read_config(model_folder(row, plan.work))["vocab_size"]
    flops = training_flops_per_token(row, vocabulary)
    speed = {peer: series(peer, "real_tokens_per_s") for peer in PEERS}
    memory = {peer: series(peer, "peak_memory_bytes") for peer in PEERS}
    ratios = {f"speed_over_{peer}": paired_ratio(speed["fathom"], speed[peer]) for peer in PEERS[:-1]}
    ratios |= {f"memory_over_{peer}": paired_ratio(memory["fathom"], memory[peer]) for peer in PEERS[:-1]}
    peaks = {name: result["machine"]["flops_per_s"][name]["peak"] for name in ("fp32", "bf16")}
    shares = {peer: flops * median(speed[peer]) / peaks[precision_of(peer)] for peer in PEERS}
    bars = BARS[row.name]
    return {
        "training_flops_per_token": flops,
        "real_tokens_per_s": {peer: summarize(values) for peer, values in speed.items()},
        "peak_memory_bytes": {peer: summarize(values) for peer, values in memory.items()},
        "validation_loss": {peer: mean(series(peer, "validation_loss")) for peer in PEERS},
        "ratios": ratios,
        "share_of_best_product": shares,
        "bars": {key: asdict(bar) for key, bar in bars.items()},
        "verdicts": {key: bar.judge(ratios[key]["median"]) for key, bar in bars.items()},
        "most_load_before_a_run": max(
            turn["peers"][peer]["load_before"] for turn in result["rounds"] for peer in PEERS
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(BARS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--steps", type=int, help="steps of a run, in place of each row's own")
    parser.add_argument("--quick", action="store_true", help="smoke test: one round of three steps")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments: Any = parser.parse_args()
    plan = Plan(arguments.work, 1 if arguments.quick else arguments.rounds, arguments.threads, arguments.quick)
    plan.work.mkdir(parents=True, exist_ok=True)
    for name in arguments.rows.split(","):
        if name not in ROWS:
            raise SystemExit(f"no row is called '{name}'; known: {', '.join(ROWS)}")
        steps = 3 if arguments.quick else arguments.steps or ROWS[name].steps
        summary = compare(ROWS[name], plan, steps)["summary"]
        for key, ratio in summary["ratios"].items():
            verdict = summary["verdicts"].get(key, "")
            print(f"  {key:22} {ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})  {verdict}")
        print(f"  loss {summary['validation_loss']}, share of the best product {summary['share_of_best_product']}")


if __name__ == "__main__":
    main()
