"""One pretraining run by `transformers.Trainer`, the way run_clm.py and run_mlm.py do it.

`--mode default`: `datasets` with `map` to tokenize and to group texts into windows, `TrainingArguments` defaults, fp32,
the model's own loss over whole logits; for masked language models DataCollatorForLanguageModeling. `--mode tuned`:
bf16 where the processor has it, no progress bar and no logging, no NaN filter. No checkpoint and no evaluation in the
timed part.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.process import peak_resident_bytes, seconds_since_start
from benchmarks.processor import has_bf16


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", required=True)
    parser.add_argument("--mode", choices=("default", "tuned"), default="default")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def windows(path: Path, tokenizer: Any, window: int, *, framed: bool) -> Any:
    """Tokenize a file and group it into windows, as run_clm.py (`--block_size`) and run_mlm.py do."""
    from datasets import load_dataset

    raw = load_dataset("text", data_files={"train": str(path)}, sample_by="document")["train"]

    def tokenize(rows: dict[str, Any]) -> Any:
        return tokenizer(rows["text"], add_special_tokens=False, return_token_type_ids=False)

    def group(rows: dict[str, Any]) -> Any:
        joined = {key: [token for row in rows[key] for token in row] for key in rows}
        room = window - 2 if framed else window
        total = len(joined["input_ids"]) // room * room
        pieces = {key: [whole[i : i + room] for i in range(0, total, room)] for key, whole in joined.items()}
        if framed:
            cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
            pieces["input_ids"] = [[cls, *ids, sep] for ids in pieces["input_ids"]]
            pieces["attention_mask"] = [[1, *ids, 1] for ids in pieces["attention_mask"]]
        else:
            pieces["labels"] = [list(ids) for ids in pieces["input_ids"]]
        return pieces

    tokenized = raw.map(tokenize, batched=True, remove_columns=raw.column_names)
    return tokenized.map(group, batched=True)


def main() -> None:
    arguments = read_arguments()
    for name in ("HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("HF_DATASETS_CACHE", str(arguments.work / "datasets-cache"))
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

    from benchmarks.pretraining import LORA_TARGETS, ROWS, corpus, model_folder, score

    torch.set_num_threads(arguments.threads)
    row = ROWS[arguments.row]
    steps = arguments.steps or row.steps
    folder = model_folder(row, arguments.work)
    transformers.set_seed(arguments.seed)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    causal = row.objective == "causal-lm"
    half = {"dtype": torch.bfloat16} if row.lora_rank and arguments.mode == "tuned" else {}
    model = (AutoModelForCausalLM if causal else AutoModelForMaskedLM).from_pretrained(folder, **half)
    if row.lora_rank:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=row.lora_rank, lora_alpha=16, target_modules=list(LORA_TARGETS)))
    files = corpus(arguments.work)
    train = windows(files["train"], tokenizer, row.window, framed=not causal)
    collator: Any = transformers.default_data_collator
    if not causal:
        collator = transformers.DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    quiet = {"logging_strategy": "no", "logging_nan_inf_filter": False, "disable_tqdm": True, "bf16": has_bf16()}
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(arguments.work / "trainer-output"),
            per_device_train_batch_size=row.batch_size,
            max_steps=steps,
            learning_rate=row.learning_rate,
            weight_decay=row.weight_decay,
            warmup_steps=0.1,
            seed=arguments.seed,
            use_cpu=not row.needs_gpu or not torch.cuda.is_available(),
            save_strategy="no",
            report_to="none",
            dataloader_pin_memory=False,
            **(quiet if arguments.mode == "tuned" else {}),
        ),
        train_dataset=train,
        data_collator=collator,
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_resident_bytes()
    trained_at = seconds_since_start()
    tokens = steps * row.batch_size * row.window
    result = {
        "peer": f"trainer-{arguments.mode}",
        "train_seconds": seconds,
        "real_tokens": tokens,
        "real_tokens_per_s": tokens / seconds,
        "peak_memory_bytes": peak,
        "seconds_start_to_trained": trained_at,
        "validation_loss": score(model, row, arguments.work),
        "steps": steps,
        "seed": arguments.seed,
    }
    arguments.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
