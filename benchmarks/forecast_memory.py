"""Forecast beside measured: peak memory and trainable parameters of `fathom train` over random configurations.

Every configuration is a fresh process of a few steps; a run that is in the results file is not repeated. `python -m
benchmarks.forecast_memory` runs the 40 that are published; another `--seed` draws others, for calibration.
The bars: median error 5%, worst 12%, never more than 3% under; the count of trainable parameters exact.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.forecast_configurations import Configuration, draw, make_recipe, model_name
from benchmarks.rounds import (
    REPOSITORY,
    Figures,
    default_work,
    environment,
    python_module,
    read_result,
    versions,
    write_result,
)
from benchmarks.settings import THREADS

NAME = "forecast-memory"
PUBLISHED_SEED, PUBLISHED_RUNS = 3, 40
MEDIAN, WORST, UNDER = 0.05, 0.12, 0.03
REFUSED = 2
"""Exit code of a recipe that cannot be run: a strategy the family does not take."""


def run(configuration: Configuration, threads: int, work: Path) -> Figures:
    """Train a few steps in a fresh process and return forecast, measured values and errors, or why it was refused."""
    folder = Path(tempfile.mkdtemp(prefix="forecast-", dir=work))
    try:
        recipe = folder / "recipe.yaml"
        recipe.write_text(json.dumps(make_recipe(configuration, folder / "run", work, threads)), encoding="utf-8")
        env = environment(
            threads,
            FATHOM_CACHE=str(work / "forecast-cache"),
            PYTHONPATH=_sources(),
            OMP_WAIT_POLICY="PASSIVE",  # threads that wait for a core on a busy machine do not burn it
        )
        command = ["nice", "-n", "10", *python_module("fathom", "train", recipe, "--json")]
        ended = subprocess.run(command, env=env, capture_output=True, text=True, cwd=REPOSITORY, check=False)
        if ended.returncode == REFUSED:
            return {"configuration": asdict(configuration), "refused": ended.stderr.strip().splitlines()[-1][:300]}
        if ended.returncode:
            raise SystemExit(f"{configuration}\n{ended.stderr[-3000:]}")
        metrics: dict[str, Any] = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    forecast, measured = metrics["forecast"], metrics["measured"]
    return {
        "configuration": asdict(configuration),
        "forecast": forecast,
        "measured": {
            "peak_memory_bytes": measured["peak_memory_bytes"],
            "trainable_parameters": measured["trainable"],
            **{key: value for key, value in measured.items() if key.startswith("memory_")},
        },
        "memory_error": forecast["peak_memory_bytes"] / measured["peak_memory_bytes"] - 1,
        "parameters_exact": forecast["trainable"] == measured["trainable"],
    }


def _sources() -> str:
    """This checkout's packages, whatever is installed."""
    known = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(REPOSITORY / "src"), *([known] if known else [])])


def summarize(runs: list[Figures]) -> Figures:
    """Return the figures the bars are set on."""
    errors = [item["memory_error"] for item in runs]
    middle, worst = median(map(abs, errors)), max(map(abs, errors))
    under = max(0.0, -min(errors))
    reached = middle <= MEDIAN and worst <= WORST and under <= UNDER
    return {
        "configurations": len(runs),
        "median_error": middle,
        "worst_error": worst,
        "worst_under": under,
        "verdict": "reached" if reached else "missed",
        "parameters_exact": all(item["parameters_exact"] for item in runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=PUBLISHED_SEED)
    parser.add_argument("--runs", type=int, default=PUBLISHED_RUNS)
    parser.add_argument("--again", action="store_true", help="forget the runs of this seed that are in the file")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; they share the time, not the memory")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    name = NAME if arguments.seed == PUBLISHED_SEED else f"{NAME}-{arguments.seed}"
    result = {} if arguments.again else read_result(name)
    if result.get("seed") != arguments.seed:
        result = {"seed": arguments.seed, "runs": {}, "refused": {}}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        running: dict[Future[Figures], Configuration] = {}
        number = 0
        while len(result["runs"]) < arguments.runs:
            # a strategy that a family does not take is refused and replaced by the next configuration
            while len(running) < min(arguments.jobs, arguments.runs - len(result["runs"])):
                configuration = draw(arguments.seed, number)
                number += 1
                if configuration.name not in result["runs"] and configuration.name not in result["refused"]:
                    model_name(configuration, arguments.work)  # made by one thread
                    running[pool.submit(run, configuration, arguments.threads, arguments.work)] = configuration
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                configuration, figures = running.pop(ended), ended.result()
                result["refused" if "refused" in figures else "runs"][configuration.name] = figures
                print(_line(configuration, figures), flush=True)
            result["versions"] = versions()
            if result["runs"]:
                result["summary"] = summarize(list(result["runs"].values()))
            write_result(name, result)


def _line(configuration: Configuration, found: Figures) -> str:
    said = ", ".join(str(value) for key, value in asdict(configuration).items() if key != "name")
    if "refused" in found:
        return f"{configuration.name} refused: {found['refused']} ({said})"
    measured = found["measured"]["peak_memory_bytes"] / 2**20
    return f"{configuration.name} {found['memory_error']:+6.1%} of {measured:,.0f} MiB ({said})"


if __name__ == "__main__":
    main()
