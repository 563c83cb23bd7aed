"""Each task beside the library that is usually taken for it: the same data, first weights, hyperparameters and seeds.

Rounds alternate, each with a seed of its own; every run is a fresh process, and one judge scores the answers of all
sides. A comparison that was stopped goes on with the missing rounds.

`python -m benchmarks.compare_tasks`; `--only`, `--rounds`, `--max-steps`, `--sides`; `--scores-only` where the machine
is at other work: nothing that was timed is written. `--quick` is a smoke test that writes to results/quick-*.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.peers.job import FIGURES, Job
from benchmarks.processor import processor_name, result_name
from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    fathom_command,
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
from benchmarks.scores import compare_scores
from benchmarks.settings import THREADS
from benchmarks.tasks.row import Prepared, Scores, TaskRow
from benchmarks.tasks.rows import ROWS

SIDES = ("default", "tuned", "fathom")
UNTUNED = "untuned"
NEVER = 1_000_000_000
QUICK_STEPS = 3
SCORES = "scores"
"""Ends the name of a result of scores alone: trainings as long as scores need, where speed needs fewer steps."""
COUNTED = ("steps", "real_units", "train_loss", "trl")
"""What is written of a run beside its scores where its time may not be."""
TIMED = ("train_seconds", "real_units_per_s", "peak_memory_bytes", "load_before")


@dataclass(frozen=True)
class Plan:
    """How much is measured, of which sides, and where the work folder is."""

    work: Path
    rounds: int = 5
    threads: int = THREADS
    max_steps: int = -1
    sides: tuple[str, ...] = SIDES
    scores_only: bool = False
    quick: bool = False
    trl: str | None = None
    """Folder with TRL, where it is not installed in this environment."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of every process of the comparison."""
        return environment(self.threads, FATHOM_CACHE=str(self.work / "fathom-cache"))

    def folder(self, row: TaskRow) -> Path:
        """Where a row is prepared and run."""
        return self.work / "tasks" / (f"quick-{row.name}" if self.quick else row.name)


def make_job(row: TaskRow, prepared: Prepared, side: str, seed: int, plan: Plan) -> Job:
    """Return one side's job, with an empty folder for what it leaves."""
    folder = plan.folder(row)
    output = folder / side
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    options = {**row.options, "trl": plan.trl}
    return Job(
        folder / "data", prepared.base, output, side, seed, plan.threads, row.hyperparameters, plan.max_steps, options
    )


def fathom_recipe(row: TaskRow, job: Job) -> Figures:
    """Return the recipe of a job; nothing is evaluated or saved before the end: all sides keep their last weights."""
    chosen, sections = job.hyperparameters, row.recipe(job)
    length = {"epochs": chosen.epochs} if job.max_steps < 0 else {"max_steps": job.max_steps}
    training = {
        **length,
        "batch_size": chosen.batch_size,
        "learning_rate": chosen.learning_rate,
        "weight_decay": chosen.weight_decay,
        "warmup_ratio": chosen.warmup_ratio,
        "max_grad_norm": chosen.max_grad_norm,
        "save_steps": NEVER,
        "load_best_model_at_end": False,
        "evaluate_before": False,
        "verify_reload": False,
        "seed": job.seed,
        "threads": job.threads,
        **sections.pop("training", {}),
    }
    # files have the length of the model's processor
    data = sections.pop("data") | ({"max_length": chosen.max_length} if row.unit == "tokens" else {})
    return {
        "model": str(job.base), "data": data, **sections, "training": training, "output": str(job.output / "run"),
    }  # fmt: skip


def run_fathom(row: TaskRow, job: Job, env: dict[str, str]) -> Path:
    """Train by the `fathom` command, write the figures of a job, and return the file of answers."""
    recipe = job.output / "recipe.yaml"
    recipe.write_text(json.dumps(fathom_recipe(row, job)), encoding="utf-8")
    run_process([*fathom_command(), "train", str(recipe), "--json"], env)
    metrics = json.loads((job.output / "run" / "metrics.json").read_text(encoding="utf-8"))
    timing = metrics["timing"]
    figures = {key: timing[key] for key in ("train_seconds", "peak_memory_bytes")}
    figures |= {"steps": metrics["steps"], "real_units": timing["real_tokens"]}
    (job.output / FIGURES).write_text(json.dumps(figures), encoding="utf-8")
    return row.answer(job, env)


def seen(job: Job, rows: int, steps: int) -> int:
    """Return the rows of so many batches; the last of an epoch may be smaller."""
    size = job.hyperparameters.batch_size
    epochs, rest = divmod(steps, -(-rows // size))
    return epochs * rows + min(rest * size, rows)


def run_side(row: TaskRow, prepared: Prepared, side: str, seed: int, plan: Plan) -> Figures:
    """Run one side once and return its figures and scores; nothing that was timed where only scores count."""
    job = make_job(row, prepared, side, seed, plan)
    before = load_average()
    if side == "fathom":
        answers = run_fathom(row, job, plan.env)
    else:
        path = job.output / "job.json"
        job.write(path)
        run_process(python_module(row.module, path), plan.env)
        answers = job.output / row.answers_name
    figures: Figures = json.loads((job.output / FIGURES).read_text(encoding="utf-8"))
    if side == "fathom":
        if row.unit == "samples":
            figures["real_units"] = seen(job, prepared.train, figures["steps"])
        figures["real_units_per_s"] = figures["real_units"] / figures["train_seconds"]
    figures["load_before"] = before
    kept = COUNTED if plan.scores_only else (*COUNTED, *TIMED)
    return {"scores": row.judge(job, answers), **{key: figures[key] for key in kept if key in figures}}


def settings_of(row: TaskRow, prepared: Prepared, plan: Plan) -> Figures:
    """Return what makes two measurements one: a change of any of it starts a comparison anew."""
    return {
        "task": row.name,
        "data": row.data,
        "peer": row.peer,
        "unit": row.unit,
        "rows": {"train": prepared.train, "test": prepared.test},
        "hyperparameters": asdict(row.hyperparameters),
        "options": row.options,
        "max_steps": plan.max_steps,
        "sides": list(plan.sides),
        "threads": plan.threads,
        "scores_only": plan.scores_only,
        "processor": processor_name(),
        "versions": versions(),
    }


def compare(row: TaskRow, plan: Plan) -> Figures:
    """Run the rounds that are still missing and return the result with its summary."""
    name = result_name(f"task-{row.name}-{SCORES}" if plan.scores_only else f"task-{row.name}")
    name = f"quick-{name}" if plan.quick else name
    data = plan.folder(row) / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    prepared = row.prepare(data, plan.env, plan.quick)
    settings = settings_of(row, prepared, plan)
    result = {} if plan.quick else read_result(name)
    if result.get("settings") != settings:
        result = {"settings": settings, "rounds": []}
    if row.judges_untuned and UNTUNED not in result:
        result[UNTUNED] = run_side(row, prepared, UNTUNED, 0, plan)["scores"]
    while len(result["rounds"]) < plan.rounds:
        turn = len(result["rounds"])
        order = rotated(plan.sides, turn)
        found = {}
        for side in order:
            found[side] = run_side(row, prepared, side, turn + 1, plan)
            print(describe(row, turn, side, found[side]), flush=True)
        result["rounds"].append({"order": order, "seed": turn + 1, "revision": revision(), "sides": found})
        write_result(name, result)
    result["summary"] = summarize_rounds(row, result)
    write_result(name, result)
    return result


def describe(row: TaskRow, turn: int, side: str, figures: Figures) -> str:
    speed = figures.get("real_units_per_s")
    told = "" if speed is None else f"  {speed:8.1f} {row.unit}/s  train {figures['train_seconds']:6.1f} s"
    return (
        f"{row.name} round {turn + 1} {side:8} {figures['steps']} steps  {figures['real_units']} {row.unit}{told}  "
        f"{row.metric} {figures['scores'][row.metric]:.4f}"
    )


def summarize_rounds(row: TaskRow, result: Figures) -> Figures:
    """Put the scores of a row together, and speeds, memory and ratios where they were measured."""
    settings, rounds = result["settings"], result["rounds"]
    sides = settings["sides"]
    others = [side for side in sides if side != "fathom"]
    units = {side: [turn["sides"][side]["real_units"] for turn in rounds] for side in sides}
    summary = {
        "scores": check_scores(row, [turn["sides"] for turn in rounds], sides, settings["rows"]["test"]),
        "real_units": units,
        # a run of a few steps sees whatever its order gives
        "same_units": None if settings["max_steps"] > 0 else len({n for all_ in units.values() for n in all_}) == 1,
        "revisions": sorted({turn["revision"] for turn in rounds}),
    }
    if settings["scores_only"]:
        return summary

    def series(side: str, key: str) -> list[float]:
        return [turn["sides"][side][key] for turn in rounds]

    speed = {side: series(side, "real_units_per_s") for side in sides}
    memory = {side: series(side, "peak_memory_bytes") for side in sides}
    ratios = {f"speed_over_{side}": paired_ratio(speed["fathom"], speed[side]) for side in others}
    ratios |= {f"memory_over_{side}": paired_ratio(memory["fathom"], memory[side]) for side in others}
    every = {"speed_over_default": row.over_default, "speed_over_tuned": row.over_tuned}
    bars = {key: bar for key, bar in every.items() if key in ratios}
    return {
        **summary,
        "real_units_per_s": {side: summarize(values) for side, values in speed.items()},
        "peak_memory_bytes": {side: summarize(values) for side, values in memory.items()},
        "ratios": ratios,
        "bars": {key: asdict(bar) for key, bar in bars.items()},
        "verdicts": {key: bar.judge(ratios[key]["median"]) for key, bar in bars.items()},
        "most_load_before_a_run": max(figures["load_before"] for turn in rounds for figures in turn["sides"].values()),
    }


def check_scores(row: TaskRow, rounds: list[dict[str, Figures]], sides: list[str], test_rows: int) -> Figures:
    """Return the scores that are compared, the means of all, and whether Fathom's are not worse."""

    def means(side: str) -> Scores:
        every: list[Scores] = [turn[side]["scores"] for turn in rounds]
        return {key: mean(scores[key] for scores in every) for key in every[0]}

    scores = {side: [turn[side]["scores"][row.metric] for turn in rounds] for side in sides}
    shares = {side: [value / row.scale for value in values] for side, values in scores.items()}
    others = [side for side in sides if side != "fathom"]
    return {
        "metric": row.metric,
        "scores": scores,
        "means": {side: mean(values) for side, values in scores.items()},
        "mean_of_all_scores": {side: means(side) for side in sides},
        "against": {side: compare_scores(shares[side], shares["fathom"], test_rows) for side in others},
    }


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(ROWS), help="tasks, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="each of its own seed; scores need 3, speeds 5")
    parser.add_argument("--max-steps", type=int, help="steps of a run, where whole trainings take too long")
    parser.add_argument("--sides", default=",".join(SIDES), help="default, tuned or both; and fathom")
    parser.add_argument("--scores-only", action="store_true", help="the machine is at other work: write no times")
    parser.add_argument("--quick", action="store_true", help="smoke test: one round of a few steps on a few rows")
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--trl", help="folder with TRL, where it is not installed in this environment")
    parser.add_argument("--work", type=Path, default=default_work())
    return parser.parse_args()


def make_plan(arguments: Any) -> Plan:
    """Return what the command line asks for.

    Raises:
        SystemExit: A task or a side is unknown, or Fathom or whom it is compared with is missing.
    """
    sides = tuple(arguments.sides.split(","))
    if "fathom" not in sides or len(sides) < 2 or set(sides) - set(SIDES):
        raise SystemExit(f"--sides {arguments.sides}: write fathom, and default or tuned or both")
    if unknown := [name for name in arguments.only.split(",") if name not in ROWS]:
        raise SystemExit(f"no task is called {', '.join(unknown)}; known: {', '.join(ROWS)}")
    steps = QUICK_STEPS if arguments.quick else arguments.max_steps or -1
    rounds = 1 if arguments.quick else arguments.rounds
    return Plan(
        arguments.work.resolve(), rounds, arguments.threads, steps, sides, arguments.scores_only, arguments.quick,
        arguments.trl,
    )  # fmt: skip


def main() -> None:
    arguments = read_arguments()
    plan = make_plan(arguments)
    for name in arguments.only.split(","):
        summary = compare(ROWS[name], plan)["summary"]
        for key, ratio in summary.get("ratios", {}).items():
            print(f"  {key:20} {ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})")
        fair = all(check["not_worse"] for check in summary["scores"]["against"].values())
        print(f"  {summary['scores']['metric']} {summary['scores']['means']}: {'not worse' if fair else 'WORSE'}")


if __name__ == "__main__":
    main()
