"""Resident memory while a 2 GB text file is tokenized and its windows are read in shuffled order: flat within 10%.

The file is made by sampling lines of the shared data. The memory of the process and of its workers is sampled twice a
second; in each phase, the highest value of the last quarter is compared with the highest of the first quarter after
the first tenth (loading libraries and filling the first buffers). Mapped pages count. `python -m
benchmarks.corpus_memory`; `--quick` is a smoke test with 40 MB, too short for a verdict.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.corpora import make_tokenizer, write_text
from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    load_average,
    python_module,
    revision,
    run_process,
    versions,
    write_result,
)
from benchmarks.settings import THREADS

NAME = "corpus-memory"
NEEDED = 1.10


def growth(samples: list[dict[str, Any]], phase: str) -> Figures:
    """Compare the memory at the end of a phase with that near its beginning."""
    values = [sample["own"] + sample["children"] for sample in samples if sample["phase"] == phase]
    count = len(values)
    if count < 20:
        return {"samples": count}
    early, late = values[count // 10 : count // 10 + count // 4], values[-(count // 4) :]
    return {
        "samples": count,
        "early_bytes": max(early),
        "late_bytes": max(late),
        "peak_bytes": max(values),
        "growth": max(late) / max(early),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--quick", action="store_true", help="smoke test with 40 MB")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    megabytes = 40 if arguments.quick else arguments.megabytes
    work = arguments.work
    corpus = write_text(work / f"corpus-{megabytes}mb.txt", megabytes * 1_000_000)
    tokenizer = make_tokenizer(work / "tokenizer-bpe", "bpe")
    cache, out = work / "cache-memory", work / "figures-memory.json"
    shutil.rmtree(cache, ignore_errors=True)
    before = load_average()
    finished = run_process(
        python_module(
            "benchmarks.peers.corpus_reader", "--corpus", corpus, "--tokenizer", tokenizer,
            "--processes", arguments.threads, "--cache", cache, "--out", out,
        ),
        environment(arguments.threads),
    )  # fmt: skip
    shutil.rmtree(cache, ignore_errors=True)
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    samples = figures.pop("samples")
    phases = {phase: growth(samples, phase) for phase in ("tokenize", "read")}
    grown = [facts["growth"] for facts in phases.values() if "growth" in facts]
    verdict = "too short to tell" if len(grown) < 2 else "reached" if max(grown) <= NEEDED else "missed"
    result = {
        "settings": {"corpus_bytes": corpus.stat().st_size, "processes": arguments.threads, "versions": versions()},
        "revision": revision(),
        "load_before": before,
        "process_seconds": finished.seconds,
        **figures,
        "samples": samples[:: max(1, len(samples) // 400)],
        "summary": {"phases": phases, "bar": NEEDED, "verdict": verdict},
    }
    write_result(f"quick-{NAME}" if arguments.quick else NAME, result)
    for phase, facts in phases.items():
        if "growth" in facts:
            print(
                f"{phase}: {facts['early_bytes'] / 2**20:.0f} MiB early, {facts['late_bytes'] / 2**20:.0f} MiB late, "
                f"{facts['peak_bytes'] / 2**20:.0f} MiB at most: {facts['growth']:.3f}"
            )
    print(f"bar {NEEDED}: {verdict}")


if __name__ == "__main__":
    main()
