"""Recommendation on MovieTweetings beside two floors: the most popular items, and item-to-item neighbours.

A small new model (SASRec: gpt2, causal; BERT4Rec: bert, masked) learns from each user's items in the order of time; the
item chosen last is asked among all items but those the user has. The floors see the same training items and the same
histories and are judged by the same function. An item that training never saw counts as not found, for all alike.

`python -m benchmarks.recommendation`; `--epochs`, `--only causal`, `--threads`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rounds import (
    Figures,
    default_work,
    environment,
    fathom_command,
    load_average,
    read_result,
    revision,
    run_process,
    versions,
    write_result,
)
from benchmarks.settings import THREADS
from benchmarks.sources import DATA
from fathom.data.load import load_splits
from fathom.data.section import DataSection
from fathom.evaluation.recommendation import rank_scores

NAME = "recommendation"
ARCHITECTURES = {"causal": "gpt2", "masked": "bert"}
NEIGHBOURS = 50
"""Of an item that count, for the floor of neighbours."""
Matrix = np.ndarray[Any, Any]


def data_section() -> dict[str, Any]:
    """Return how the ratings are read: `user::item::rating::time`, every other column being empty."""
    return {
        "train": str(DATA / "movietweetings" / "20K" / "ratings.dat"),
        "format": "csv",
        "delimiter": ":",
        "header": False,
        "columns": {"user": 0, "item": 2, "timestamp": 6},
    }


def floors() -> dict[str, Figures]:
    """Return the test scores of popularity and of item-to-item neighbours (cosine of the users who chose both)."""
    splits = load_splits(DataSection.model_validate(data_section()), "interactions")
    counts = Counter(item for example in splits.train for item in example["items"])
    items = [item for item, _ in counts.most_common()]
    number = {item: index for index, item in enumerate(items)}
    chosen = np.zeros((len(splits.train), len(items)), dtype=np.float32)
    for user, example in enumerate(splits.train):
        chosen[user, [number[item] for item in example["items"]]] = 1.0
    length = np.sqrt(chosen.sum(0))
    likeness = chosen.T @ chosen / np.outer(length, length)
    np.fill_diagonal(likeness, 0.0)
    for row in likeness:
        row[np.argsort(-row)[NEIGHBOURS:]] = 0.0
    popular = -np.arange(len(items), dtype=np.float64)
    ranks: dict[str, list[float]] = {"popularity": [], "item-knn": []}
    for example in splits.test:
        *history, target = example["items"]
        seen = [number[item] for item in history if item in number]
        near = likeness[seen].sum(0).astype(np.float64) + popular * 1e-9  # equals stand by popularity
        for name, score in (("popularity", popular), ("item-knn", near)):
            ranks[name].append(rank_of(score, seen, number.get(target)))
    return {name: mean_scores(values) for name, values in ranks.items()}


def rank_of(score: Matrix, seen: list[int], target: int | None) -> float:
    """Return the rank of an item among all but those that were seen; infinite for one that is unknown."""
    if target is None:
        return float("inf")
    left = score.copy()
    left[seen] = -np.inf
    return 1.0 + float((left > score[target]).sum())


def mean_scores(ranks: list[float]) -> Figures:
    """Return the means over the users."""
    scores = [rank_scores(rank) for rank in ranks]
    return {name: sum(score[name] for score in scores) / len(scores) for name in scores[0]}


def train(objective: str, arguments: argparse.Namespace) -> Figures:
    """Train by the `fathom` command; returns the scores before, of validation and of test."""
    folder = arguments.work / NAME
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {
        "model": {
            "kind": "new",
            "architecture": ARCHITECTURES[objective],
            "depth": 2,
            "width": 64,
            "heads": 2,
            "dropout": 0.2,
            "positions": 51,
            "tokenizer": "items",
        },
        "data": data_section(),
        "task": {"kind": "recommendation", "objective": objective},
        "training": {
            "epochs": arguments.epochs,
            "batch_size": 128,
            "learning_rate": 1e-3,
            "precision": "fp32",
            "threads": arguments.threads,
        },
        "output": str(folder / objective),
    }
    path = folder / f"{objective}.yaml"
    path.write_text(json.dumps(recipe), encoding="utf-8")
    run_process([*fathom_command(), "train", str(path)], environment(arguments.threads))
    metrics: Figures = json.loads((folder / objective / "metrics.json").read_text(encoding="utf-8"))
    return {key: metrics[key] for key in ("before", "validation", "test", "steps", "best_step", "parameters")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--only", choices=tuple(ARCHITECTURES), default=None)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--work", type=Path, default=default_work())
    arguments = parser.parse_args()
    models = dict(read_result(NAME).get("models", {}))
    for objective in ARCHITECTURES if arguments.only is None else (arguments.only,):
        models[objective] = train(objective, arguments)
        print(objective, models[objective]["test"], flush=True)
    result = {
        "claim": "next items of MovieTweetings, all items ranked, beside popularity and item-kNN",
        "epochs": arguments.epochs,
        "floors": floors(),
        "models": models,
        "load_average": load_average(),
        "revision": revision(),
        "versions": versions(),
    }
    print(json.dumps(result["floors"]))
    print(write_result(NAME, result))


if __name__ == "__main__":
    main()
