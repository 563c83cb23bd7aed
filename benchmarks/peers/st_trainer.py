"""One contrastive training by sentence-transformers' own trainer, and the vectors of the test questions.

`MultipleNegativesRankingLoss` over pairs, the settings given, everything else the library's defaults. Prints one line
of JSON: the seconds of the training and the real tokens in each.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss


def train(model: Any, pairs: list[dict[str, str]], options: dict[str, Any], folder: str) -> dict[str, float]:
    """Train in place; returns seconds and real tokens per second."""
    arguments = SentenceTransformerTrainingArguments(
        output_dir=folder,
        max_steps=options["steps"],
        per_device_train_batch_size=options["batch_size"],
        learning_rate=options["learning_rate"],
        warmup_steps=round(options["warmup_ratio"] * options["steps"]),
        weight_decay=options["weight_decay"],
        lr_scheduler_type="linear",
        seed=options["seed"],
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    loss = MultipleNegativesRankingLoss(model, scale=1 / options["temperature"])
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=Dataset.from_list(pairs), loss=loss)
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    texts = [text for pair in pairs for text in pair.values()]
    mean_tokens = np.mean([len(ids) for ids in model.tokenizer(texts)["input_ids"]])
    tokens = 2 * options["steps"] * options["batch_size"] * mean_tokens  # the last batch of an epoch may be smaller
    return {"train_seconds": seconds, "tokens_per_second": float(tokens / seconds)}


def main() -> None:
    base, pairs_path, questions, output = sys.argv[1:5]
    options = json.loads(sys.argv[5])
    model = SentenceTransformer(base, device="cpu")
    model.max_seq_length = options["max_length"]
    timing: dict[str, float] = {}
    if options["steps"]:
        with Path(pairs_path).open(encoding="utf-8", newline="") as stream:
            pairs = list(csv.DictReader(stream))
        with tempfile.TemporaryDirectory() as folder:
            timing = train(model, pairs, options, folder)
    texts = Path(questions).read_text(encoding="utf-8").splitlines()
    np.save(output, np.asarray(model.encode(texts, batch_size=64, show_progress_bar=False)))
    print(json.dumps(timing))


if __name__ == "__main__":
    main()
