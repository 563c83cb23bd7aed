"""Text to a packed token file: Fathom's corpus store beside `datasets.map(batched=True, num_proc=2)` and `group_texts`.

Both sides read the same JSON lines, in which no text stands twice, with the same tokenizer in a fresh process with an
empty cache; the ids must be equal. Fathom's time goes from the raw file to the verified store; the peer's begins when
`load_dataset` has converted the file to Arrow (its time with that is kept beside it). `python -m
benchmarks.tokenize_corpus`; `--quick` is a smoke test. The bar: 2.5 times the peer's speed.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from benchmarks.corpora import make_tokenizer, write_json_lines
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
from benchmarks.unrepeated import write_unrepeated

NAME = "tokenize-corpus"
PEERS = {"datasets": "benchmarks.peers.clm_tokenize", "fathom": "benchmarks.peers.fathom_tokenize"}
KINDS = ("bpe", "wordpiece")
NEEDED = 2.5


def run_peer(peer: str, kind: str, corpus: Path, work: Path, threads: int) -> Figures:
    cache, out = work / f"tokens-{peer}", work / f"figures-tokens-{peer}.json"
    shutil.rmtree(cache, ignore_errors=True)
    command = python_module(
        PEERS[peer], "--corpus", corpus, "--tokenizer", make_tokenizer(work / f"tokenizer-{kind}", kind),
        "--processes", threads, "--cache", cache, "--out", out,
    )  # fmt: skip
    before = load_average()
    finished = run_process(command, environment(threads))
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    shutil.rmtree(cache, ignore_errors=True)
    return {**figures, "process_seconds": finished.seconds, "load_before": before}


def compare(kind: str, corpus: Path, rounds: int, name: str, arguments: argparse.Namespace) -> Figures:
    """Run the rounds that are still missing and return the result with its summary."""
    size = corpus.stat().st_size
    settings = {"tokenizer": kind, "corpus_bytes": size, "processes": arguments.threads, "versions": versions()}
    result = read_result(name)
    if result.get("settings") != settings:
        result = {"settings": settings, "rounds": []}
    while len(result["rounds"]) < rounds:
        turn = len(result["rounds"])
        order = rotated(tuple(PEERS), turn)
        figures = {peer: run_peer(peer, kind, corpus, arguments.work, arguments.threads) for peer in order}
        result["rounds"].append({"order": order, "revision": revision(), "peers": figures})
        write_result(name, result)
        print(
            f"{kind} round {turn + 1}: "
            + ", ".join(f"{p} {f['seconds']:.1f} s ({size / f['seconds'] / 1e6:.1f} MB/s)" for p, f in figures.items()),
            flush=True,
        )
    seconds = {peer: [turn["peers"][peer]["seconds"] for turn in result["rounds"]] for peer in PEERS}
    loading = [turn["peers"]["datasets"]["seconds_with_load"] for turn in result["rounds"]]
    ratio = paired_ratio(seconds["datasets"], seconds["fathom"])
    hashes = {turn["peers"][peer]["ids_sha256"] for turn in result["rounds"] for peer in PEERS}
    result["summary"] = {
        "seconds": {peer: summarize(values) for peer, values in seconds.items()},
        "megabytes_per_s": {peer: summarize([size / s / 1e6 for s in values]) for peer, values in seconds.items()},
        "speed_over_datasets": ratio,
        "speed_over_datasets_with_load": paired_ratio(loading, seconds["fathom"]),
        "same_ids": len(hashes) == 1,
        "bar": NEEDED,
        "verdict": "reached" if ratio["median"] >= NEEDED and len(hashes) == 1 else "missed",
    }
    write_result(name, result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--quick", action="store_true", help="smoke test: one round of 4 MB")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    rounds = 1 if arguments.quick else arguments.rounds
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.quick:
        corpus = write_json_lines(arguments.work / "corpus-4mb.jsonl", 4_000_000)
    else:
        corpus = write_unrepeated(arguments.work / "corpus-unrepeated.jsonl")
    for kind in arguments.kinds.split(","):
        name = f"{'quick-' if arguments.quick else ''}{NAME}-{kind}"
        summary = compare(kind, corpus, rounds, name, arguments)["summary"]
        print(
            f"{kind}: {summary['speed_over_datasets']['median']:.2f} times datasets.map "
            f"({summary['speed_over_datasets_with_load']['median']:.2f} with load_dataset), "
            f"{'identical ids' if summary['same_ids'] else 'DIFFERENT IDS'}; bar {NEEDED}: {summary['verdict']}"
        )


if __name__ == "__main__":
    main()
