"""One fine-tuning run by the `fathom train` command, with a recipe of its own and a fresh run folder.

The dev split is scored once, at the end, and no best model is chosen, so both sides end with their last weights. The
score that is compared is taken by `peers/score.py` from the model folder, as for the peer; Fathom's own is kept beside
it. The process that runs here only starts the command and reads its run folder: figures are the command's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.models import model_folder
from benchmarks.peers.arguments import lora_rank, shared_arguments, top_blocks
from benchmarks.rounds import environment, fathom_command, python_module, run_process
from benchmarks.sources import fathom_data_section, find_source

NEVER = 1_000_000_000


def read_arguments() -> argparse.Namespace:
    parser = shared_arguments(__doc__)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--cold", action="store_true", help="start with an empty cache; left out, the cache is kept")
    return parser.parse_args()


def make_recipe(arguments: argparse.Namespace, output: Path) -> dict[str, Any]:
    """Return the recipe of the run; JSON is YAML, so it is written as JSON."""
    source = find_source(arguments.data)
    kind = "token-classification" if source.form == "tags" else "text-classification"
    training: dict[str, Any] = {
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "learning_rate": arguments.lr,
        "weight_decay": arguments.weight_decay,
        "warmup_ratio": arguments.warmup_ratio,
        "precision": arguments.precision,
        "eval_steps": NEVER,
        "save_steps": NEVER,
        "load_best_model_at_end": False,
        "evaluate_before": False,
        "verify_reload": False,
        "seed": arguments.seed,
        "threads": arguments.threads,
    }
    if arguments.max_steps > 0:
        training["max_steps"] = arguments.max_steps
    name = arguments.model if arguments.model == "minilm" else str(model_folder(arguments.model, arguments.work))
    return {
        "model": {"name": name},
        "data": {**fathom_data_section(source, arguments.work), "max_length": arguments.max_length},
        "task": {"kind": kind, **dict(source.task_options)},
        "tuning": tuning_section(arguments.tuning),
        "training": training,
        "output": str(output),
    }


def tuning_section(tuning: str) -> Any:
    """Return what a recipe says of a tuning."""
    top, rank = top_blocks(tuning), lora_rank(tuning)
    if top is not None:
        return {"kind": "top-layers", "layers": top} if top else "head"
    # the head at the rate of everything else, as PEFT has it
    return {"kind": "lora", "rank": rank, "head_scale": 1.0} if rank is not None else tuning


def read_run(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def main() -> None:
    arguments = read_arguments()
    cache = arguments.work / "fathom-cache"
    if arguments.cold:
        shutil.rmtree(cache, ignore_errors=True)
    shutil.rmtree(cache / "hidden", ignore_errors=True)  # what frozen blocks give is computed in every run
    (arguments.work / "runs").mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=arguments.work / "runs"))
    env = environment(arguments.threads, FATHOM_CACHE=str(cache))
    try:
        recipe = make_recipe(arguments, scratch / "run")
        recipe_file = scratch / "recipe.yaml"
        recipe_file.write_text(json.dumps(recipe), encoding="utf-8")
        finished = run_process([*fathom_command(), "train", str(recipe_file), "--json"], env)
        metrics = read_run(scratch / "run")
        timing = metrics["timing"]
        result = {
            "peer": "fathom",
            "train_seconds": timing["train_seconds"],
            "real_tokens": timing["real_tokens"],
            "real_tokens_per_s": timing["real_tokens_per_s"],
            "steps": metrics["steps"],
            "seconds_to_first_step": timing["seconds_to_first_step"],
            "seconds_start_to_end": finished.seconds,
            "peak_memory_bytes": timing["peak_memory_bytes"],
            "peak_process_bytes": max(finished.peak_memory_bytes, timing["peak_memory_bytes"]),
            "forecast": metrics.get("forecast"),
            "measured": {
                "peak_memory_bytes": timing["peak_memory_bytes"],
                "trainable_parameters": metrics["parameters"]["trainable"],
            },
            "dev_own": metrics.get("validation"),
            "seed": arguments.seed,
            "dev": {},
        }
        if not arguments.no_score:
            if lora_rank(arguments.tuning) is not None:  # the scorer reads whole models
                merged = str(scratch / "run" / "merged")
                run_process([*fathom_command(), "merge", str(scratch / "run"), "--output", merged], env)
            model = "merged" if lora_rank(arguments.tuning) is not None else "model"
            scored = run_process(
                python_module(
                    "benchmarks.peers.score", "--folder", scratch / "run" / model, "--data", arguments.data,
                    "--work", arguments.work, "--threads", arguments.threads,
                ),
                {**env, "PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
            result["dev"] = json.loads(scored.stdout.strip().splitlines()[-1])
        arguments.out.write_text(json.dumps(result), encoding="utf-8")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
