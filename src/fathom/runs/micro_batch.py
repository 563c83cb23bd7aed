"""How much goes through a model at once: the largest pass must fit the memory, and no more passes than that needs."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from torch import nn

from fathom.data.batch import cut
from fathom.data.corpus.mixture import MixtureSampler
from fathom.data.sampler import Sampler
from fathom.data.sequences import Sequences
from fathom.device import Machine
from fathom.log import format_bytes, get_console
from fathom.model.ledger import build_ledger
from fathom.model.memory import MicroBatch, Setting
from fathom.model.packing import PackedModel
from fathom.training.settings import Training

MEMORY_SHARE = 0.8
"""Share of the memory a run may take by forecast: the forecast errs by some percent, and a machine has other work."""
HEAVIEST = 32
"""Batches that are looked at while the most tokens are searched for: those with the most padded positions."""

Lengths = np.ndarray[Any, Any]
Order = Sampler | MixtureSampler


def memory_setting(training: Training, packed: PackedModel, trained_rows: int | None) -> Setting:
    """Return how a run keeps its numbers, for the ledger.

    Args:
        training: Resolved.
        packed: How the blocks run.
        trained_rows: Rows of the word embeddings that have gradients; None for all.
    """
    low = training.precision == "bf16"
    return Setting(
        precision="bf16" if low else "fp32",
        stream="bf16" if low and packed.packed else "fp32",
        checkpointing=training.activation_checkpointing,
        trainable_vocabulary=trained_rows,
    )


def fit_micro_batch(
    training: Training, work: tuple[Sequences, Order | None], model: nn.Module, setting: Setting, machine: Machine
) -> int | None:
    """Return the most tokens of one pass: what the recipe says, or what fits the memory by forecast.

    Args:
        training: Resolved.
        work: The training split, and the order its batches come in; None for the usual one.
        model: As the tuning strategy left it.
        setting: See `memory_setting`.
        machine: Whose memory.

    Returns:
        None where whole batches fit, which is the common case.
    """
    wanted = training.micro_batch_tokens
    if isinstance(wanted, int):
        return wanted
    limit = MEMORY_SHARE * memory_bytes(machine)
    batches = _heaviest_batches(work[0], work[1] or usual_order(work[0], training))

    def needed(most_tokens: int | None) -> int:
        largest = MicroBatch.of(_heaviest_pass(batches, most_tokens).tolist())
        return build_ledger(model, largest, setting, training.optimizer.state_bytes).memory.total

    if needed(None) <= limit:
        return None
    low = int(max(batch.max() for batch in batches))
    high = int(max(batch.sum() for batch in batches))
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


def memory_bytes(machine: Machine) -> int:
    """Return the memory a run lives in: the GPU's where there is one."""
    if machine.device == "cpu":
        return machine.memory_bytes
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)


def usual_order(store: Sequences, training: Training) -> Sampler:
    """Return the order of a split that is not mixed of several."""
    return Sampler(len(store), training.batch_size, training.seed)


def largest_micro_batch(store: Sequences, order: Order, most_tokens: int | None) -> MicroBatch:
    """Return the pass with the most padded positions in the first epoch's order."""
    return MicroBatch.of(_heaviest_pass(_heaviest_batches(store, order), most_tokens).tolist())


def _heaviest_batches(store: Sequences, order: Order) -> list[Lengths]:
    """The batches of the first epoch that weigh most, uncut; where all sequences are alike, one of them."""
    lengths = np.asarray(store.lengths)
    steps = range(order.steps_per_epoch if lengths.min() < lengths.max() else 1)
    return heapq.nlargest(HEAVIEST, (lengths[order.batch(step)] for step in steps), key=_weight)


def _heaviest_pass(batches: list[Lengths], most_tokens: int | None) -> Lengths:
    return max((batch[part] for batch in batches for part in cut(batch, most_tokens)), key=_weight)


def _weight(lengths: Lengths) -> int:
    """What a pass takes, about: blocks run on tokens, embeddings and head on padded positions."""
    return int(lengths.sum()) * 8 + int(lengths.max()) * len(lengths)
