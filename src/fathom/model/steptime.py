"""Forecast of the time of a training step: what it computes and what it moves, at the rates of a machine.

    seconds = (operations / rate of matrix products + bytes moved / memory bandwidth) / efficiency

The first factor is what a machine could do at best; the efficiency is what runs on it have reached. Operations and
bytes come from the ledger, so that a model is answered from its config alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from fathom.model.anatomy import find_anatomy
from fathom.model.flops import count_flops
from fathom.model.flow import trace
from fathom.model.ledger import Ledger
from fathom.model.memory import MicroBatch

TIMES_MOVED = 6
"""How often a kept activation passes the memory: written, read by what follows, read in the backward pass, and as much
again for its gradient."""
UPDATE_PASSES = 5
"""How often the gradient's bytes pass the memory in an update: cleared, measured and read, and as many bytes of weights
read and written. What the optimizer keeps is read and written once."""


@dataclass(frozen=True)
class StepWork:
    """What one optimizer step takes on average."""

    flops: float
    moved_bytes: float
    tokens: float
    """Real tokens."""


@dataclass(frozen=True)
class Rates:
    """What a machine can do at best."""

    flops_per_s: float
    """Of matrix products of the model's width, in the precision of the run."""
    bytes_per_s: float
    """Read and written by a copy too large for the caches."""


@dataclass(frozen=True)
class LengthCost:
    """Operations of one sequence as a function of its length: c + a length + b length squared."""

    constant: float
    per_token: float
    per_pair: float

    def of(self, micro_batch: MicroBatch, *, packed: bool) -> float:
        """Return the operations of a pass."""
        tokens = micro_batch.slots if packed else micro_batch.positions
        pairs = micro_batch.pairs if packed else micro_batch.sequences * micro_batch.length**2
        return self.constant * micro_batch.sequences + self.per_token * tokens + self.per_pair * pairs


def ideal_seconds(work: StepWork, rates: Rates) -> float:
    """Return the seconds of a step at the machine's rates."""
    return work.flops / rates.flops_per_s + work.moved_bytes / rates.bytes_per_s


def length_cost(model: nn.Module, ledger: Ledger) -> LengthCost:
    """Find the cost of a sequence from three short ones: it is a quadratic, exactly."""
    anatomy = find_anatomy(model)
    config = model.get_submodule(anatomy.prefix.rstrip(".")).config
    pooled = ledger.setting.head_positions == 1
    counts = []
    for length in (1, 2, 3):
        flow = trace(model, anatomy, length)
        flops = count_flops(
            flow, config, head_positions=1 if pooled else length, recompute=ledger.setting.checkpointing
        )
        counts.append(sum(item.total for item in flops.values()))
    one, two, three = counts
    per_pair = (three - 2 * two + one) / 2
    per_token = two - one - 3 * per_pair
    return LengthCost(one - per_token - per_pair, per_token, per_pair)


def step_work(model: nn.Module, ledger: Ledger, steps: Sequence[Sequence[MicroBatch]], *, packed: bool) -> StepWork:
    """Return the average work of steps, each given as its passes.

    Args:
        model: As the ledger saw it.
        ledger: Of one of its passes; says what is kept and updated.
        steps: Some steps of a run.
        packed: Whether blocks run on packed tokens.
    """
    cost = length_cost(model, ledger)
    passes = [item for step in steps for item in step]
    flops = sum(cost.of(item, packed=packed) for item in passes)
    update = UPDATE_PASSES * ledger.memory.gradients + 2 * ledger.memory.optimizer
    moved = sum(_moved_bytes(ledger, item) for item in passes) + len(steps) * update
    tokens = sum(item.tokens for item in passes)
    return StepWork(flops / len(steps), moved / len(steps), tokens / len(steps))


def _moved_bytes(ledger: Ledger, micro_batch: MicroBatch) -> float:
    """Bytes of one pass: what the ledger's own pass keeps, in proportion, and every weight forward and backward."""
    memory, own = ledger.memory, ledger.micro_batch
    kept = (
        memory.activations * micro_batch.slots / own.slots
        + memory.attention * micro_batch.pairs / own.pairs
        + memory.outside * micro_batch.positions / own.positions
    )
    return TIMES_MOVED * kept + 2 * memory.weights
