"""Frozen features once, then scikit-learn: the usual way to train only a classifier's head.

The model runs over the texts in order, padded batch by batch in fp32, and the hidden state of the first token goes to a
logistic regression. `--mode tuned` sorts the texts by length and runs in bf16 where the processor has it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.process import peak_resident_bytes, seconds_since_start
from benchmarks.processor import has_bf16
from benchmarks.settings import THREADS

BATCH = 64


def features_of(model: Any, tokenizer: Any, texts: list[str], mode: str, max_length: int) -> Any:
    """Return `[texts, D]`: the last hidden state of each text's first token."""
    import torch

    order = sorted(range(len(texts)), key=lambda index: len(texts[index])) if mode == "tuned" else range(len(texts))
    order = list(order)
    found = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=mode == "tuned" and has_bf16()):
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            batch = tokenizer(
                [texts[index] for index in chosen],
                truncation=True,
                max_length=max_length,
                padding=True,
                return_tensors="pt",
            )
            found[chosen] = model(**batch).last_hidden_state[:, 0].float().numpy()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="banking77")
    parser.add_argument("--mode", choices=("default", "tuned"), default="default")
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    from sklearn.linear_model import LogisticRegression
    from transformers import AutoModel, AutoTokenizer

    from benchmarks.models import model_folder
    from benchmarks.sources import find_source, prepare, read_prepared

    torch.set_num_threads(arguments.threads)
    files = prepare(find_source(arguments.data), arguments.work)
    folder = model_folder("minilm", arguments.work)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    train, dev = read_prepared(files["train"]), read_prepared(files["dev"])
    began = time.perf_counter()
    texts = [row["text"] for row in train]
    train_ND = features_of(model, tokenizer, texts, arguments.mode, arguments.max_length)
    features_at = time.perf_counter()
    classifier = LogisticRegression(max_iter=1000).fit(train_ND, [row["label"] for row in train])
    fitted_at = time.perf_counter()
    dev_ND = features_of(model, tokenizer, [row["text"] for row in dev], arguments.mode, arguments.max_length)
    result = {
        "peer": f"features-{arguments.mode}",
        "features_seconds": features_at - began,
        "fit_seconds": fitted_at - features_at,
        "train_seconds": fitted_at - began,
        "seconds_start_to_trained": seconds_since_start(),
        "accuracy": float(classifier.score(dev_ND, [row["label"] for row in dev])),
        "peak_memory_bytes": peak_resident_bytes(),
    }
    arguments.out.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
