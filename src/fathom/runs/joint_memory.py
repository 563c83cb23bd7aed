"""The memory of a process that trains several adapters in one pass: their base once, and what is each one's own."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.device import Machine
from fathom.model.ledger import Ledger
from fathom.model.memory import Memory
from fathom.runs.micro_batch import Room, limit_bytes, needed_bytes

WEIGHT_BYTES = 4
"""Of one trained weight: it stays float32."""
COPY_BYTES = 2
"""Of its bf16 copy."""


def joint_memory(ledgers: Sequence[Ledger], most_tokens: int | None = None) -> Memory:
    """Return the memory of runs that train in one pass over the base they share.

    Args:
        ledgers: Of each run alone.
        most_tokens: Most tokens of one pass of all of them; None for no limit.
    """
    memories = [ledger.memory for ledger in ledgers]
    weights = [ledger.trainable * WEIGHT_BYTES for ledger in ledgers]
    low = [ledger.trainable * COPY_BYTES if ledger.setting.precision == "bf16" else 0 for ledger in ledgers]
    copies = [min(own, memory.copies) for own, memory in zip(low, memories, strict=True)]
    tokens = sum(ledger.micro_batch.tokens for ledger in ledgers)
    share = 1.0 if most_tokens is None else min(1.0, most_tokens / tokens)

    def passing(name: str) -> int:
        return int(share * sum(vars(memory)[name] for memory in memories))

    return Memory(
        process=max(memory.process for memory in memories),
        weights=sum(weights) + max(memory.weights - own for memory, own in zip(memories, weights, strict=True)),
        copies=sum(copies) + max(memory.copies - own for memory, own in zip(memories, copies, strict=True)),
        gradients=sum(memory.gradients for memory in memories),
        optimizer=sum(memory.optimizer for memory in memories),
        activations=passing("activations"),
        attention=passing("attention"),
        outside=passing("outside"),
        working=passing("working"),
        prepared=max(memory.prepared for memory in memories),
        slack=passing("slack"),
        elsewhere=max(memory.elsewhere for memory in memories),
    )


def most_tokens(ledgers: Sequence[Ledger], left_bytes: float) -> int:
    """Return how many tokens of all runs one pass can hold, at least one.

    Args:
        ledgers: Of each run alone.
        left_bytes: Of the memory, for what passes and for the holes it leaves, every state in place.
    """
    each = max((ledger.memory.passing + ledger.memory.slack) / ledger.micro_batch.tokens for ledger in ledgers)
    return max(int(left_bytes / each), 1)


def fits(ledgers: Sequence[Ledger], machine: Machine, room: Room) -> bool:
    """Whether runs can train in one process by forecast, their passes cut down to the largest batch of one of them.

    Args:
        ledgers: Of each run alone.
        machine: Whose memory.
        room: With their models and gradients in place, but no optimizer.
    """
    least = joint_memory(ledgers, max(ledger.micro_batch.tokens for ledger in ledgers))
    return needed_bytes(least, machine, room) <= limit_bytes(machine, room)
