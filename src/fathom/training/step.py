"""One step: the exact gradient of a whole batch, however it has to be cut into passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from fathom.data.batch import cut, padded_groups
from fathom.data.corpus.mixture import MixtureSampler
from fathom.data.draw import Draw
from fathom.data.sampler import Indices
from fathom.data.sequences import Sequences
from fathom.errors import TrainingError
from fathom.log import get_console
from fathom.model.compute import Compute
from fathom.model.dropout import DropoutSource
from fathom.model.frozen import NOTHING, FrozenPart
from fathom.model.packing import PackedModel
from fathom.model.parameters import FlatParameters
from fathom.model.vocabulary import VocabularyHead
from fathom.tasks.base import Batch, OpenTask
from fathom.training.forward import Normalizers, Runner, make_batch
from fathom.training.whole_batch import MaskDraws, add_gradient_of_whole
from fathom.tuning.stages import Stages


@dataclass
class Workload:
    """What is trained: the model made ready, its task and its tokens.

    Attributes:
        model: In training mode, with `requires_grad` set.
        packed: How its blocks run.
        parameters: Its trainable parameters.
        compute: Its leaves.
        dropout: Where masks come from; None where torch's generator is used.
        task: The live task.
        store: The training split.
        seed: Of dropout.
        most_tokens: Most tokens in one forward pass; halved when memory runs out.
        vocabulary: The model's vocabulary head, where the task is over the vocabulary.
        sampler: Which sequences make up a step; None for all of them in an order of the seed.
        penalty: What the tuning strategy adds to the mean loss of a step, if anything.
        stages: The parts of the model that learn in turn, where the strategy has such.
        frozen: What runs without dropout, for it never learns.
        offload: Whether what the model keeps for the backward pass goes to the processor's memory.
    """

    model: nn.Module
    packed: PackedModel
    parameters: FlatParameters
    compute: Compute
    dropout: DropoutSource | None
    task: OpenTask
    store: Sequences
    seed: int
    most_tokens: int | None = None
    vocabulary: VocabularyHead | None = None
    sampler: MixtureSampler | None = None
    penalty: Callable[[], Tensor | None] | None = None
    stages: Stages | None = None
    frozen: FrozenPart = NOTHING
    offload: bool = False
    runner: Runner = field(init=False)
    num_tokens: Indices = field(init=False)
    """Of each sequence, int64, however many of them are computed."""

    def __post_init__(self) -> None:
        self.num_tokens = self.store.lengths
        self.runner = Runner(self.model, self.packed, self.task, self.vocabulary, self.offload)

    @property
    def num_sequences(self) -> int:
        """Sequences of one epoch."""
        return len(self.store) if self.sampler is None else self.sampler.size

    def make_batch(self, rows: Indices, step: int) -> Batch:
        """Put sequences of the store into one batch."""
        return make_batch(self.task, self.store, rows, Draw(self.seed, step, rows))

    def train_mode(self) -> None:
        """Put the model in training mode, what never learns excepted."""
        self.model.train()
        self.frozen.hold_still()


@dataclass(frozen=True)
class StepResult:
    """The task's loss of a batch, and the norm of its gradient, a strategy's penalty included, in the flat buffers."""

    loss: float
    grad_norm: float
    tokens: int
    side_loss: float | None = None
    """The second objective's part of the loss; None where the task has none."""


def compute_gradient(work: Workload, rows: Indices, step: int) -> StepResult:
    """Compute the gradient of one batch; halve the micro-batch and begin again when memory runs out.

    Args:
        work: What is trained.
        rows: Sequences of the batch.
        step: Counted from 0; keys the dropout masks.

    Raises:
        TrainingError: Memory does not hold a single sequence.
    """
    while True:
        try:
            return _accumulate(work, rows, step)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            _halve(work, rows, step)


def compute_gradient_in_float32(work: Workload, rows: Indices, step: int) -> StepResult:
    """Compute the same batch again without low-precision arithmetic."""
    with in_float32(work):
        return compute_gradient(work, rows, step)


@contextmanager
def in_float32(work: Workload) -> Iterator[None]:
    """Let a workload compute without low-precision arithmetic within the block."""
    compute, packed = work.compute, work.packed
    dtype, stream = compute.dtype, packed.stream_dtype
    compute.dtype, packed.stream_dtype = torch.float32, None
    if work.vocabulary is not None:
        work.vocabulary.dtype = torch.float32
    try:
        yield
    finally:
        compute.dtype, packed.stream_dtype = dtype, stream
        if work.vocabulary is not None:
            work.vocabulary.dtype = dtype


def _accumulate(work: Workload, rows: Indices, step: int) -> StepResult:
    batches = [work.make_batch(part, step) for part in passes(work, rows)]
    work.parameters.begin_step(work.compute.direct)
    sides: list[float] = []
    if work.task.whole_batch and len(batches) > 1:
        loss = add_gradient_of_whole(work.runner, batches, MaskDraws(work.dropout, work.seed, step))
    else:
        normalizers = Normalizers.of(work.task, batches)
        loss = 0.0
        for index, batch in enumerate(batches):
            if work.dropout is not None:
                work.dropout.start(work.seed, step, index)
            found = work.runner.loss(work.runner.place(batch), normalizers)
            found.total.backward()
            loss += found.total.item()
            side = found.side_value
            sides += [] if side is None else [side]
    penalty = None if work.penalty is None else work.penalty()
    if penalty is not None:
        penalty.backward()
    work.parameters.end_step()
    tokens = int(work.num_tokens[rows].sum())
    return StepResult(loss, work.parameters.norm().item(), tokens, sum(sides) if sides else None)


def passes(work: Workload, rows: Indices) -> list[Indices]:
    """Cut a batch into forward passes: as few as memory allows; by length where the model runs padded.

    Padded batches of unequal lengths are bucketed: sorted by length and cut into a few groups, each padded to its
    own longest.
    """
    groups = [rows]
    if not work.packed.packed:
        groups = [rows[group] for group in padded_groups(work.store.lengths[rows])]
    return [group[part] for group in groups for part in cut(work.store.lengths[group], work.most_tokens)]


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory is exhausted."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        sign in text for sign in ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
    )


def _halve(work: Workload, rows: Indices, step: int) -> None:
    lengths = work.store.lengths[rows]
    in_use = min(work.most_tokens or int(lengths.sum()), int(lengths.sum()))
    if in_use <= int(np.max(lengths)):
        raise TrainingError(
            f"step {step + 1}: memory does not hold one sequence of {int(np.max(lengths))} tokens",
            mend="lower data.max_length, or set training.activation_checkpointing: true",
        )
    work.most_tokens = max(in_use // 2, 1)
    get_console().warn(
        f"step {step + 1}: out of memory; the batch is now cut into passes of at most {work.most_tokens:,} tokens, "
        "which changes rounding and dropout's draws, not the mathematics"
    )
