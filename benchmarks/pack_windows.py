"""Packing a million documents into windows of 2,048 tokens: Fathom beside TRL's best-fit-decreasing packing.

Only the packing is timed: TRL's function works on tokens that take no memory; `pack_dataset` as a user calls it is kept
beside it. Each run is a fresh process. `python -m benchmarks.pack_windows --trl FOLDER`, where FOLDER holds TRL
(`pip install --no-deps --target FOLDER trl`); `--quick` is a smoke test. The bar: 50 times as fast, at most 0.1% more
windows.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

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

NAME = "pack-windows"
PEERS = {"trl": "benchmarks.peers.trl_packing", "fathom": "benchmarks.peers.fathom_packing"}
CAPACITY = 2048
NEEDED, MORE_WINDOWS = 50.0, 1.001


def write_lengths(path: Path, count: int, seed: int) -> Path:
    """Write lengths as documents of the web have them: log-normal, median 400, some longer than a window."""
    np.random.default_rng(seed).lognormal(6.0, 1.0, count).astype(np.int64).clip(1, 16_384).tofile(path)
    return path


def run_peer(peer: str, lengths: Path, work: Path, trl: Path | None) -> Figures:
    out = work / f"figures-pack-{peer}.json"
    extra = ["--trl", trl] if peer == "trl" and trl else []
    before = load_average()
    run_process(
        python_module(PEERS[peer], "--lengths", lengths, "--capacity", CAPACITY, "--out", out, *extra),
        environment(THREADS),
    )
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    return {**figures, "load_before": before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--trl", type=Path, help="folder with TRL, where it is not installed in this environment")
    parser.add_argument("--quick", action="store_true", help="smoke test: one round of 20,000 lengths")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    count, rounds = (20_000, 1) if arguments.quick else (arguments.count, arguments.rounds)
    name = f"quick-{NAME}" if arguments.quick else NAME
    arguments.work.mkdir(parents=True, exist_ok=True)
    settings = {"count": count, "capacity": CAPACITY, "versions": versions()}
    result = read_result(name)
    if result.get("settings") != settings:
        result = {"settings": settings, "rounds": []}
    while len(result["rounds"]) < rounds:
        turn = len(result["rounds"])
        lengths = write_lengths(arguments.work / "lengths.bin", count, seed=turn + 1)
        order = rotated(tuple(PEERS), turn)
        figures = {peer: run_peer(peer, lengths, arguments.work, arguments.trl) for peer in order}
        result["rounds"].append({"order": order, "seed": turn + 1, "revision": revision(), "peers": figures})
        write_result(name, result)
        print(
            f"round {turn + 1}: "
            + ", ".join(f"{peer} {f['seconds']:.3f} s, {f['windows']:,} windows" for peer, f in figures.items()),
            flush=True,
        )
    rows = [turn["peers"] for turn in result["rounds"]]
    seconds = {peer: [row[peer]["seconds"] for row in rows] for peer in PEERS}
    windows = paired_ratio([row["fathom"]["windows"] for row in rows], [row["trl"]["windows"] for row in rows])
    ratio = paired_ratio(seconds["trl"], seconds["fathom"])
    whole = paired_ratio([row["trl"]["pack_dataset_seconds"] for row in rows], seconds["fathom"])
    good = ratio["median"] >= NEEDED and windows["max"] <= MORE_WINDOWS
    result["summary"] = {
        "seconds": {peer: summarize(values) for peer, values in seconds.items()},
        "speed_over_trl": ratio,
        "speed_over_pack_dataset": whole,
        "windows_over_trl": windows,
        "bar": NEEDED,
        "verdict": "reached" if good else "missed",
    }
    write_result(name, result)
    print(
        f"{ratio['median']:.0f} times TRL's packing, {whole['median']:.0f} times pack_dataset, "
        f"{windows['median']:.5f} of its windows; bar {NEEDED:.0f}: {result['summary']['verdict']}"
    )


if __name__ == "__main__":
    main()
