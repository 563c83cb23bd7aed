"""One pretraining run by the `fathom train` command; the same recipe as the peers', or Fathom's own best one."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.pretraining import ROWS, fathom_recipe, score
from benchmarks.rounds import environment, fathom_command, run_process
from benchmarks.settings import THREADS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", required=True)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--options", type=json.loads, default={}, help="JSON of keys of the training section")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    row = ROWS[arguments.row]
    steps = {"max_steps": arguments.steps} if arguments.steps else {}
    options: dict[str, Any] = {"seed": arguments.seed, "threads": arguments.threads, **steps, **arguments.options}
    (arguments.work / "runs").mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="pretraining-", dir=arguments.work / "runs"))
    env = environment(arguments.threads, FATHOM_CACHE=str(arguments.work / "fathom-cache"))
    try:
        recipe_file = scratch / "recipe.yaml"
        recipe_file.write_text(json.dumps(fathom_recipe(row, arguments.work, scratch / "run", options)))
        finished = run_process([*fathom_command(), "train", str(recipe_file), "--json"], env)
        metrics = json.loads((scratch / "run" / "metrics.json").read_text(encoding="utf-8"))
        from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

        if row.lora_rank:
            from peft import AutoPeftModelForCausalLM as auto
        else:
            auto = AutoModelForCausalLM if row.objective == "causal-lm" else AutoModelForMaskedLM
        timing = metrics["timing"]
        result = {
            "peer": "fathom",
            "train_seconds": timing["train_seconds"],
            "real_tokens": timing["real_tokens"],
            "real_tokens_per_s": timing["real_tokens_per_s"],
            "peak_memory_bytes": timing["peak_memory_bytes"],
            "seconds_start_to_end": finished.seconds,
            "validation_loss": score(auto.from_pretrained(scratch / "run" / "model"), row, arguments.work),
            "steps": metrics["steps"],
            "seed": arguments.seed,
        }
        arguments.out.write_text(json.dumps(result), encoding="utf-8")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
