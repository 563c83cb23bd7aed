"""Training speed, memory and start-up of Fathom beside the Trainer: alternating rounds, each run a fresh process.

`python -m benchmarks.compare_training` measures every row; `--rows minilm-wnut17` only some; `--quick` is a smoke test
of a few steps that writes to results/quick-*.json. A comparison that was stopped goes on with the missing rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, median

from benchmarks.bars import Bar
from benchmarks.models import model_folder, read_config, training_flops_per_token
from benchmarks.processor import has_bf16, result_name
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
from benchmarks.scores import compare_scores, scored_units
from benchmarks.settings import BERT_BASE_LEARNING_RATE, HYPERPARAMETERS, THREADS, Hyperparameters
from benchmarks.sources import find_source, prepare

PEERS = ("default", "tuned", "best", "fathom")
TRAINERS = PEERS[:-1]


@dataclass(frozen=True)
class Comparison:
    """One row: a model on a data set, and the bars of its figures."""

    name: str
    model: str
    data: str
    hyperparameters: Hyperparameters
    over_default: Bar | None = None
    over_tuned: Bar | None = None
    memory: Bar | None = None
    max_steps: int = -1
    tuning: str = "full"
    peers: tuple[str, ...] = PEERS

    @property
    def trainers(self) -> tuple[str, ...]:
        """The peers Fathom is measured against."""
        return self.peers[:-1]


GROUPED_STEPS = {"wnut17": 2 * 26, "banking77": 50}
"""The Trainer sorts 26 and 50 batches at a time (a quarter of all, at most 50): a shorter run sees only the longest."""


def _minilm(data: str) -> Comparison:
    memory = Bar(0.7, 0.5, at_most=True)
    return Comparison(
        f"minilm-{data}", "minilm", data, HYPERPARAMETERS[data], Bar(3.0, 4.5), Bar(1.3, 1.8), memory=memory
    )


def _bert_base(data: str) -> Comparison:
    chosen = replace(HYPERPARAMETERS[data], learning_rate=BERT_BASE_LEARNING_RATE)
    return Comparison(f"bert-base-{data}", "bert-base", data, chosen, Bar(2.8, 4.0), Bar(1.25, 1.6), max_steps=60)


def _beside_tuned(data: str) -> Comparison:
    """As many steps as length grouping needs to go from the longest texts to the shortest; no slow peers."""
    row = replace(_bert_base(data), over_default=None, max_steps=GROUPED_STEPS[data], peers=("tuned", "fathom"))
    return replace(row, name=f"{row.name}-tuned")


def _frozen(model: str, top: int, over_default: Bar, over_tuned: Bar) -> Comparison:
    """Five epochs with the bottom blocks frozen: on Fathom's side they are computed once."""
    chosen = replace(HYPERPARAMETERS["wnut17"], epochs=5.0)
    return Comparison(
        f"{model}-top-{top}-wnut17", model, "wnut17", chosen, over_default, over_tuned, tuning=f"top-{top}",
        peers=("default", "tuned", "fathom"),
    )  # fmt: skip


_LORA = Comparison(
    "minilm-lora-wnut17", "minilm", "wnut17", replace(HYPERPARAMETERS["wnut17"], learning_rate=2e-3), Bar(3.0, 4.5),
    Bar(1.3, 1.8), tuning="lora-8", peers=("default", "tuned", "fathom"),
)  # fmt: skip
ROWS = {
    row.name: row
    for row in (
        *map(_minilm, ("wnut17", "banking77")),
        *map(_bert_base, ("wnut17", "banking77")),
        *map(_beside_tuned, ("wnut17", "banking77")),
        _frozen("minilm", 2, Bar(4.5, 6.0), Bar(1.8, 2.5)),
        _frozen("bert-base", 3, Bar(4.5, 6.0), Bar(1.9, 2.5)),
        _LORA,
    )
}
STARTUP = "startup"
IMPORTS = "import torch, transformers.models.bert.modeling_bert"
"""What no program that trains BERT by transformers can do without."""
HELP_BAR = Bar(0.25, 0.2, at_most=True)
FIRST_STEP_BAR = Bar(2.0, 3.0)


@dataclass(frozen=True)
class Plan:
    """How much is measured, and where the work folder is."""

    work: Path
    rounds: int = 5
    threads: int = THREADS
    quick: bool = False


def precision_of(peer: str) -> str:
    """Return the arithmetic a side runs in on this machine."""
    return "bf16" if peer != "default" and has_bf16() else "fp32"


def run_peer(peer: str, row: Comparison, seed: int, plan: Plan, extra: tuple[str, ...] = ()) -> Figures:
    """Run one peer once in a fresh process and return its figures."""
    chosen = row.hyperparameters
    out = plan.work / f"figures-{peer}.json"
    out.unlink(missing_ok=True)
    common = [
        "--data", row.data, "--model", row.model, "--epochs", chosen.epochs, "--batch-size", chosen.batch_size,
        "--lr", chosen.learning_rate, "--weight-decay", chosen.weight_decay, "--warmup-ratio", chosen.warmup_ratio,
        "--max-length", chosen.max_length, "--max-steps", row.max_steps, "--seed", seed,
        "--tuning", row.tuning, "--threads", plan.threads, "--work", plan.work, "--out", out, *extra,
    ]  # fmt: skip
    if row.max_steps > 0:
        common.append("--no-score")
    if peer == "fathom":
        command = python_module("benchmarks.peers.fathom_run", *common)
    else:
        command = python_module("benchmarks.peers.hf_trainer", "--mode", peer, *common)
    before = load_average()
    finished = run_process(command, environment(plan.threads))
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    figures.setdefault("peak_process_bytes", finished.peak_memory_bytes)
    return {**figures, "process_seconds": finished.seconds, "load_before": before}


def probe_machine(plan: Plan) -> Figures:
    """Run the probe in its own process, so that this one stays small."""
    arguments = ["--threads", str(plan.threads), *(["--quick"] if plan.quick else [])]
    finished = run_process(python_module("benchmarks.machine", *arguments), environment(plan.threads))
    probe: Figures = json.loads(finished.stdout)
    return probe


def settings_of(row: Comparison, plan: Plan) -> Figures:
    return {
        "row": row.name,
        "model": row.model,
        "data": row.data,
        "hyperparameters": asdict(row.hyperparameters),
        "max_steps": row.max_steps,
        **({} if row.tuning == "full" else {"tuning": row.tuning}),
        "threads": plan.threads,
        "versions": versions(),
    }


def compare(row: Comparison, plan: Plan) -> Figures:
    """Run the rounds that are still missing and return the result with its summary."""
    name = result_name(f"quick-{row.name}" if plan.quick else row.name)
    settings = settings_of(row, plan)
    prepare(find_source(row.data), plan.work)
    result = read_result(name)
    if result.get("settings") != settings:
        result = {"settings": settings, "machine": probe_machine(plan), "rounds": []}
    while len(result["rounds"]) < plan.rounds:
        turn = len(result["rounds"])
        figures = {}
        for peer in rotated(row.peers, turn):
            figures[peer] = run_peer(peer, row, seed=turn + 1, plan=plan)
            print(describe(row.name, turn, peer, figures[peer], find_source(row.data).main_score), flush=True)
        taken = {"order": rotated(row.peers, turn), "seed": turn + 1, "revision": revision(), "peers": figures}
        result["rounds"].append(taken)
        write_result(name, result)
    result["summary"] = summarize_rounds(row, result, plan)
    write_result(name, result)
    return result


def describe(name: str, turn: int, peer: str, figures: Figures, score: str) -> str:
    dev = figures["dev"].get(score)
    shown = "-" if dev is None else f"{dev:.4f}"
    return (
        f"{name} round {turn + 1} {peer:8} {figures['real_tokens_per_s']:8.0f} tokens/s  "
        f"train {figures['train_seconds']:6.1f} s  first step {figures['seconds_to_first_step']:5.1f} s  "
        f"peak {figures['peak_memory_bytes'] / 2**20:6.0f} MiB  dev {shown}  loss {figures.get('train_loss')}"
    )


def summarize_rounds(row: Comparison, result: Figures, plan: Plan) -> Figures:
    """Put medians, paired ratios, shares of the machine's limit and the score check of a row together."""
    rounds = result["rounds"]

    def series(peer: str, key: str) -> list[float]:
        return [turn["peers"][peer][key] for turn in rounds]

    speed = {peer: series(peer, "real_tokens_per_s") for peer in row.peers}
    memory = {peer: series(peer, "peak_memory_bytes") for peer in row.peers}
    config = read_config(model_folder(row.model, plan.work))
    flops = training_flops_per_token(config, rounds[0]["peers"][row.peers[0]]["token_mean_length"])
    shares = {}
    for peer in row.peers if row.tuning == "full" else ():  # what is counted is a full training
        limits = result["machine"]["flops_per_s"][precision_of(peer)]
        achieved = flops * median(speed[peer])
        shares[peer] = {
            "flops_per_s": achieved,
            "share_of_step_mix": achieved / limits[row.model]["step_mix"],
            "share_of_peak": achieved / limits["peak"],
            "precision_of_limit": precision_of(peer),
        }
    ratios = {f"speed_over_{peer}": paired_ratio(speed["fathom"], speed[peer]) for peer in row.trainers}
    ratios |= {f"memory_over_{peer}": paired_ratio(memory["fathom"], memory[peer]) for peer in row.trainers}
    bars = {
        "speed_over_default": row.over_default,
        "speed_over_tuned": row.over_tuned,
        "memory_over_default": row.memory,
    }
    verdicts = {key: bar.judge(ratios[key]["median"]) for key, bar in bars.items() if bar}
    return {
        "training_flops_per_real_token": flops,
        "real_tokens_per_s": {peer: summarize(values) for peer, values in speed.items()},
        "peak_memory_bytes": {peer: summarize(values) for peer, values in memory.items()},
        "seconds_to_first_step": {peer: summarize(series(peer, "seconds_to_first_step")) for peer in row.peers},
        "ratios": ratios,
        "bars": {key: asdict(bar) for key, bar in bars.items() if bar},
        "verdicts": verdicts,
        "share_of_limit": shares,
        "same_tokens": check_tokens(rounds, row),
        "scores": check_scores(row, rounds, plan) if row.max_steps < 0 else None,
        "revisions": sorted({turn["revision"] for turn in rounds}),
        "most_load_before_a_run": max(turn["peers"][peer]["load_before"] for turn in rounds for peer in row.peers),
    }


def check_tokens(rounds: list[Figures], row: Comparison) -> Figures:
    """Say whether all sides saw the same tokens; a run of a few steps sees whatever its order gives."""
    counts = {peer: [turn["peers"][peer]["real_tokens"] for turn in rounds] for peer in row.peers}
    return {
        "real_tokens": counts,
        "equal": None if row.max_steps > 0 else len({n for all_ in counts.values() for n in all_}) == 1,
    }


def check_scores(row: Comparison, rounds: list[Figures], plan: Plan) -> Figures:
    """Compare the dev scores of all rounds, each round with a seed of its own."""
    source = find_source(row.data)
    key = source.main_score
    scores = {peer: [turn["peers"][peer]["dev"][key] for turn in rounds] for peer in row.peers}
    units = scored_units(source, plan.work)
    against = {peer: compare_scores(scores[peer], scores["fathom"], units) for peer in row.trainers}
    return {"metric": key, "scores": scores, "means": {p: mean(v) for p, v in scores.items()}, "against": against}


def compare_startup(plan: Plan) -> Figures:
    """Time `fathom --help`, and process start to the end of the first step on a second run of both sides."""
    name = result_name(f"quick-{STARTUP}" if plan.quick else STARTUP)
    env = environment(plan.threads)
    result: Figures = {"settings": {"threads": plan.threads, "versions": versions()}, "machine": probe_machine(plan)}
    command = [*fathom_command(), "--help"]
    run_process(command, env)
    times = [run_process(command, env).seconds for _ in range(3 if plan.quick else 10)]
    result["help_seconds"] = summarize(times)
    print(f"fathom --help {median(times):.3f} s", flush=True)
    imports = [run_process([sys.executable, "-c", IMPORTS], env).seconds for _ in range(plan.rounds)]
    result["import_seconds"] = summarize(imports)
    print(f"the imports alone {median(imports):.2f} s", flush=True)
    result["first_step"] = {}
    for data in ("wnut17", "banking77"):
        row = replace(ROWS[f"minilm-{data}"], max_steps=2)
        peers = ("default", "fathom")
        cold = {peer: run_peer(peer, row, 1, plan, ("--cold",) if peer == "fathom" else ()) for peer in peers}
        found: dict[str, list[float]] = {peer: [] for peer in peers}
        for turn in range(plan.rounds):
            for peer in rotated(peers, turn):
                found[peer].append(run_peer(peer, row, 1, plan)["seconds_to_first_step"])
            print(
                f"{data} round {turn + 1} first step {found['default'][-1]:.2f} s, {found['fathom'][-1]:.2f} s",
                flush=True,
            )
        sooner = paired_ratio(found["default"], found["fathom"])
        result["first_step"][data] = {
            "first_run": {peer: cold[peer]["seconds_to_first_step"] for peer in peers},
            "second_run": {peer: summarize(values) for peer, values in found.items()},
            "default_over_fathom": sooner,
            "verdict": FIRST_STEP_BAR.judge(sooner["median"]),
        }
    result["verdict_help"] = HELP_BAR.judge(median(times))
    write_result(name, result)
    return result


def print_summary(name: str, summary: Figures) -> None:
    print(f"\n{name}")
    for peer, speed in summary["real_tokens_per_s"].items():
        share = summary["share_of_limit"].get(peer)
        told = (
            ""
            if share is None
            else (
                f"{share['share_of_step_mix']:.0%} of the {share['precision_of_limit']} products of a step, "
                f"{share['share_of_peak']:.0%} of the best product"
            )
        )
        print(f"  {peer:8} {speed['median']:8.0f} tokens/s ({speed['min']:.0f}-{speed['max']:.0f})  {told}")
    for key, ratio in summary["ratios"].items():
        verdict = summary["verdicts"].get(key, "")
        print(f"  {key:22} {ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})  {verdict}")
    if summary["scores"]:
        means = {peer: round(value, 4) for peer, value in summary["scores"]["means"].items()}
        fair = all(check["not_worse"] for check in summary["scores"]["against"].values())
        print(f"  {summary['scores']['metric']}: {means}  {'not worse' if fair else 'WORSE: no claim of speed'}")


def quick_form(row: Comparison) -> Comparison:
    return replace(row, max_steps=3)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join([*ROWS, STARTUP]), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--max-steps", type=int, help="steps of a run, where whole trainings take too long; no scores")
    parser.add_argument("--quick", action="store_true", help="smoke test: one round of three steps")
    parser.add_argument("--work", type=Path, default=default_work())
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    rounds = 1 if arguments.quick else arguments.rounds
    plan = Plan(arguments.work, rounds, arguments.threads, arguments.quick)
    plan.work.mkdir(parents=True, exist_ok=True)
    for name in arguments.rows.split(","):
        if name == STARTUP:
            compare_startup(plan)
            continue
        if name not in ROWS:
            raise SystemExit(f"no row is called '{name}'; known: {', '.join([*ROWS, STARTUP])}")
        row = quick_form(ROWS[name]) if plan.quick else ROWS[name]
        if arguments.max_steps:
            row = replace(row, max_steps=arguments.max_steps)
        print_summary(name, compare(row, plan)["summary"])


if __name__ == "__main__":
    main()
