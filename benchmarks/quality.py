"""Dev scores of Fathom and the Trainer with the same hyperparameters: seeds by data sets, merged into one result.

`python -m benchmarks.quality` measures what is missing; `--only wnut17 --seeds 1,2` a part. Seeds that the speed
comparison has already trained with the same hyperparameters are taken from its result file. The Trainer runs in its
tuned mode unless `--peers` says otherwise: its arithmetic (bf16 where the processor has it) is Fathom's, and it takes
less time.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev

from benchmarks.compare_training import PEERS, TRAINERS, Comparison, Plan, run_peer, settings_of
from benchmarks.rounds import Figures, default_work, read_result, versions, write_result
from benchmarks.scores import compare_scores, scored_units
from benchmarks.settings import HYPERPARAMETERS, THREADS
from benchmarks.sources import SOURCES, find_source

NAME = "quality"


def comparison(data: str) -> Comparison:
    return Comparison(f"quality-{data}", "minilm", data, HYPERPARAMETERS[data])


def kept(figures: Figures) -> Figures:
    """Return what a quality result keeps of one run."""
    keys = ("dev", "dev_own", "train_loss", "train_seconds", "real_tokens")
    return {key: figures[key] for key in keys if figures.get(key) is not None}


def adopt(entry: Figures, data: str, plan: Plan) -> None:
    """Take over the runs of the speed comparison that had the same settings."""
    result = read_result(f"minilm-{data}")
    settings = settings_of(comparison(data), plan)
    same = ("model", "data", "hyperparameters", "max_steps", "versions")
    if not result or any(result["settings"][key] != settings[key] for key in same):
        return
    for turn in result["rounds"]:
        for peer, figures in turn["peers"].items():
            entry["peers"].setdefault(peer, {}).setdefault(str(turn["seed"]), kept(figures))


def summarize_entry(entry: Figures, data: str, plan: Plan) -> Figures:
    """Return mean and spread of every score, the comparison with each Trainer mode, and the floor."""
    source = find_source(data)
    key = source.main_score
    peers = {peer: dict(sorted(seeds.items())) for peer, seeds in entry["peers"].items() if seeds}
    scores = {peer: [figures["dev"][key] for figures in seeds.values()] for peer, seeds in peers.items()}
    summary: Figures = {"metric": key, "floor": source.floor, "reference": source.reference, "peers": {}}
    for peer, values in scores.items():
        deviation = stdev(values) if len(values) > 1 else 0.0
        runs = list(peers[peer].values())
        every = {name: mean(run["dev"][name] for run in runs) for name in runs[0]["dev"]}
        summary["peers"][peer] = {
            "mean": mean(values), "standard_deviation": deviation, "min": min(values), "max": max(values),
            "seeds": len(values), "mean_of_all_scores": every,
        }  # fmt: skip
    if "fathom" in scores:
        units = scored_units(source, plan.work)
        others = [peer for peer in TRAINERS if peer in scores]
        summary["against"] = {peer: compare_scores(scores[peer], scores["fathom"], units) for peer in others}
        summary["beats_floor"] = None if source.floor is None else mean(scores["fathom"]) > source.floor
    return summary


def measure(data: str, seeds: list[int], peers: list[str], plan: Plan) -> None:
    """Run the missing seeds of one data set and merge them into the result, run by run."""
    row = comparison(data)
    hyperparameters = asdict(row.hyperparameters)
    for seed in [None, *seeds]:
        for peer in peers:
            result = read_result(NAME) or {"data": {}}
            result["versions"] = versions()
            entry = result["data"].get(data, {})
            if entry.get("hyperparameters") != hyperparameters:
                entry = {"hyperparameters": hyperparameters, "peers": {}}
            adopt(entry, data, plan)
            done = entry["peers"].setdefault(peer, {})
            if seed is not None and str(seed) not in done:
                done[str(seed)] = kept(run_peer(peer, row, seed, plan))
                print(f"{data} seed {seed} {peer:8} {done[str(seed)]['dev']}", flush=True)
            entry["summary"] = summarize_entry(entry, data, plan)
            result["data"][data] = entry
            write_result(NAME, result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(SOURCES), help="data sets, separated by commas")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--peers", default="tuned,fathom", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    plan = Plan(arguments.work, threads=arguments.threads)
    plan.work.mkdir(parents=True, exist_ok=True)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    peers = arguments.peers.split(",")
    if unknown := set(peers) - set(PEERS):
        raise SystemExit(f"unknown peers {sorted(unknown)}; known: {', '.join(PEERS)}")
    for data in arguments.only.split(","):
        find_source(data)
        measure(data, seeds, peers, plan)
        print(f"{data}: {read_result(NAME)['data'][data]['summary']}", flush=True)


if __name__ == "__main__":
    main()
