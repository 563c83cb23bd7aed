"""How much goes through a model at once: the largest pass must fit the memory, and no more passes than that needs."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn
from transformers.pytorch_utils import Conv1D

from fathom.data.batch import cut, padded_groups
from fathom.data.corpus.mixture import MixtureSampler
from fathom.data.sampler import Sampler
from fathom.data.sequences import Sequences
from fathom.device import Machine, available_memory_bytes, current_memory_bytes
from fathom.log import format_bytes, get_console
from fathom.model.anatomy import find_anatomy
from fathom.model.ledger import Course, build_ledger
from fathom.model.memory import Memory, MicroBatch, Setting
from fathom.model.packing import PackedModel
from fathom.model.prepared import Layouts
from fathom.model.virtual_tokens import BEFORE_EMBEDDINGS, num_virtual_tokens, peft_type
from fathom.training.loop import Plan
from fathom.training.settings import Training

MEMORY_SHARE = 0.8
"""Share of the memory a run may take by forecast: the forecast errs by some percent, and a machine has other work."""
ROOM_SHARE = 0.9
"""Share of what other programs leave that a run may take by forecast."""
HEAVIEST = 32
"""Batches that are looked at while the most tokens are searched for: those with the most padded positions."""

RECYCLED_BYTES = 32 << 20
"""Largest block the allocator (glibc) keeps when it is freed. A larger one goes back to the system, and the next begins
with fresh pages: with passes whose widest tensor is above it, a step of 32,768 tokens (width 256) took 1.5 times as
long as in passes of 8,192."""
LITTLE_MORE = 1.5
"""A batch so many times as large as such a pass is not worth cutting."""

MOST_STEPS = 4096
"""Steps whose lengths are looked at; a longer run meets hardly anything new."""

Lengths = np.ndarray[Any, Any]
Order = Sampler | MixtureSampler


def memory_setting(
    training: Training, packed: PackedModel, trained_rows: int | None, labelled_share: float | None = None
) -> Setting:
    """Return how a run keeps its numbers, for the ledger.

    Args:
        training: Resolved.
        packed: How the blocks run.
        trained_rows: Rows of the word embeddings that have gradients; None for all.
        labelled_share: Of the tokens, where the head is over the vocabulary.
    """
    low = training.precision == "bf16"
    return Setting(
        precision="bf16" if low else "fp32",
        stream="bf16" if low and packed.packed else "fp32",
        checkpointing=training.activation_checkpointing,
        offload=training.activation_offload,
        passing_gradients=training.optimizer_in_backward,
        trainable_vocabulary=trained_rows,
        labelled_share=labelled_share,
    )


@dataclass(frozen=True)
class Room:
    """The memory there is for a run, now."""

    resident_bytes: int
    """What its process takes already."""
    left_bytes: int | None = None
    """What other programs leave; None where the system does not say."""

    @classmethod
    def now(cls) -> Room:
        """Return the memory there is at this moment."""
        return cls(current_memory_bytes(), available_memory_bytes())


@dataclass(frozen=True)
class Passes:
    """How the batches of a run go through its model."""

    store: Sequences
    order: Order
    num_steps: int
    """Of the whole run."""
    packed: bool = True
    virtual_tokens: int = 0
    """Positions a strategy puts before every sequence."""
    virtual_keys: int = 0
    """Keys that every query sees beside those of its sequence."""
    whole: bool = False
    """Whether the loss is over whole batches: one that is cut has a second forward pass."""
    one: bool = False
    """Whether every batch goes in one pass, whatever its size: gradients are used up on the way."""

    @classmethod
    def of(
        cls,
        training: Training,
        work: tuple[Sequences, Order | None],
        model: nn.Module,
        *,
        packed: bool,
        whole: bool = False,
    ) -> Passes:
        """Return those of a run.

        Args:
            training: Resolved.
            work: The training split, and the order its batches come in; None for the usual one.
            model: As the tuning strategy left it.
            packed: Whether its blocks run packed.
            whole: Whether the loss is over whole batches.
        """
        store, order = work
        order = order or usual_order(store, training)
        size = len(store) if isinstance(order, Sampler) else order.size
        before = peft_type(model) in BEFORE_EMBEDDINGS
        virtual = num_virtual_tokens(model)
        return cls(
            store, order, Plan.of(training, size).total_steps, packed, virtual * before,
            virtual * (not before), whole, training.optimizer_in_backward,
        )  # fmt: skip

    def cut(self, lengths: Lengths, most_tokens: int | None) -> list[Lengths]:
        """Cut a batch, given as lengths without virtual tokens, into its passes."""
        if self.one:
            return [lengths]
        groups = [lengths] if self.packed else [lengths[group] for group in padded_groups(lengths)]
        return [group[part] for group in groups for part in cut(group, most_tokens)]

    def micro_batch(self, lengths: Lengths) -> MicroBatch:
        """Return a pass as the ledger sees it."""
        seen = (lengths + self.virtual_tokens).tolist()
        return MicroBatch.of(seen) if self.packed else MicroBatch.padded(seen, self.virtual_keys)

    def steps(self, count: int) -> Iterator[Lengths]:
        """Yield the lengths of the first batches, uncut."""
        lengths = np.asarray(self.store.lengths)
        for step in range(min(self.num_steps, count)):
            yield lengths[self.order.batch(step)]

    def heaviest(self) -> list[Lengths]:
        """The batches of the run that weigh most, uncut; where all sequences are alike, one of them."""
        lengths = np.asarray(self.store.lengths)
        alike = lengths.min() == lengths.max()
        return heapq.nlargest(HEAVIEST, self.steps(1 if alike else MOST_STEPS), key=_weight)

    def largest(self, most_tokens: int | None) -> MicroBatch:
        """Return the pass that takes most, about."""
        return self.micro_batch(self._heaviest_pass(self.heaviest(), most_tokens))

    def layouts(self, most_tokens: int | None) -> Layouts:
        """Count the shapes the run meets."""
        found = (part for batch in self.steps(MOST_STEPS) for part in self.cut(batch, most_tokens))
        return Layouts.of(((part + self.virtual_tokens).tolist() for part in found), packed=self.packed)

    def _heaviest_pass(self, batches: list[Lengths], most_tokens: int | None) -> Lengths:
        return max((part for batch in batches for part in self.cut(batch, most_tokens)), key=_weight)


def fit_micro_batch(
    training: Training,
    passes: Passes,
    model: nn.Module,
    setting: Setting,
    machine: Machine,
    *,
    room: Room | None = None,
) -> int | None:
    """Return the most tokens of one pass: what the recipe says, or what fits the memory by forecast and runs fast.

    Args:
        training: Resolved.
        passes: Of the run.
        model: As the tuning strategy left it.
        setting: See `memory_setting`.
        machine: Whose memory.
        room: What the process takes with model and gradients in place, but no optimizer; left out, a usual process is
            taken for this one, and the machine is its own.

    Returns:
        None where whole batches do, which is the common case.
    """
    wanted = training.micro_batch_tokens
    if isinstance(wanted, int):
        return wanted
    limit = limit_bytes(machine, room)
    batches = passes.heaviest()
    layouts = passes.layouts(None)

    def needed(most_tokens: int | None) -> int:
        largest = passes.micro_batch(passes._heaviest_pass(batches, most_tokens))
        course = Course(layouts)
        memory = build_ledger(model, largest, setting, training.optimizer.state_bytes, course).memory
        return needed_bytes(memory, machine, room)

    if passes.one:
        _tell_of_whole_batches(needed(None), limit)
        return None
    low = int(max(batch.max() for batch in batches))
    high = int(max(batch.sum() for batch in batches))
    fast = None
    if machine.device == "cpu" and not passes.whole:
        fast = _fast_pass(model, setting, low, high)
    if needed(fast) <= limit:
        if fast is not None:
            get_console().info(f"batches are cut into passes of at most {fast:,} tokens, which run faster than whole")
        return fast
    high = fast or high
    if needed(low) > limit:
        get_console().warn(
            f"one sequence of {low} tokens needs {format_bytes(needed(low))} by forecast, and a run may take "
            f"{format_bytes(limit)}; lower data.max_length, or set training.activation_checkpointing: true"
        )
        return low
    while high - low > max(low // 32, 1):
        middle = (low + high) // 2
        low, high = (middle, high) if needed(middle) <= limit else (low, middle)
    get_console().info(f"batches are cut into passes of at most {low:,} tokens, which fit {format_bytes(limit)}")
    return low


def _tell_of_whole_batches(needed: int, limit: float) -> None:
    """Warn where a batch that cannot be cut does not fit the memory by forecast."""
    if needed > limit:
        get_console().warn(
            f"a step needs {format_bytes(needed)} by forecast, and a run may take {format_bytes(limit)}; with "
            "training.optimizer_in_backward a batch is not cut: lower training.batch_size or data.max_length, or set "
            "training.activation_checkpointing: true"
        )


def _fast_pass(model: nn.Module, setting: Setting, longest: int, heaviest: int) -> int | None:
    """Return the tokens of a pass whose widest tensor the allocator keeps; None where batches are hardly larger."""
    anatomy = find_anatomy(model)
    modules = [module for block in anatomy.blocks for module in model.get_submodule(block.path).modules()]
    sides = [max(module.in_features, module.out_features) for module in modules if isinstance(module, nn.Linear)]
    sides += [max(module.weight.shape) for module in modules if isinstance(module, Conv1D)]
    widest = max(sides, default=1)
    most = RECYCLED_BYTES // (widest * setting.product_bytes)
    return None if heaviest <= LITTLE_MORE * most else max(most, longest)


def limit_bytes(machine: Machine, room: Room | None) -> float:
    """Return the memory that training may take by forecast; see `fit_micro_batch`."""
    limit = MEMORY_SHARE * memory_bytes(machine)
    if machine.device == "cpu" and room is not None and room.left_bytes is not None:
        limit = min(limit, room.resident_bytes + ROOM_SHARE * room.left_bytes)
    return limit


def needed_bytes(memory: Memory, machine: Machine, room: Room | None) -> int:
    """Return what training takes of that memory; see `fit_micro_batch`."""
    if machine.device != "cpu":
        return memory.total - memory.process
    if room is None:
        return memory.total
    return memory.in_process(room.resident_bytes + memory.optimizer, 0).total


def memory_bytes(machine: Machine) -> int:
    """Return the memory a run lives in: the GPU's where there is one."""
    if machine.device == "cpu":
        return machine.memory_bytes
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)


def usual_order(store: Sequences, training: Training) -> Sampler:
    """Return the order of a split that is not mixed of several."""
    return Sampler(len(store), training.batch_size, training.seed)


def _weight(lengths: Lengths) -> int:
    """What a pass takes, about: blocks run on tokens, embeddings and head on padded positions."""
    return int(lengths.sum()) * 8 + int(lengths.max()) * len(lengths)
