"""One DPO training by TRL's own trainer; prints one line of JSON: scores before and after, seconds, real tokens.

The settings given, everything else the library's defaults. Real tokens are those of both answers with their prompts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("options", help="JSON")
    parser.add_argument("--trl", type=Path, help="folder with TRL, where it is not installed in this environment")
    arguments = parser.parse_args()
    if arguments.trl:
        sys.path.append(str(arguments.trl))
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(train(arguments, json.loads(arguments.options), folder)))


def train(arguments: argparse.Namespace, options: dict[str, Any], folder: str) -> dict[str, float]:
    """Train, and score the test pairs before and after."""
    from datasets import Dataset, disable_progress_bars
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    disable_progress_bars()
    steps = options["steps"]
    settings = DPOConfig(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=options["batch_size"],
        per_device_eval_batch_size=options["batch_size"],
        learning_rate=options["learning_rate"],
        warmup_steps=round(options["warmup_ratio"] * steps),
        weight_decay=options["weight_decay"],
        max_grad_norm=1.0,
        lr_scheduler_type="linear",
        max_length=options["max_length"],
        beta=options["beta"],
        seed=options["seed"],
        precompute_ref_log_probs=options["precompute"],
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    rows = [
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in (arguments.train, arguments.test)
    ]
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(arguments.model),
        args=settings,
        train_dataset=Dataset.from_list(rows[0]),
        eval_dataset=Dataset.from_list(rows[1]),
        processing_class=tokenizer,
    )
    before = trainer.evaluate()
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    after = trainer.evaluate()
    lengths = [
        len(tokenizer.apply_chat_template([*row["prompt"], *row[side]], return_dict=False)[: options["max_length"]])
        for row in rows[0]
        for side in ("chosen", "rejected")
    ]
    tokens = 2 * steps * options["batch_size"] * sum(lengths) / len(lengths)
    return {
        "loss_before": before["eval_loss"],
        "loss": after["eval_loss"],
        "accuracy": after["eval_rewards/accuracies"],
        "margin": after["eval_rewards/margins"],
        "train_seconds": seconds,
        "tokens_per_second": tokens / seconds,
    }


if __name__ == "__main__":
    main()
