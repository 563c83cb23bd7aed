"""From a resolved recipe to everything a run needs: examples, task, tokens, model, made ready for the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from fathom.data.example import IGNORED_LABEL, Example
from fathom.data.load import load_splits
from fathom.data.sampler import Sampler
from fathom.data.sequences import Sequences
from fathom.data.store import TokenStore, open_or_build
from fathom.device import Machine, seed_everything
from fathom.errors import ConfigError
from fathom.log import get_console
from fathom.model.anatomy import Anatomy, find_anatomy
from fathom.model.checkpointing import checkpoint_blocks
from fathom.model.compute import Compute
from fathom.model.dropout import DropoutSource
from fathom.model.frozen import NOTHING, FrozenPart, find_frozen
from fathom.model.generation import tell_generation
from fathom.model.load import dropout_overrides, resolve_model
from fathom.model.low_rank import fuse_updates
from fathom.model.packing import PackedModel, pack_model
from fathom.model.parameters import FlatParameters, group_parameters
from fathom.model.passing_gradients import PassingParameters
from fathom.model.sharing import share_frozen
from fathom.model.sparse_update import updated_projections
from fathom.model.vocabulary import VocabularyHead
from fathom.model.vocabulary_extension import extend_embeddings
from fathom.recipe import Recipe
from fathom.runs.corpus import prepare_corpus
from fathom.runs.evaluations import check_evaluations
from fathom.runs.media import encode_files, prepare_media
from fathom.runs.micro_batch import Passes, Room, fit_micro_batch, memory_setting
from fathom.runs.prepared import (
    PreparedData,
    check_head,
    check_rows,
    check_strategy,
    check_targets,
    examples_digest,
    longest,
    require_own_tokenizer,
)
from fathom.runs.reference import attach_reference
from fathom.tasks.base import OpenTask
from fathom.tasks.media import MediaTask, OpenLabelledFiles
from fathom.tokenization.load import load_tokenizer
from fathom.tokenization.match import check_vocabulary
from fathom.training.step import Workload
from fathom.tuning.stages import Stages, stages_by_name

LABELS_COUNTED = 64
"""Sequences of a language task whose labels stand for those of all."""


@dataclass(frozen=True)
class PreparedModel:
    """The model under its tuning strategy, and the workload around it."""

    model: nn.Module
    anatomy: Anatomy
    work: Workload

    @property
    def frozen(self) -> FrozenPart:
        """What never learns and has nothing that learns below it."""
        return self.work.frozen


def prepare_data(recipe: Recipe) -> PreparedData:
    """Read the data, open the task and encode every split (or map what an earlier run encoded).

    Raises:
        DataError: Something is wrong with the data; see the message's place and mend.
    """
    if isinstance(recipe.task, MediaTask):
        return prepare_media(recipe)
    splits = None
    if recipe.task.form == "interactions":
        require_own_tokenizer(recipe)
        splits = load_splits(recipe.data, recipe.task.form)
        tokenizer = recipe.task.make_tokenizer(splits.train)
    else:
        tokenizer = load_tokenizer(resolve_model(recipe.model.tokenizer_source))
    recipe.model.adopt(tokenizer)
    check_vocabulary(tokenizer, recipe.model.read_config(tokenizer, {}))
    if recipe.task.form == "corpus":
        return prepare_corpus(recipe, tokenizer)
    splits = splits or load_splits(recipe.data, recipe.task.form)
    config = recipe.model.read_config(tokenizer, {})
    check_targets(recipe, config)
    part = recipe.task.suited(config)
    task = part.open(splits.train, tokenizer, longest(recipe, tokenizer))
    check_head(recipe, tokenizer, task)
    check_strategy(recipe, tokenizer, task)
    stores: dict[str, Sequences] = {
        name: encode_split(task, examples)
        for name, examples in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
        if examples
    }
    return attach_reference(recipe, PreparedData(splits, tokenizer, task, stores))


def own_data(recipe: Recipe, shared: PreparedData) -> PreparedData:
    """Return the data of another run of the same model, data and task, read again only where they are its own.

    What a task finds out of a run (a threshold) is that run's own, a corpus is read in an order of its own, and the
    model that answers are compared with may be drawn from its seed.
    """
    if recipe.task.form in ("corpus", "preference"):
        return prepare_data(recipe)
    return replace(shared, task=copy(shared.task))


def encode_split(task: OpenTask, examples: Sequence[Example]) -> TokenStore:
    """Encode a split, or map the store an earlier run made of the same examples, tokenizer and task."""
    if isinstance(task, OpenLabelledFiles):
        return encode_files(task, examples)
    key = {
        "examples": examples_digest(examples),
        "tokenizer": task.tokenizer_digest(),
        "task": task.cache_key(),
    }
    return open_or_build(key, lambda: task.encode(examples))


def load_untuned(recipe: Recipe, data: PreparedData) -> PreTrainedModel:
    """Load the model as it is before the tuning strategy."""
    settings = recipe.training
    seed_everything(settings.seed)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    overrides = dict(data.task.config_overrides)
    if settings.dropout is not None:
        overrides |= _dropout(recipe.model.read_config(data.tokenizer, {}), settings.dropout)
    model = recipe.model.load(data.tokenizer, data.task.auto_class, overrides, settings.seed)
    tell_generation(model, data.task.generation_config)
    if data.task.new_tokens:
        extend_embeddings(model, data.task.new_tokens)
    check_rows(data.tokenizer, model, data.stores.values())
    return model


def _dropout(config: PreTrainedConfig, rate: float) -> dict[str, float]:
    found = dropout_overrides(config, rate)
    if rate > 0 and not found:
        raise ConfigError(
            f"the config of {config.model_type} has no dropout rate to set",
            where="training.dropout",
            mend="leave it out",
        )
    return found


def prepare_model(
    recipe: Recipe, data: PreparedData, machine: Machine, *, base: nn.Module | None = None
) -> PreparedModel:
    """Load the model, apply the tuning strategy, pack its blocks and flatten its parameters.

    Args:
        recipe: Resolved.
        data: Encoded.
        machine: Where it runs.
        base: A model whose tensors it takes in the place of frozen ones of its own that are equal.

    Raises:
        ConfigError: The recipe asks for evaluations, or a dropout rate, that there are none of.
    """
    check_evaluations(recipe, data)
    loaded = load_untuned(recipe, data)
    model: nn.Module = recipe.tuning.apply(loaded, find_anatomy(loaded))
    model.to(machine.device)
    if base is not None:
        share_frozen(model, base)
    anatomy = find_anatomy(model)
    return PreparedModel(model, anatomy, make_workload(recipe, data, (model, anatomy), machine))


def make_workload(
    recipe: Recipe, data: PreparedData, model_and_anatomy: tuple[nn.Module, Anatomy], machine: Machine
) -> Workload:
    """Pack a model's blocks, flatten its parameters and take over its leaves."""
    settings = recipe.training
    model, anatomy = model_and_anatomy
    packed = pack_model(model) if settings.packing else PackedModel(model, reason="packing is off")
    if packed.reason is not None:
        get_console().info(f"padded batches: {packed.reason}")
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    dropout = DropoutSource() if machine.device == "cpu" else None
    packed.dropout = dropout
    packed.stream_dtype = dtype if dtype != torch.float32 and packed.packed else None
    stages = recipe.tuning.stages(model, anatomy)
    over_vocabulary = data.task.vocabulary
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    tables = embedding_tables(model, learning, tied=over_vocabulary)
    compact = {}
    # over the vocabulary any word may be predicted, or stand in another's place
    if tables and not over_vocabulary and settings.optimizer.allows_compact_rows(settings):
        ids = torch.from_numpy(np.asarray(data.stores["train"].used_ids(), dtype=np.int64)).to(machine.device)
        compact = {f"{path}.weight": ids for path in tables}
    parameters = flatten(recipe, (model, anatomy), stages, compact, dtype)
    blocks = [block.path for stack in anatomy.stacks for block in stack.blocks]
    compute = Compute(model, parameters, blocks, embedding_paths=tables, dropout=dropout, dtype=dtype)
    fuse_updates(model, blocks, compute, dropout)
    if settings.activation_checkpointing:
        checkpoint_blocks(model, blocks, *([dropout.recompute_contexts] if dropout is not None else []))
    vocabulary = None
    if over_vocabulary:
        vocabulary = VocabularyHead(model, parameters, dtype)
    work = Workload(
        model, packed, parameters, compute, dropout, data.task, data.stores["train"], settings.seed,
        vocabulary=vocabulary, sampler=data.sampler, penalty=partial(recipe.tuning.penalty, model),
        stages=stages,
        frozen=find_frozen(model, anatomy) if recipe.tuning.keeps_prefix and not settings.frozen_dropout else NOTHING,
        offload=settings.activation_offload,
    )  # fmt: skip
    trained_rows = next((len(rows) for rows in compact.values()), None)
    setting = memory_setting(settings, packed, trained_rows, labelled_share(work))
    order = (work.store, work.sampler)
    passes = Passes.of(settings, order, model, packed=packed.packed, whole=work.task.whole_batch)
    work.most_tokens = fit_micro_batch(settings, passes, model, setting, machine, room=Room.now())
    return work


def flatten(
    recipe: Recipe,
    model_and_anatomy: tuple[nn.Module, Anatomy],
    stages: Stages | None,
    compact: Mapping[str, torch.Tensor],
    dtype: torch.dtype,
) -> FlatParameters:
    """Lay the trainable parameters of a model in flat groups; part by part, where parts are updated one by one.

    Args:
        recipe: Resolved.
        model_and_anatomy: As the tuning strategy left it.
        stages: The parts that learn in turn, where the strategy has such.
        compact: For an embedding table, the rows that occur in the training data.
        dtype: Of the blocks' arithmetic.
    """
    model, anatomy = model_and_anatomy
    scales = recipe.tuning.learning_rate_scales(model, anatomy)
    # what learns beside a weight that is added up in every pass, and the head, are read in float32
    shadow_dtype = dtype if dtype != torch.float32 and not updated_projections(model) else None
    if recipe.training.optimizer_in_backward:
        named, keys = group_parameters(model, scales, stages_by_name(model, anatomy))
        return PassingParameters(named, keys, compact_rows=compact, shadow_dtype=shadow_dtype)
    named, keys = group_parameters(model, scales, None if stages is None else stages.by_name)
    return FlatParameters(named, keys, compact_rows=compact, shadow_dtype=shadow_dtype)


def labelled_share(work: Workload) -> float | None:
    """Return the share of tokens that carry a label in the first batch; None where labels are not words."""
    if not work.task.vocabulary:
        return None
    rows = (work.sampler or Sampler(len(work.store), LABELS_COUNTED, work.seed)).batch(0)[:LABELS_COUNTED]
    batch = work.make_batch(rows, 0)
    tokens = batch["attention_mask"].sum() if "attention_mask" in batch else int(work.num_tokens[rows].sum())
    return float(batch["labels"].ne(IGNORED_LABEL).sum() / tokens)


def embedding_tables(model: nn.Module, trained: set[str], *, tied: bool = False) -> list[str]:
    """Return paths of the trained word embeddings, every module of a shared table.

    Args:
        model: Any model.
        trained: Names of the parameters that learn.
        tied: Take a table that the vocabulary head reads too; it is left out otherwise.
    """
    if _inner(model).main_input_name != "input_ids" and not tied:
        return []  # it reads no words
    words = _inner(model).get_input_embeddings()
    owners = {
        path: module
        for path, module in model.named_modules()
        if vars(module).get("_parameters", {}).get("weight") is words.weight
    }
    head = _inner(model).get_output_embeddings() if tied else None
    tables = {path: module for path, module in owners.items() if module is not head}
    learns = any(f"{path}.weight" in trained for path in owners)
    if not learns or any(type(module) is not nn.Embedding for module in tables.values()):
        return []
    return list(tables) if tied or len(tables) == 1 else []


def _inner(model: nn.Module) -> Any:
    from fathom.model.packing import inner_model

    return inner_model(model)
