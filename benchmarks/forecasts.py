"""Forecast beside measured: peak memory, seconds of a step and trainable parameters of `fathom train` over random
configurations.

Every configuration is a fresh process of `STEPS` steps; a run that is in the results file is not repeated. First some
runs of another seed fill the history that calibrates a machine's forecasts, as the runs of any user do; the runs that
are judged read that history and do not add to it. `python -m benchmarks.forecasts` makes both; another `--seed` draws
others, to look for errors in.
The bars: memory median error 5%, worst 12%, never more than 3% under; step time median error 10%; the count of
trainable parameters exact.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.forecast_configurations import Configuration, draw, make_recipe
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
from fathom.runs.calibration import HISTORY as SPEED
from fathom.runs.calibration import RATES
from fathom.runs.memory_history import HISTORY as MEMORY

NAME = "forecasts"
PUBLISHED_SEED, PUBLISHED_RUNS = 6, 40
CALIBRATION_SEED, CALIBRATION_RUNS = 2, 24
MEDIAN, WORST, UNDER, TIME_MEDIAN = 0.05, 0.12, 0.03, 0.10
REFUSED = 2
"""Exit code of a recipe that cannot be run: a strategy the family does not take."""


def run(configuration: Configuration, threads: int, work: Path, cache: Path) -> Figures:
    """Train a few steps in a fresh process and return forecast, measured values and errors, or why it was refused.

    Args:
        configuration: What is trained.
        threads: Of the process.
        work: Folder of prepared data and models.
        cache: Fathom's cache folder, whose history the forecast reads and the run adds to.
    """
    folder = Path(tempfile.mkdtemp(prefix="forecast-", dir=work))
    try:
        recipe = folder / "recipe.yaml"
        recipe.write_text(json.dumps(make_recipe(configuration, folder / "run", work, threads)), encoding="utf-8")
        env = environment(
            threads,
            FATHOM_CACHE=str(cache),
            PYTHONPATH=_sources(),
            OMP_WAIT_POLICY="PASSIVE",  # threads that wait for a core on a busy machine do not burn it
        )
        command = python_module("fathom", "train", recipe, "--json")
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
            "step_seconds": measured["step_seconds"],
        },
        "memory_error": forecast["peak_memory_bytes"] / measured["peak_memory_bytes"] - 1,
        "time_error": forecast["step_seconds"] / measured["step_seconds"] - 1,
        "parameters_exact": forecast["trainable"] == measured["trainable"],
    }


def _sources() -> str:
    """This checkout's packages, whatever is installed."""
    known = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(REPOSITORY / "src"), *([known] if known else [])])


def judged(configuration: Configuration, threads: int, work: Path, calibrated: Path) -> Figures:
    """Run a configuration on a copy of the calibrated history, which it leaves as it is."""
    with tempfile.TemporaryDirectory(prefix="forecast-cache-", dir=work) as cache:
        for name in (RATES, SPEED, MEMORY):
            if (calibrated / name).is_file():
                shutil.copy(calibrated / name, cache)
        return run(configuration, threads, work, Path(cache))


def drawn(seed: int, number_of_runs: int, known: dict[str, Figures]) -> Iterator[Configuration]:
    """Draw configurations of a seed until so many are in `known`; one that was refused is replaced by the next."""
    for number in count():
        if sum("refused" not in found for found in known.values()) >= number_of_runs:
            return
        configuration = draw(seed, number)
        if configuration.name not in known:
            yield configuration


def summarize(runs: list[Figures]) -> Figures:
    """Return the figures the bars are set on."""
    errors = [item["memory_error"] for item in runs]
    middle, worst = median(map(abs, errors)), max(map(abs, errors))
    under = max(0.0, -min(errors))
    reached = middle <= MEDIAN and worst <= WORST and under <= UNDER
    time_errors = [abs(item["time_error"]) for item in runs]
    return {
        "configurations": len(runs),
        "median_error": middle,
        "worst_error": worst,
        "worst_under": under,
        "verdict": "reached" if reached else "missed",
        "time_median_error": median(time_errors),
        "time_worst_error": max(time_errors),
        "time_verdict": "reached" if median(time_errors) <= TIME_MEDIAN else "missed",
        "parameters_exact": all(item["parameters_exact"] for item in runs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=PUBLISHED_SEED)
    parser.add_argument("--runs", type=int, default=PUBLISHED_RUNS)
    parser.add_argument("--calibration-runs", type=int, default=CALIBRATION_RUNS)
    parser.add_argument("--again", action="store_true", help="forget the runs of this seed that are in the file")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    threads, work = arguments.threads, arguments.work
    calibrated = work / "forecast-calibration"
    calibrated.mkdir(parents=True, exist_ok=True)
    name = NAME if arguments.seed == PUBLISHED_SEED else f"{NAME}-{arguments.seed}"
    result = {} if arguments.again else read_result(name)
    if result.get("seed") != arguments.seed:
        shutil.rmtree(calibrated)
        calibrated.mkdir()
        result = {"seed": arguments.seed, "runs": {}, "calibration": {"seed": CALIBRATION_SEED, "runs": {}}}
    calibration = result["calibration"]
    stages = (
        (calibration["seed"], arguments.calibration_runs, calibration["runs"], run),
        (arguments.seed, arguments.runs, result["runs"], judged),
    )
    for seed, number_of_runs, known, measure in stages:
        for configuration in drawn(seed, number_of_runs, known):
            known[configuration.name] = measure(configuration, threads, work, calibrated)
            print(_line(configuration, known[configuration.name]), flush=True)
            result["versions"] = versions()
            finished = [found for found in result["runs"].values() if "refused" not in found]
            if finished:
                result["summary"] = summarize(finished)
            write_result(name, result)


def _line(configuration: Configuration, found: Figures) -> str:
    said = ", ".join(str(value) for key, value in asdict(configuration).items() if key != "name")
    if "refused" in found:
        return f"{configuration.name} refused: {found['refused']} ({said})"
    measured = found["measured"]
    memory = f"{found['memory_error']:+6.1%} of {measured['peak_memory_bytes'] / 2**20:,.0f} MiB"
    return f"{configuration.name} {memory}, {found['time_error']:+6.1%} of {measured['step_seconds']:.3f} s ({said})"


if __name__ == "__main__":
    main()
