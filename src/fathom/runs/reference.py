"""What the model finds of every answer before training, for tasks that compare with it: computed once, then read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PreTrainedModel

from fathom.data.draw import EVALUATION, Draw
from fathom.data.example import IGNORED_LABEL, Features
from fathom.data.hidden import digest_tokens
from fathom.data.sequences import Sequences
from fathom.data.store import TokenStore, open_or_build
from fathom.device import Precision, probe_machine
from fathom.errors import InputError
from fathom.log import get_console
from fathom.model.base import base_digest, base_weight_files, find_base, find_origin
from fathom.model.load import load_config, load_model, model_class
from fathom.model.packing import pack_model
from fathom.model.section import Pretrained
from fathom.model.vocabulary import VocabularyHead
from fathom.recipe import Recipe
from fathom.runs.prepared import PreparedData
from fathom.runs.scoring import scoring_passes
from fathom.serving.predictor import Predictor
from fathom.tasks.preference import OpenPreference
from fathom.training.forward import Runner, make_batch

SCHEMA = 1
REFERENCE = "reference"
BATCH_SIZE = 16
"""Sequences of one forward pass; part of the key, for sums depend on it in their last bits."""


class Reference:
    """The model before training, loaded only where something is not known yet.

    Args:
        task: Whose answers are scored.
        load: Returns the model.
        identity: What the model is, as JSON.
        arithmetic: Device and precision it runs in.
    """

    def __init__(
        self,
        task: OpenPreference,
        load: Callable[[], PreTrainedModel],
        identity: Mapping[str, Any],
        arithmetic: tuple[str, Precision],
    ) -> None:
        self.task = task
        self.identity = dict(identity)
        self.device, self.precision = arithmetic
        self._load = load

    def attach(self, store: Sequences) -> TokenStore:
        """Return a split with `reference`: of each labelled token its log-probability under the reference, else 0."""
        key = {
            "schema": SCHEMA,
            "reference": self.identity,
            "tokens": digest_tokens(store, ("input_ids", "segment", "labels")),
            "numbers": [[int(store[row][name]) for row in range(len(store))] for name in self._numbers(store)],
            "arithmetic": [self.device, self.precision, BATCH_SIZE, torch.get_num_threads()],
            "libraries": [torch.__version__, transformers.__version__],
        }
        return open_or_build(key, lambda: self._score(store))

    @staticmethod
    def _numbers(store: Sequences) -> list[str]:
        return sorted(name for name, value in store[0].items() if np.ndim(value) == 0)

    @cached_property
    def _runner(self) -> Runner:
        model = self._load().to(self.device).eval()
        packed = pack_model(model)
        low = self.precision == "bf16"
        return Runner(model, packed, self.task, VocabularyHead(model, dtype=torch.bfloat16 if low else torch.float32))

    def _score(self, store: Sequences) -> Iterator[Features]:
        runner = self._runner
        lengths = np.asarray(store.lengths)
        found: dict[int, np.ndarray[Any, Any]] = {}
        order = np.argsort(-lengths, kind="stable")
        low = self.precision == "bf16"
        with get_console().progress(len(store), "reference") as progress, torch.inference_mode():
            for rows in scoring_passes(order, lengths, BATCH_SIZE):
                batch = runner.place(make_batch(self.task, store, rows, Draw(0, EVALUATION, rows)))
                with torch.autocast(self.device, torch.bfloat16, enabled=low):
                    answers_S = runner.read(batch).float().cpu()
                counts = torch.bincount(batch["row"][batch["answer"]].cpu(), minlength=len(rows)).tolist()
                found |= zip(rows.tolist(), (part.numpy() for part in answers_S.split(counts)), strict=True)
                progress.update(len(found))
        for row in range(len(store)):
            features = store[row]
            reference_L = np.zeros(len(features["input_ids"]), dtype=np.float32)
            reference_L[features["labels"] != IGNORED_LABEL] = found[row]
            yield {**features, REFERENCE: reference_L}


def attach_reference(recipe: Recipe, data: PreparedData) -> PreparedData:
    """Let the splits of a run bring what its model finds of them before training, where its task compares with that.

    It is kept in the cache, by the model's weights, the tokens and the arithmetic; the model is loaded only where a
    split is not found there. Whatever the tuning strategy, the reference is the model the recipe names.
    """
    task, settings = data.task, recipe.training
    if not isinstance(task, OpenPreference) or not task.compares:
        return data
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    section = recipe.model
    identity: dict[str, Any] = {"new": section.model_dump(mode="json"), "seed": settings.seed}
    if isinstance(section, Pretrained):
        identity = _identity(section.name, task.auto_class, settings.seed)
        assert recipe.output is not None  # resolved
        task.reference = {
            "base_model": section.name,
            "base": find_origin(section.name, Path(recipe.output) / "model"),
            "base_files": base_weight_files(section.name),
            "seed": settings.seed,
        }
    reference = Reference(
        task,
        partial(section.load, data.tokenizer, task.auto_class, {}, settings.seed),
        identity,
        (probe_machine().device, "bf16" if settings.precision == "bf16" else "fp32"),
    )
    stores: dict[str, Sequences] = {name: reference.attach(store) for name, store in data.stores.items()}
    return replace(data, stores=stores)


def attach_saved(predictor: Predictor, store: TokenStore) -> TokenStore:
    """Let a split bring what the reference of a saved model finds of it; as it is where none is needed or found."""
    task = predictor.task
    if not isinstance(task, OpenPreference) or not task.compares:
        return store
    missing = "the model it began with is not known"
    if task.reference is not None and predictor.folder is not None:
        try:
            name = find_base(predictor.folder, task.reference, None)
        except InputError as error:
            missing = error.message
        else:
            device = next(predictor.model.parameters()).device.type
            seed = int(task.reference["seed"])
            identity = _identity(name, task.auto_class, seed)
            load = partial(load_model, name, task.auto_class, {}, seed)
            return Reference(task, load, identity, (device, "fp32")).attach(store)
    get_console().info(f"answers are judged by their own likelihood, without rewards: {missing}")
    return store


def _identity(name: str, auto_class: str, seed: int) -> dict[str, Any]:
    """What tells a model from another: its weights, what its config says of how it computes, and how a head is drawn.

    Weights that were saved without a head of their own get one from the seed.
    """
    config = load_config(name, {})
    said = config.to_dict()
    ignored = {"_name_or_path", "transformers_version", "architectures", "dtype"}
    kept = {key: value for key, value in sorted(said.items()) if key not in ignored and "drop" not in key}
    saved = model_class(config, auto_class).__name__ in (config.architectures or ())
    drawn = {} if saved or config.tie_word_embeddings else {"seed": seed}
    return {"weights": base_digest(name), "config": repr(kept), **drawn}
