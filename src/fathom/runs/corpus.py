"""Running text for language models: documents, windows, splits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from fathom.data.corpus.documents import read_documents
from fathom.data.example import Example
from fathom.data.load import Splits
from fathom.data.store import TokenStore, from_features
from fathom.recipe import Recipe
from fathom.runs.prepared import PreparedData, longest
from fathom.tasks.language_model import OpenLanguageTask

DEFAULT_WINDOW = 512
"""Tokens of a window where neither the recipe nor a shorter model says."""


def prepare_corpus(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> PreparedData:
    """Read a corpus and cut it into windows."""
    length = longest(recipe, tokenizer)
    length = length if recipe.data.max_length is not None else min(length, DEFAULT_WINDOW)
    task = recipe.task.open([], tokenizer, length)
    assert isinstance(task, OpenLanguageTask)
    train = windows(task, list(encoded(task, recipe.data.train)))
    stores = {"train": train}
    digests = {"train": hashlib.sha256(train.fields["input_ids"].tobytes()).hexdigest()}
    for name, path in (("validation", recipe.data.validation), ("test", recipe.data.test)):
        if path is not None:
            stores[name] = windows(task, list(encoded(task, path)))
            digests[name] = hashlib.sha256(stores[name].fields["input_ids"].tobytes()).hexdigest()
    examples = {name: sized(task, store) for name, store in stores.items()}
    splits = Splits(examples["train"], examples.get("validation", []), examples.get("test", []), (), digests)
    return PreparedData(splits, tokenizer, task, stores)


def encoded(task: OpenLanguageTask, source: str) -> Iterator[np.ndarray[Any, Any]]:
    ids: list[int] = []
    for document in read_documents(source):
        ids += task.tokenizer(document.text, add_special_tokens=False, verbose=False)["input_ids"]
        if not document.continues:
            yield np.asarray(task.with_end(ids), dtype=np.int32)
            ids = []


def windows(task: OpenLanguageTask, documents: Sequence[np.ndarray[Any, Any]]) -> TokenStore:
    room = task.max_length - task.overhead
    rows = [
        task.frame_piece(ids[start : start + room]) for ids in documents for start in range(0, max(len(ids), 1), room)
    ]
    rows = [row for row in rows if len(row) > task.overhead]
    return from_features([{"input_ids": row, "example": np.asarray(index)} for index, row in enumerate(rows)])


def sized(task: OpenLanguageTask, store: TokenStore) -> list[Example]:
    return [
        {"where": f"window {index}", "bytes": len(task.tokenizer.decode(store[index]["input_ids"]).encode())}
        for index in range(len(store))
    ]
