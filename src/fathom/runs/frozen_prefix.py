"""The frozen-prefix cache of a run: what enters the lowest block that learns is computed once and read ever after."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor

from fathom import files
from fathom.data.batch import INPUTS, collate_rows, cut, model_inputs
from fathom.data.hidden import (
    BYTES,
    CachedSequences,
    Format,
    HiddenStates,
    digest_tokens,
    find_states,
    make_room,
    num_bytes,
    write_states,
)
from fathom.data.sequences import Sequences
from fathom.errors import ArtifactError, ConfigError, FathomError
from fathom.log import format_bytes, get_console
from fathom.model.prefix import Prefix, PrefixError, Reads
from fathom.recipe import Recipe
from fathom.runs.prepare import PreparedModel
from fathom.runs.prepared import PreparedData
from fathom.runs.shared import Shared
from fathom.training.forward import Runner
from fathom.training.loop import Plan
from fathom.training.settings import Training

SCHEMA = 1
WINDOW = 2048
"""Sequences whose states are in memory at once while they are computed."""
PASS_TOKENS = 4096
"""Tokens of one forward pass while they are computed."""
GIGABYTE = 10**9
SPLITS = ("train", "validation")
"""What is read more than once; a test split is not."""


@dataclass
class FrozenPrefix:
    """What a run got from the cache.

    Attributes:
        data: The run's data; the training and validation splits come with their states.
        prefix: How the model starts above its frozen part.
        facts: For `metrics.json`.
    """

    data: PreparedData
    prefix: Prefix
    facts: dict[str, Any]


def attach_prefix(recipe: Recipe, data: PreparedData, prepared: PreparedModel, shared: Shared) -> FrozenPrefix | None:
    """Compute the frozen part of a run once, or read what an earlier run computed, where that is valid and pays.

    The workload's training split is replaced by one that brings its states.

    Args:
        recipe: Resolved.
        data: Encoded.
        prepared: The model, ready.
        shared: With other runs of the process; the states that this run opens are added.

    Returns:
        None where every pass runs through every block: nothing is frozen, or the reason that was told.

    Raises:
        ConfigError: The recipe asks for a format, and the cache cannot be valid.
    """
    settings = recipe.training
    wanted = settings.frozen_cache
    if wanted == "off" or (prepared.frozen.first_block == 0 and wanted == "auto"):
        return None
    reason = _refusal(recipe, data, prepared)
    if reason is None:
        try:
            prefix = Prefix(prepared.work.packed, prepared.anatomy, prepared.frozen.first_block)
            reason = _excess(settings, data, prepared, prefix.reads)
            if reason is None:
                return _attach(settings, data, prepared, prefix, shared)
            prefix.remove()
        except PrefixError as error:
            reason = str(error)
    if wanted != "auto":
        raise ConfigError(
            f"the frozen blocks cannot be computed once: {reason}",
            where="training.frozen_cache",
            mend="write auto or off",
        )
    get_console().info(f"frozen blocks run in every pass: {reason}")
    return None


def _refusal(recipe: Recipe, data: PreparedData, prepared: PreparedModel) -> str | None:
    """Say why the outputs of frozen blocks would not stay the same, or cannot be put back."""
    stacks = prepared.anatomy.stacks
    if len(stacks) > 1 or stacks[0].repeats > 1:
        return "the model has two stacks of blocks" if len(stacks) > 1 else "its blocks share their weights"
    if not recipe.tuning.keeps_prefix:
        return f"under tuning '{recipe.tuning.kind}' frozen blocks do not stay apart from what learns"
    if "input_ids" not in data.stores["train"][0]:
        return "states are kept of words only, not of images or sounds"
    if not data.task.fixed_inputs:
        return f"the task '{recipe.task.kind}' draws its inputs anew in every epoch"
    if recipe.training.frozen_dropout:
        return "dropout is wanted in frozen blocks (training.frozen_dropout)"
    if prepared.frozen.first_block == 0:
        return "something learns in the lowest block or before it"
    packed = prepared.work.packed
    return None if packed.packed else f"the model runs padded ({packed.reason})"


def _excess(settings: Training, data: PreparedData, prepared: PreparedModel, reads: Reads) -> str | None:
    """Say why the cache would not fit; of a head that reads one token a sequence only those are kept."""
    size = sum(_size(settings, prepared, data.stores[name], reads) for name in SPLITS if name in data.stores)
    limit = int(settings.frozen_cache_gb * GIGABYTE)
    if size > limit:
        return f"their outputs take {format_bytes(size)}, and training.frozen_cache_gb allows {format_bytes(limit)}"
    return None


def _attach(
    settings: Training, data: PreparedData, prepared: PreparedModel, prefix: Prefix, shared: Shared
) -> FrozenPrefix | None:
    work, stores = prepared.work, dict(data.stores)
    # Runs to come are taken to be as long as this one: of a search it is not known yet.
    pays = settings.frozen_cache != "auto" or _passes(settings, prepared) * (1 + shared.to_come) >= 2
    facts: dict[str, Any] = {"first_block": prefix.first_block, "reads": prefix.reads, "format": format_of(settings)}
    facts |= {"bytes": 0, "computed_seconds": 0.0, "error": 0.0}
    weights = _digest_weights(prepared)
    for name, store in ((name, data.stores[name]) for name in SPLITS if name in data.stores):
        began = time.perf_counter()
        try:
            key = _key(settings, prepared, (prefix, store), weights)
            states = _find(key, shared.states)
            if states is None:
                if name == "train" and not pays:
                    prefix.remove()
                    raise PrefixError("no training sequence is read twice")
                states = shared.states[files.digest(key)] = _compute(settings, prepared, (prefix, store), key)
                facts["computed_seconds"] += time.perf_counter() - began
        except FathomError as error:  # a full or read-only disk is no reason to fail
            prefix.remove()
            get_console().warn(f"frozen blocks run in every pass: {error}")
            return None
        facts["bytes"] += states.nbytes
        facts["error"] = max(facts["error"], states.error)
        stores[name] = CachedSequences(store, states, prefix.reads)
    work.store = stores["train"]
    get_console().info(_line(facts, prepared, _passes(settings, prepared)))
    return FrozenPrefix(replace(data, stores=stores), prefix, facts)


def _line(facts: dict[str, Any], prepared: PreparedModel, passes: float) -> str:
    first, depth = facts["first_block"], len(prepared.anatomy.blocks)
    what = f"block {first} of {depth}" if first == 1 else f"blocks 1-{first} of {depth}"
    kept = f"{format_bytes(facts['bytes'])} {facts['format']}"
    if facts["error"]:
        kept += f" (error {facts['error']:.1e})"
    seconds = facts["computed_seconds"]
    how = f"computed once in {seconds:.1f} s" if seconds else "found from an earlier run"
    gain = round(seconds * (passes - 1))
    saved = f", which saves about {gain} s of computing" if gain > 0 else ""
    times = "once" if f"{passes:.3g}" == "1" else f"{passes:.3g} times"
    return f"embeddings and {what} never change: their outputs, {kept}, are {how} and read {times}{saved}"


def _key(settings: Training, prepared: PreparedModel, source: tuple[Prefix, Sequences], weights: str) -> dict[str, Any]:
    """Return everything that the states of a split depend on."""
    prefix, store = source
    return {
        "schema": SCHEMA,
        "weights": weights,
        "tokens": digest_tokens(store, (*INPUTS, "segment")),
        "first_block": prefix.first_block,
        "reads": prefix.reads,
        "format": format_of(settings),
        "arithmetic": [str(prepared.work.compute.dtype), prepared.work.packed.model.device.type],
        "libraries": [torch.__version__, transformers.__version__],
    }


def _find(key: dict[str, Any], opened: dict[str, HiddenStates]) -> HiddenStates | None:
    """Return the states that this process has open or that an earlier one computed; None where there are none."""
    name = files.digest(key)
    try:
        found = opened.get(name) or find_states(key)
    except ArtifactError as error:
        get_console().warn(f"{error.problem}; the frozen blocks' outputs are computed again")
        return None
    if found is not None:
        opened[name] = found
    return found


def _compute(
    settings: Training, prepared: PreparedModel, source: tuple[Prefix, Sequences], key: dict[str, Any]
) -> HiddenStates:
    """Compute the states of a split and keep them."""
    prefix, store = source
    make_room(_size(settings, prepared, store, prefix.reads), int(settings.frozen_cache_gb * GIGABYTE))
    tokens = store.num_tokens if prefix.reads == "all" else len(store)
    width = prepared.work.packed.model.config.get_text_config().hidden_size
    pieces = _windows(prepared.work.runner, prefix, store)
    return write_states(key, pieces, (tokens, width), format_of(settings))


def _windows(runner: Runner, prefix: Prefix, store: Sequences) -> Iterator[Tensor]:
    """Compute the states of a split, window by window, in the order of its tokens."""
    model = runner.model
    training = model.training
    model.eval()
    pad = runner.task.tokenizer.pad_token_id or 0
    lengths = np.asarray(store.lengths)
    for begin in range(0, len(store), WINDOW):
        rows = np.arange(begin, min(begin + WINDOW, len(store)))
        order = rows[np.argsort(-lengths[rows], kind="stable")]
        found: dict[int, Tensor] = {}
        for part in cut(lengths[order], PASS_TOKENS):
            batch = runner.place(collate_rows(store, order[part], pad))
            states_TD = prefix.compute(model_inputs(batch), batch.get("segment"))
            pieces = states_TD.split(lengths[order[part]].tolist())
            found |= zip(order[part].tolist(), (_read(piece, prefix.reads) for piece in pieces), strict=True)
        yield torch.cat([found[row] for row in rows.tolist()])
    model.train(training)


def _read(states_LD: Tensor, reads: Reads) -> Tensor:
    return states_LD if reads == "all" else states_LD[:1] if reads == "first" else states_LD[-1:]


def format_of(settings: Training) -> Format:
    """Return how states are kept: by default in the type that runs between blocks, which loses nothing."""
    if settings.frozen_cache in BYTES:
        return settings.frozen_cache
    return "bfloat16" if settings.precision == "bf16" else "float32"


def _passes(settings: Training, prepared: PreparedModel) -> float:
    """How often a training sequence is read, on average."""
    work = prepared.work
    return Plan.of(settings, work.num_sequences).total_steps * settings.batch_size / work.num_sequences


def _size(settings: Training, prepared: PreparedModel, store: Sequences, reads: Reads) -> int:
    width = prepared.work.packed.model.config.get_text_config().hidden_size
    return num_bytes((store.num_tokens if reads == "all" else len(store), width), format_of(settings))


def _digest_weights(prepared: PreparedModel) -> str:
    """Return the digest of what computes the states: weights, by content and order, and the model's config.

    Names are left out: the same model under another head or wrapper has the same states.
    """
    hasher = hashlib.sha256()
    for module in prepared.frozen.modules:
        for tensor in (*module.parameters(), *module.buffers()):
            hasher.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
            hasher.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    config = prepared.work.packed.model.config.to_dict()
    ignored = (
        "id2label",
        "label2id",
        "problem_type",
        "architectures",
        "_name_or_path",
        "dtype",
        "transformers_version",
    )
    said = {name: value for name, value in sorted(config.items()) if name not in ignored and "drop" not in name}
    hasher.update(repr(said).encode())
    return hasher.hexdigest()
