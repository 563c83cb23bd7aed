"""Text to blocks of tokens the way transformers' example `run_clm.py` does it: `load_dataset`, `map`, `group_texts`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from itertools import chain
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--block-size", type=int, default=1024)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ["HF_DATASETS_CACHE"] = str(arguments.cache)

    import numpy as np
    from datasets import disable_progress_bars, load_dataset
    from transformers import AutoTokenizer

    disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    block_size = arguments.block_size
    began = time.perf_counter()
    raw = load_dataset("json", data_files={"train": str(arguments.corpus)}, cache_dir=str(arguments.cache))["train"]
    loaded = time.perf_counter()

    def tokenize(examples: dict[str, list[str]]) -> Any:
        return tokenizer(examples["text"])

    def group_texts(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        joined = {key: list(chain(*examples[key])) for key in examples}
        total = len(joined[next(iter(examples))])
        total = (total // block_size) * block_size
        result = {key: [ids[i : i + block_size] for i in range(0, total, block_size)] for key, ids in joined.items()}
        result["labels"] = result["input_ids"].copy()
        return result

    tokenized = raw.map(tokenize, batched=True, num_proc=arguments.processes, remove_columns=raw.column_names)
    mapped = time.perf_counter()
    blocks = tokenized.map(group_texts, batched=True, num_proc=arguments.processes)
    ended = time.perf_counter()

    hasher = hashlib.sha256()
    num_tokens = 0
    for batch in tokenized.with_format("numpy").iter(1000):
        for ids in batch["input_ids"]:
            hasher.update(np.asarray(ids, dtype=np.uint32).tobytes())
            num_tokens += len(ids)
    figures = {
        "load_seconds": loaded - began,
        "tokenize_seconds": mapped - loaded,
        "group_seconds": ended - mapped,
        "seconds": ended - loaded,
        "seconds_with_load": ended - began,
        "tokens": num_tokens,
        "tokens_in_blocks": len(blocks) * block_size,
        "ids_sha256": hasher.hexdigest(),
    }
    arguments.out.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
