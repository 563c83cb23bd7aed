"""What a training step takes: operations, bytes moved and operations started, counted before it is run.

Counts come from the ledger, so that a model is answered from its config alone. What they cost in seconds is a machine's
affair (`runs/step_fit.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from torch import nn

from fathom.model.anatomy import find_anatomy
from fathom.model.flops import count_flops
from fathom.model.flow import ModelFlow, trace
from fathom.model.ledger import Ledger, runs_at
from fathom.model.memory import MicroBatch, Setting

TIMES_MOVED = 6
"""How often a kept activation passes the memory: written, read by what follows, read in the backward pass, and as much
again for its gradient."""


@dataclass(frozen=True)
class StepWork:
    """What one optimizer step takes on average."""

    flops: float
    moved_bytes: float
    tokens: float
    """Real tokens."""
    block_passes: float = 0.0
    """Blocks run: each once forward and, where it has a backward pass, once more. What small steps spend their time on
    is starting operations."""
    added_operations: float = 0.0
    """Likewise for the operations that a strategy put beside single projections."""


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


def length_cost(model: nn.Module, ledger: Ledger) -> LengthCost:
    """Find the cost of a sequence from three short ones: it is a quadratic, exactly."""
    anatomy = find_anatomy(model)
    config = model.get_submodule(anatomy.prefix.rstrip(".")).config
    setting = ledger.setting
    labelled = 1.0 if setting.labelled_share is None else setting.labelled_share
    counts = []
    for length in (1, 2, 3):
        flow = trace(model, anatomy, length)
        positions = 1 if setting.head_positions == 1 else length * labelled
        flops = count_flops(flow, config, head_positions=positions, recompute=setting.checkpointing)
        counts.append(sum(item.total for place, item in flops.items() if runs_at(place, setting)))
    one, two, three = counts
    per_pair = (three - 2 * two + one) / 2
    per_token = two - one - 3 * per_pair
    return LengthCost(one - per_token - per_pair, per_token, per_pair)


def step_work(
    model: nn.Module,
    ledger: Ledger,
    steps: Sequence[Sequence[MicroBatch]],
    *,
    packed: bool,
    update_flops: float = 0.0,
    update_bytes: float = 0.0,
) -> StepWork:
    """Return the average work of steps, each given as its passes.

    Args:
        model: As the ledger saw it.
        ledger: Of one of its passes; says what is kept and updated.
        steps: Some steps of a run.
        packed: Whether blocks run on packed tokens.
        update_flops: Of the optimizer's products in one update.
        update_bytes: That pass the memory in one update.
    """
    cost = length_cost(model, ledger)
    passes = [item for step in steps for item in step]
    flops = sum(cost.of(item, packed=packed) for item in passes)
    moved = sum(_moved_bytes(ledger, item) for item in passes) + len(steps) * update_bytes
    tokens = sum(item.tokens for item in passes)
    started = (len(passes) * count for count in _started(trace(model, find_anatomy(model), 1), ledger.setting))
    totals = (flops + len(steps) * update_flops, moved, tokens, *started)
    return StepWork(*(total / len(steps) for total in totals))


def mean_work(parts: Sequence[tuple[float, StepWork]]) -> StepWork:
    """Return the work of an average step of a run that has steps of several kinds, given with their shares."""
    rows = [[share * number for number in astuple(work)] for share, work in parts]
    return StepWork(*(sum(column) for column in zip(*rows, strict=True)))


def _started(flow: ModelFlow, setting: Setting) -> tuple[int, int]:
    """Blocks that one pass runs, forward and backward, and the added operations in them."""
    blocks = added = 0
    for block in (block for stack in flow.stacks for block in stack.blocks):
        if runs_at((block.index, ""), setting):
            times = 2 + setting.checkpointing if block.gradient else 1
            blocks += times
            added += times * sum(unit.added.operations for unit in block.units if unit.added is not None)
    return blocks, added


def _moved_bytes(ledger: Ledger, micro_batch: MicroBatch) -> float:
    """Bytes of one pass: what the ledger's own pass keeps, in proportion, and the weights that run, both ways.

    Of an embedding table only the rows looked up are read, which is little.
    """
    memory, own = ledger.memory, ledger.micro_batch
    kept = (
        memory.activations * micro_batch.slots / own.slots
        + memory.attention * micro_batch.pairs / own.pairs
        + memory.outside * micro_batch.positions / own.positions
    )
    weights = sum(
        row.weight_bytes
        for row in ledger.rows
        if row.component != "embeddings" and runs_at((row.depth, row.component), ledger.setting)
    )
    return TIMES_MOVED * kept + 2 * weights
