"""Preparing data that a model sees or hears: the processor in the place of the tokenizer, files in a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fathom.data.example import Example, Features
from fathom.data.load import Splits, load_splits
from fathom.data.sequences import Sequences
from fathom.data.spool import spooled
from fathom.data.store import TokenStore, open_or_build
from fathom.errors import ConfigError
from fathom.log import get_console
from fathom.model.load import resolve_model
from fathom.model.new import NewModel
from fathom.recipe import Recipe
from fathom.runs.prepared import PreparedData, check_head, examples_digest
from fathom.tasks.base import OpenTask
from fathom.tasks.media import MediaTask, OpenLabelledFiles


def prepare_media(recipe: Recipe) -> PreparedData:
    """Read the files, open the task and decode every split (or map what an earlier run decoded).

    Raises:
        DataError: Something is wrong with the data; see the message's place and mend.
        ModelError: The model has no processor, or its processor makes what it does not read.
    """
    assert isinstance(recipe.task, MediaTask)
    if recipe.data.max_length is not None:
        raise ConfigError(
            f"{recipe.task.kind} reads no tokens: the length is the model's", where="data.max_length", mend="remove it"
        )
    if recipe.tuning.virtual_tokens:
        raise ConfigError(
            f"tuning '{recipe.tuning.kind}' puts virtual tokens before words, and {recipe.task.kind} reads none",
            where="tuning",
            mend="choose full, head, lora or another strategy without virtual tokens",
        )
    splits = load_splits(recipe.data, recipe.task.form)
    task, processor = open_media_task(recipe, splits)
    stores: dict[str, Sequences] = {
        name: encode_files(task, examples)
        for name, examples in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
        if examples
    }
    return PreparedData(splits, processor, task, stores)


def open_media_task(recipe: Recipe, splits: Splits) -> tuple[OpenTask, Any]:
    """Return the live task of a recipe, and the processor of its model."""
    part = recipe.task
    assert isinstance(part, MediaTask)
    config = recipe.model.read_config(None, {})
    if isinstance(recipe.model, NewModel):
        processor = part.new_processor(config, splits.train)
    else:
        processor = part.fitted(part.load_tokenizer(resolve_model(recipe.model.tokenizer_source)), config)
    task = part.open(splits.train, processor, part.num_positions(config))
    check_head(recipe, processor, task)
    assert isinstance(task, OpenLabelledFiles)
    task.overrides = part.model_overrides(config)
    return task, processor


def encode_files(task: OpenTask, examples: Sequence[Example]) -> TokenStore:
    """Decode a split, or map the store an earlier run made of the same files, processor and task."""
    key = {
        "examples": examples_digest(examples),
        "tokenizer": task.tokenizer_digest(),
        "task": task.cache_key(),
    }

    def decoded() -> Iterator[Features]:
        with get_console().progress(len(examples), "decode") as progress:
            for number, example in enumerate(examples):
                yield from task.encode([example], number)
                progress.update(number + 1)

    return open_or_build(key, decoded, spooled)
