"""Preparing data that a model sees or hears: the processor in the place of the tokenizer, files in a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fathom.data.example import Example, Features
from fathom.data.load import Splits, load_splits
from fathom.data.readers.problems import SHOWN
from fathom.data.sequences import Sequences
from fathom.data.spool import spooled
from fathom.data.store import TokenStore, open_or_build
from fathom.errors import ConfigError, DataError
from fathom.log import get_console
from fathom.model.load import resolve_model
from fathom.model.new import NewModel
from fathom.model.section import ModelSection
from fathom.recipe import Recipe
from fathom.runs.prepared import PreparedData, check_head, check_strategy, examples_digest
from fathom.tasks.base import OpenTask
from fathom.tasks.labels import place
from fathom.tasks.media import MediaTask, OpenFiles

Unfit = list[tuple[Example, str]]
"""Examples that cannot be learnt from, each with the reason."""


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
    splits = leave_out_unfit(task, splits, skip=recipe.data.on_error == "skip")
    stores: dict[str, Sequences] = {
        name: encode_files(task, examples)
        for name, examples in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
        if examples
    }
    return PreparedData(splits, processor, task, stores)


def open_media_task(recipe: Recipe, splits: Splits) -> tuple[OpenFiles, Any]:
    """Return the live task of a recipe, and the processor of its model."""
    assert isinstance(recipe.task, MediaTask)
    task, processor = make_media_task(recipe.task, recipe.model, splits.train)
    check_head(recipe, processor, task)
    check_strategy(recipe, processor, task)
    return task, processor


def make_media_task(part: MediaTask, model: ModelSection, train: Sequence[Example]) -> tuple[OpenFiles, Any]:
    """Return the live task for a model, and the model's processor; `train` is the training split.

    Raises:
        ModelError: The model is not one for the task, or has no processor.
    """
    config = model.read_config(None, {})
    part = part.suited(config)
    if isinstance(model, NewModel):
        processor = part.new_processor(config, train)
    else:
        processor = part.fitted(part.load_tokenizer(resolve_model(model.tokenizer_source)), config, train)
    task = part.open(train, processor, part.num_positions(config))
    assert isinstance(task, OpenFiles)
    task.overrides = part.model_overrides(config, processor)
    return task, processor


def find_unfit(task: OpenTask, examples: Sequence[Example]) -> tuple[list[Example], Unfit]:
    """Part the examples that a model can learn from from those it cannot; of texts there are none of these."""
    if not isinstance(task, OpenFiles):
        return list(examples), []
    reasons = [(example, task.unfit(example)) for example in examples]
    unfit = [(example, reason) for example, reason in reasons if reason is not None]
    return [example for example, reason in reasons if reason is None], unfit


def refuse_unfit(unfit: Unfit, *, skip: bool) -> list[str]:
    """Refuse examples that cannot be learnt from, all of them by name; or say that they are left out.

    Raises:
        DataError: There are some, and they are not skipped.
    """
    if not unfit:
        return []
    shown = [f"{place(example)}: {reason}" for example, reason in unfit[:SHOWN]]
    more = [f"and {len(unfit) - SHOWN} more"] if len(unfit) > SHOWN else []
    if skip:
        return [f"left out {len(unfit)} that cannot be learnt from (on_error: skip): {'; '.join([*shown, *more])}"]
    raise DataError(
        "\n".join([f"{len(unfit)} examples cannot be learnt from", *(f"  {line}" for line in [*shown, *more])]),
        mend="correct or remove them, or leave them out: data.on_error=skip",
    )


def leave_out_unfit(task: OpenTask, splits: Splits, *, skip: bool) -> Splits:
    """Refuse the examples of all splits that cannot be learnt from, or leave them out and list them.

    Raises:
        DataError: There are some, and they are not skipped; or no training example is left.
    """
    (train, first), (validation, second), (test, third) = (
        find_unfit(task, examples) for examples in (splits.train, splits.validation, splits.test)
    )
    unfit = {"train": first, "validation": second, "test": third}
    refuse_unfit([item for found in unfit.values() for item in found], skip=skip)
    if not train:
        reason = unfit["train"][0][1]
        said = f"no training example can be learnt from: {reason}"
        raise DataError(said, where=place(splits.train[0]), mend="correct them")
    notes = [f"{name}: {note}" for name, found in unfit.items() for note in refuse_unfit(found, skip=skip)]
    rows: list[dict[str, object]] = [
        {"split": name, "where": place(example), "reasons": (reason,), "row": None}
        for name, found in unfit.items()
        for example, reason in found
    ]
    return Splits(train, validation, test, (*splits.notes, *notes), splits.digests, (*splits.skipped, *rows))


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
