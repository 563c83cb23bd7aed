"""One training of an encoder-decoder by `transformers.Seq2SeqTrainer`, the way run_translation.py does it.

`datasets` with `map` to tokenize (`text_target` for targets), `DataCollatorForSeq2Seq`, the settings given, everything
else the defaults. Then the test split is written greedily by `generate`. Writes JSON: seconds, real tokens of both
sides in each, what was written.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.process import peak_resident_bytes


def main() -> None:
    base, folder, output = (Path(argument) for argument in sys.argv[1:4])
    options: dict[str, Any] = json.loads(sys.argv[4])
    os.environ.setdefault("HF_DATASETS_CACHE", str(folder / "datasets-cache"))
    import torch
    import transformers
    from datasets import load_dataset

    torch.set_num_threads(options["threads"])
    transformers.set_seed(options["seed"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(base)
    longest = options["max_length"]

    def tokenize(rows: dict[str, Any]) -> Any:
        found = tokenizer(rows["source"], max_length=longest, truncation=True)
        found["labels"] = tokenizer(text_target=rows["target"], max_length=longest, truncation=True)["input_ids"]
        return found

    raw = load_dataset("json", data_files={"train": str(folder / "train.jsonl")})["train"]
    train = raw.map(tokenize, batched=True, remove_columns=raw.column_names)
    with tempfile.TemporaryDirectory() as temporary:
        trainer = transformers.Seq2SeqTrainer(
            model=model,
            args=transformers.Seq2SeqTrainingArguments(
                output_dir=temporary,
                per_device_train_batch_size=options["batch_size"],
                max_steps=options["steps"],
                learning_rate=options["learning_rate"],
                weight_decay=options["weight_decay"],
                warmup_steps=round(options["warmup_ratio"] * options["steps"]),
                seed=options["seed"],
                use_cpu=True,
                save_strategy="no",
                report_to="none",
                dataloader_pin_memory=False,
            ),
            train_dataset=train,
            data_collator=transformers.DataCollatorForSeq2Seq(tokenizer, model=model),
        )
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
    peak = peak_resident_bytes()
    lengths = [len(row["input_ids"]) + len(row["labels"]) for row in train]
    # every epoch sees every pair; the rest of the last one is counted by the mean
    tokens = options["steps"] * options["batch_size"] * sum(lengths) / len(lengths)
    lines = (folder / "test.jsonl").read_text(encoding="utf-8").splitlines()
    sources = [json.loads(line)["source"] for line in lines]
    written: list[str] = []
    model.eval()
    for start in range(0, len(sources), 64):
        batch = tokenizer(
            sources[start : start + 64], max_length=longest, truncation=True, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            ids = model.generate(**batch, max_new_tokens=longest, num_beams=1, do_sample=False)
        written += [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]
    result = {
        "written": written,
        "train_seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "peak_memory_bytes": peak,
    }
    output.write_text(json.dumps(result, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
