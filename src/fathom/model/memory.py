"""Forecast of the peak memory of a training run on a processor, in named terms.

    peak = process + weights + copies + gradients + optimizer + activations + attention + outside + working + prepared
        + slack + elsewhere

States are counted exactly. Activations are counted from the tensors that autograd keeps in a block, as the packed
loop runs it (`kept`, `working`, `head_memory`), oneDNN's code from the shapes of the run (`prepared`). What cannot be
counted are the constants below, each measured; a run asks its own process how large it is before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np

from fathom.model.layout import attended, cut_buckets, num_slots

MEBIBYTE = 1 << 20
PROCESS_BYTES = 425 * MEBIBYTE
"""Resident memory of the interpreter with torch, transformers, one modeling file and the reading libraries imported, no
model loaded (torch alone: 219 MiB, with transformers and BERT's file: 371 MiB; Linux x86-64, torch 2.13 CPU)."""
LIBRARY_BYTES = 32 * MEBIBYTE
"""Allowance for library pages first touched by a step, thread stacks and what the matrix libraries keep for themselves:
10 to 45 MiB were seen."""
Precision = Literal["fp32", "bf16"]

SLACK_SHARE: dict[Precision, float] = {"bf16": 0.35, "fp32": 0.7}
"""Freed blocks the allocator keeps, as a share of what comes and goes in its heap in a step: nothing after the first
step, 0.3 after five, 0.5 after twenty of ever new sizes (MiniLM at batch 64 and 128, glibc 2.36, whose aligned blocks
are not found again by a request of the same size). Tensors twice as large leave larger holes: 0.4 to 1.0 were seen in
float32, 0.1 to 0.55 in bf16. The loop gives back what is above the forecast."""
RECOMPUTED_SLACK = 2.0
"""Blocks that are computed again in the backward pass leave so many times the share: 0.5 in bf16, 1.6 in float32."""
SCORING_SLACK = 0.3
"""The share while scoring, which begins with nothing freed that is still kept."""
MASK_BYTES = 2
"""One dropout mask element."""


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch: what is in memory at once."""

    sequences: int
    length: int
    """Padded length: embeddings and heads run on it."""
    tokens: int
    """Real tokens: blocks run on them."""
    attended: int
    """Positions attention gathers: the tokens, and the padding of its buckets."""
    pairs: int
    """Positions a sequence compares, summed: the length of its bucket squared."""
    largest_pairs: int = 0
    """Those of the largest bucket: scores are made one bucket at a time."""
    packed: bool = True
    """Whether blocks run on tokens; on padded positions otherwise."""

    @classmethod
    def uniform(cls, sequences: int, length: int) -> MicroBatch:
        """Sequences of one length."""
        return cls.of([length] * sequences)

    @classmethod
    def of(cls, lengths: Sequence[int]) -> MicroBatch:
        """Sequences of these lengths, packed."""
        buckets = cut_buckets(np.array(sorted(lengths, reverse=True)))
        pairs = [bucket.sequences * bucket.length**2 for bucket in buckets]
        return cls(len(lengths), max(lengths), sum(lengths), attended(buckets), sum(pairs), max(pairs))

    @classmethod
    def padded(cls, lengths: Sequence[int], more_keys: int = 0) -> MicroBatch:
        """Sequences of these lengths, each padded to the longest; every query sees so many keys more (a prefix)."""
        positions = len(lengths) * max(lengths)
        pairs = positions * (max(lengths) + more_keys)
        return cls(
            len(lengths), max(lengths), positions, positions + len(lengths) * more_keys, pairs, pairs, packed=False
        )

    @property
    def slots(self) -> int:
        """Packed slots: the tokens, rounded up to one of few."""
        return num_slots(self.tokens, self.attended) if self.packed else self.tokens

    @property
    def positions(self) -> int:
        """Padded positions."""
        return self.sequences * self.length

    def resized(self, length: int) -> MicroBatch:
        """The same sequences in a stack with its own fixed number of positions."""
        return self if length == self.length else MicroBatch.uniform(self.sequences, length)


@dataclass(frozen=True)
class Setting:
    """How a run keeps its numbers."""

    precision: Precision = "fp32"
    """Of the blocks' matrix products."""
    stream: Precision = "fp32"
    """Of the hidden states between them."""
    moments: int = 2
    """float32 numbers kept for each trained parameter where no optimizer is given to the ledger; 2 for AdamW."""
    checkpointing: bool = False
    """Whether blocks are recomputed in the backward pass."""
    offload: bool = False
    """Whether what blocks keep for the backward pass is kept elsewhere than on the device whose memory is counted."""
    passing_gradients: bool = False
    """Whether the gradients of a block are freed by its update in the backward pass."""
    trainable_vocabulary: int | None = None
    """Rows of the word embeddings that occur in the training data: only they have gradients and moments. None: all."""
    first_block: int = 0
    """First block that runs, where the output of those below is read from a cache: they hold weights and no more."""
    labelled_share: float | None = None
    """Share of the tokens that carry a label, where the head is over the vocabulary and makes its logits in chunks."""
    head_positions: int | None = None
    """Positions of a sequence the head runs on; None: asked of the model (1 where it reads one pooled vector)."""

    @property
    def product_bytes(self) -> int:
        """Bytes of one number a matrix product reads or makes."""
        return 2 if self.precision == "bf16" else 4

    @property
    def stream_bytes(self) -> int:
        """Bytes of one number of the hidden states between blocks."""
        return 2 if self.stream == "bf16" else 4

    def reads(self, readers: int) -> int:
        """Copies that are kept of what several products read: each casts for itself where types differ."""
        return min(readers, 1) if self.product_bytes == self.stream_bytes else readers


@dataclass(frozen=True)
class Memory:
    """Peak resident bytes by kind."""

    process: int
    """Interpreter, torch, transformers and what their libraries keep."""
    weights: int
    copies: int
    """Low-precision copies of the blocks' matrices, and the trained rows of the word embeddings."""
    gradients: int
    optimizer: int
    activations: int
    """What the blocks keep for the backward pass, attention probabilities aside."""
    attention: int
    """Attention probabilities and their dropout masks: they grow with the square of the length."""
    outside: int
    """What embeddings, head and loss keep, on padded positions."""
    working: int
    """What comes and goes while the highest block runs backward; where gradients pass, those there are then."""
    prepared: int
    """Code that oneDNN keeps for every shape of a low-precision product."""
    slack: int
    """What the allocator keeps of freed memory."""
    elsewhere: int = 0
    """What loading before, or scoring between the steps takes above all of that; 0 where training is the peak."""

    @property
    def states(self) -> int:
        """What is there before the first step and stays."""
        return self.weights + self.copies + self.gradients + self.optimizer

    @property
    def passing(self) -> int:
        """What comes and goes in every step."""
        return self.activations + self.attention + self.outside + self.working

    @property
    def total(self) -> int:
        """The forecast peak."""
        return sum(asdict(self).values())

    def to_json(self) -> dict[str, int]:
        """Return bytes by kind, with their total."""
        return {**asdict(self), "total": self.total}

    def in_process(self, resident_bytes: int, peak_bytes: int, *, warm: bool = False) -> Memory:
        """Return the forecast of a process that is ready for its first step.

        Args:
            resident_bytes: What it takes now, every state in place: what the states do not explain is its own.
            peak_bytes: The most it has taken.
            warm: Whether it has made such steps before: its libraries and the code they prepared are there.
        """
        own = max(0, resident_bytes - self.states) + (0 if warm else LIBRARY_BYTES)
        ready = replace(self, process=own, prepared=0 if warm else self.prepared)
        return replace(ready, elsewhere=ready.elsewhere + max(0, peak_bytes - ready.total))
