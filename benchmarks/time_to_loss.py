"""Time to the same validation loss: Fathom's own best recipe beside a plain PyTorch loop in fp32.

The loop runs its steps to the end of its schedule; its final validation loss is what Fathom has to reach, with a whole
run of its own: other optimizer, batch size, rate and number of steps, to be chosen on other seeds (`--probe`). A round
counts only if Fathom's loss is no higher than the loop's of the same round. Time is that of the training loops alone,
without imports, evaluation and checkpoints, on both sides. Both score by transformers alone, on the same windows.

`python -m benchmarks.time_to_loss`; `--probe '{"learning_rate": 3e-3}'` runs Fathom once with other settings, and
`--loop-only` the loop, on seed 100: nothing is written.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.bars import Bar
from benchmarks.compare_training import Plan, probe_machine
from benchmarks.pretraining import ROWS, model_folder
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

NAME = "time-to-loss"
ROW = "gpt-10m-causal"
PEERS = ("loop", "fathom")
BAR = Bar(2.5, 4.0)
PROBE_SEED = 100


@dataclass(frozen=True)
class LoopSettings:
    """Of the plain loop."""

    steps: int = 60
    batch_size: int = 16
    learning_rate: float = 1e-3


LOOP = LoopSettings()
# Both chosen by single runs of seed 100. Losses of the loop: 2.581 at a rate of 1e-3, 2.703 at 3e-3. Of Fathom: 2.540
# in 50 steps at 6e-3; 2.520 in 60 at 3e-3; 2.526 in 40 of 12 windows at 6e-3; 2.574 in 44 at 1e-2; with AdamW 3.000
FATHOM: dict[str, Any] = {
    "max_steps": 50,
    "batch_size": 8,
    "learning_rate": 6e-3,
    "optimizer": "muon",
    "lr_scheduler": "linear",
    "dropout": 0.0,
}


def run_peer(peer: str, seed: int, plan: Plan, fathom: dict[str, Any]) -> Figures:
    """Run one side once in a fresh process and return its figures."""
    out = plan.work / f"time-to-loss-{peer}.json"
    out.unlink(missing_ok=True)
    common = ["--row", ROW, "--seed", seed, "--threads", plan.threads, "--work", plan.work, "--out", out]
    if peer == "fathom":
        command = python_module("benchmarks.peers.fathom_pretraining", *common, "--options", json.dumps(fathom))
    else:
        chosen = ["--steps", LOOP.steps, "--batch-size", LOOP.batch_size, "--lr", LOOP.learning_rate]
        command = python_module("benchmarks.peers.plain_loop", *common, *chosen)
    before = load_average()
    run_process(command, environment(plan.threads))
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    print(
        f"seed {seed} {peer:7} {figures['train_seconds']:7.1f} s  {figures['real_tokens_per_s']:6.0f} tokens/s  "
        f"{figures['real_tokens']:,} tokens  loss {figures['validation_loss']:.4f}",
        flush=True,
    )
    return {**figures, "load_before": before}


def summarize_rounds(rounds: list[Figures]) -> Figures:
    """Put times, losses and the ratio together; no claim where a round of Fathom's ended with a higher loss."""
    seconds = {peer: [turn["peers"][peer]["train_seconds"] for turn in rounds] for peer in PEERS}
    losses = {peer: [turn["peers"][peer]["validation_loss"] for turn in rounds] for peer in PEERS}
    reached = [ours <= theirs for ours, theirs in zip(losses["fathom"], losses["loop"], strict=True)]
    ratio = paired_ratio(seconds["loop"], seconds["fathom"])
    return {
        "seconds": {peer: summarize(values) for peer, values in seconds.items()},
        "validation_loss": losses,
        "loss_reached": reached,
        "ratios": {"sooner_than_loop": ratio},
        "bar": asdict(BAR),
        "verdict": BAR.judge(ratio["median"]) if all(reached) else "no claim: a higher loss",
        "most_load_before_a_run": max(turn["peers"][peer]["load_before"] for turn in rounds for peer in PEERS),
    }


def compare(plan: Plan) -> Figures:
    """Run the rounds that are still missing and return the result with its summary."""
    name = result_name(NAME)
    settings = {"row": ROW, "loop": asdict(LOOP), "fathom": FATHOM, "threads": plan.threads, "versions": versions()}
    result = read_result(name)
    if result.get("settings") != settings:
        result = {"settings": settings, "machine": probe_machine(plan), "rounds": []}
    while len(result["rounds"]) < plan.rounds:
        turn = len(result["rounds"])
        order = rotated(PEERS, turn)
        figures = {peer: run_peer(peer, turn + 1, plan, FATHOM) for peer in order}
        result["rounds"].append({"order": order, "seed": turn + 1, "revision": revision(), "peers": figures})
        write_result(name, result)
    result["summary"] = summarize_rounds(result["rounds"])
    write_result(name, result)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--probe", type=json.loads, help="JSON of settings in place of Fathom's own, run once")
    parser.add_argument("--loop-only", action="store_true", help="the loop once")
    parser.add_argument("--work", type=Path, default=default_work())
    arguments: Any = parser.parse_args()
    plan = Plan(arguments.work, arguments.rounds, arguments.threads)
    plan.work.mkdir(parents=True, exist_ok=True)
    model_folder(ROWS[ROW], plan.work)
    if arguments.loop_only:
        run_peer("loop", PROBE_SEED, plan, FATHOM)
    elif arguments.probe is not None:
        run_peer("fathom", PROBE_SEED, plan, {**FATHOM, **arguments.probe})
    else:
        summary = compare(plan)["summary"]
        ratio = summary["ratios"]["sooner_than_loop"]
        print(f"  sooner {ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})  {summary['verdict']}")


if __name__ == "__main__":
    main()
