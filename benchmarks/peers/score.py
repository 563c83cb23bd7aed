"""One scorer for both sides: a model folder, read by transformers alone, on the dev rows, in fp32.

Entities are compared by seqeval on whole words: the tag of a word is that of its first sub-word; a word beyond the
truncation is predicted O.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

from benchmarks.settings import THREADS
from benchmarks.sources import Form, Row, find_source, prepare, read_prepared

BATCH = 64


def score_model(model: Any, tokenizer: Any, rows: list[Row], form: Form, max_length: int = 512) -> dict[str, float]:
    """Return the scores of a model on labelled rows."""
    logits = [torch.empty(0)] * len(rows)
    word_rows: list[list[int | None]] = [[]] * len(rows)
    inputs = [row["tokens"] if form == "tags" else row["text"] for row in rows]
    order = sorted(range(len(rows)), key=lambda index: len(inputs[index]))
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            batch = tokenizer(
                [inputs[index] for index in chosen],
                is_split_into_words=form == "tags",
                truncation=True,
                max_length=max_length,
                padding=True,
                return_tensors="pt",
            )
            outputs = model(**batch).logits.float()
            for position, index in enumerate(chosen):
                logits[index] = outputs[position]
                if form == "tags":
                    word_rows[index] = batch.word_ids(position)
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]
    if form == "tags":
        return _score_entities(logits, word_rows, rows, names)
    if form == "labels":
        return _score_many(torch.stack(logits), rows, names)
    return _score_one(torch.stack(logits), rows, names)


def _score_entities(
    logits: list[torch.Tensor], word_rows: list[list[int | None]], rows: list[Row], names: list[str]
) -> dict[str, float]:
    from seqeval.metrics import f1_score, precision_score, recall_score

    predicted = []
    for row_logits, words, row in zip(logits, word_rows, rows, strict=True):
        tags = ["O"] * len(row["tokens"])
        best = row_logits.argmax(-1).tolist()
        before = None
        for position, word in enumerate(words):
            if word is not None and word != before:
                tags[word] = names[best[position]]
            before = word
        predicted.append(tags)
    truth = [row["tags"] for row in rows]
    return {
        "entity_f1": float(f1_score(truth, predicted)),
        "precision": float(precision_score(truth, predicted)),
        "recall": float(recall_score(truth, predicted)),
    }


def _score_one(logits: torch.Tensor, rows: list[Row], names: list[str]) -> dict[str, float]:
    from sklearn.metrics import accuracy_score, f1_score

    predicted = [names[index] for index in logits.argmax(-1).tolist()]
    truth = [row["label"] for row in rows]
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, average="macro")),
    }


def _score_many(logits: torch.Tensor, rows: list[Row], names: list[str]) -> dict[str, float]:
    from sklearn.metrics import f1_score

    predicted = (logits.sigmoid() > 0.5).int().numpy()
    truth = torch.tensor([[int(name in row["labels"]) for name in names] for row in rows]).numpy()
    return {
        "micro_f1": float(f1_score(truth, predicted, average="micro", zero_division=0)),
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        "exact_match": float((truth == predicted).all(axis=1).mean()),
    }


def score_folder(folder: Path, data: str, work: Path, max_length: int = 512) -> dict[str, float]:
    """Load a model folder with transformers alone and score it on the dev rows of a data set."""
    source = find_source(data)
    rows = read_prepared(prepare(source, work)["dev"])
    auto = AutoModelForTokenClassification if source.form == "tags" else AutoModelForSequenceClassification
    model = auto.from_pretrained(folder)
    return score_model(model.float(), AutoTokenizer.from_pretrained(folder), rows, source.form, max_length)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=THREADS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(json.dumps(score_folder(arguments.folder, arguments.data, arguments.work)))


if __name__ == "__main__":
    main()
