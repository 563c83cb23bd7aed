"""Forecast beside measured: peak memory and trainable parameters of `fathom train` over several configurations.

Every configuration is a fresh process of a few steps. `python -m benchmarks.forecast_memory`; `--only` takes names.
The bar: peak memory within 10% (aim 5%), the count of trainable parameters exact.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    python_module,
    read_result,
    run_process,
    versions,
    write_result,
)
from benchmarks.settings import THREADS

NAME = "forecast-memory"
NEEDED, AIM = 0.10, 0.05


@dataclass(frozen=True)
class Configuration:
    """One short run whose peak is forecast."""

    name: str
    model: str
    data: str
    batch_size: int
    tuning: str = "full"
    precision: str = "auto"
    max_length: int = 512


CONFIGURATIONS = (
    Configuration("minilm-wnut17-8", "minilm", "wnut17", 8),
    Configuration("minilm-wnut17-32", "minilm", "wnut17", 32),
    Configuration("minilm-wnut17-128", "minilm", "wnut17", 128),
    Configuration("minilm-wnut17-32-fp32", "minilm", "wnut17", 32, precision="fp32"),
    Configuration("minilm-wnut17-32-head", "minilm", "wnut17", 32, tuning="head"),
    Configuration("minilm-wnut17-32-top-layers", "minilm", "wnut17", 32, tuning="top-layers"),
    Configuration("minilm-wnut17-32-bitfit", "minilm", "wnut17", 32, tuning="bitfit"),
    Configuration("minilm-wnut17-32-lora", "minilm", "wnut17", 32, tuning="lora"),
    Configuration("minilm-banking77-32", "minilm", "banking77", 32),
    Configuration("minilm-xed-128", "minilm", "xed", 128),
    Configuration("minilm-sec-16", "minilm", "sec_filings_ner", 16),
    Configuration("minilm-sec-16-cut-128", "minilm", "sec_filings_ner", 16, max_length=128),
    Configuration("bert-base-wnut17-16", "bert-base", "wnut17", 16),
    Configuration("bert-base-wnut17-32", "bert-base", "wnut17", 32),
    Configuration("bert-base-wnut17-32-lora", "bert-base", "wnut17", 32, tuning="lora"),
)


def run(configuration: Configuration, steps: int, threads: int, work: Path) -> Figures:
    """Train a few steps in a fresh process and return forecast, measured values and errors."""
    out = work / "figures-forecast.json"
    command = python_module(
        "benchmarks.peers.fathom_run",
        "--data", configuration.data, "--model", configuration.model, "--batch-size", configuration.batch_size,
        "--tuning", configuration.tuning, "--precision", configuration.precision,
        "--max-length", configuration.max_length, "--max-steps", steps, "--lr", 1e-4, "--threads", threads,
        "--no-score", "--work", work, "--out", out,
    )  # fmt: skip
    run_process(command, environment(threads))
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    forecast, measured = figures["forecast"], figures["measured"]
    if forecast is None:
        raise SystemExit("metrics.json of the run holds no 'forecast': this Fathom does not record one")
    return {
        "configuration": asdict(configuration),
        "forecast": forecast,
        "measured": measured,
        "memory_error": forecast["peak_memory_bytes"] / measured["peak_memory_bytes"] - 1,
        "parameters_exact": forecast["trainable"] == measured["trainable_parameters"],
    }


def summarize(runs: list[Figures]) -> Figures:
    errors = [abs(item["memory_error"]) for item in runs]
    worst = max(errors)
    return {
        "configurations": len(runs),
        "median_error": median(errors),
        "worst_error": worst,
        "verdict": "aim reached" if worst <= AIM else "reached" if worst <= NEEDED else "missed",
        "parameters_exact": all(item["parameters_exact"] for item in runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(item.name for item in CONFIGURATIONS))
    parser.add_argument("--steps", type=int, default=40, help="enough that a batch of the longest texts is among them")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    known = {item.name: item for item in CONFIGURATIONS}
    for name in arguments.only.split(","):
        if name not in known:
            raise SystemExit(f"no configuration is called '{name}'; known: {', '.join(known)}")
        found = run(known[name], arguments.steps, arguments.threads, arguments.work)
        result = read_result(NAME) or {"runs": {}}
        result["runs"][name] = found
        result["versions"] = versions()
        result["summary"] = summarize(list(result["runs"].values()))
        write_result(NAME, result)
        exact = "exact" if found["parameters_exact"] else "WRONG"
        print(f"{name:32} memory {found['memory_error']:+.1%}  trainable parameters {exact}", flush=True)


if __name__ == "__main__":
    main()
