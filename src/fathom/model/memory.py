"""Forecast of the peak memory of a training run on a processor, in named terms.

    peak = process + weights + copies + gradients + optimizer + activations + attention + outside + working + slack

States are counted exactly. Activations are counted from the tensors that autograd keeps in a block, as the packed
loop runs it; what cannot be counted (interpreter, libraries, allocator) are the constants below, each measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fathom.model import families
from fathom.model.flops import Place
from fathom.model.flow import AttentionFlow, BlockFlow, ModelFlow, StackFlow, Unit
from fathom.model.layout import attended, cut_buckets, num_slots

MEBIBYTE = 1 << 20
PROCESS_BYTES = 425 * MEBIBYTE
"""Resident memory of the interpreter with torch, transformers, one modeling file and the reading libraries imported, no
model loaded (torch alone: 219 MiB, with transformers and BERT's file: 371 MiB; Linux x86-64, torch 2.13 CPU)."""
LIBRARY_BYTES = 24 * MEBIBYTE
"""Thread stacks and what the matrix libraries keep in float32."""
PREPARED_BYTES = 96 * MEBIBYTE
"""Code and scratch that oneDNN keeps for bf16 products of every shape it met (the median that ten MiniLM runs lacked,
`benchmarks/results/minilm-*.json`)."""
SLACK_SHARE = 0.06
"""Freed blocks the allocator keeps, as a share of what comes and goes in a step."""
MASK_BYTES = 2
"""One dropout mask element."""

Precision = Literal["fp32", "bf16"]


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

    @classmethod
    def uniform(cls, sequences: int, length: int) -> MicroBatch:
        """Sequences of one length."""
        return cls.of([length] * sequences)

    @classmethod
    def of(cls, lengths: Sequence[int]) -> MicroBatch:
        """Sequences of these lengths, packed."""
        buckets = cut_buckets(np.array(sorted(lengths, reverse=True)))
        pairs = sum(bucket.sequences * bucket.length**2 for bucket in buckets)
        return cls(len(lengths), max(lengths), sum(lengths), attended(buckets), pairs)

    @property
    def slots(self) -> int:
        """Packed slots: the tokens, rounded up to one of few."""
        return num_slots(self.tokens, self.attended)

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
    trainable_vocabulary: int | None = None
    """Rows of the word embeddings that occur in the training data: only they have gradients and moments. None: all."""
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
    """What comes and goes while the highest block runs backward."""
    slack: int
    """What the allocator keeps of freed memory."""

    @property
    def total(self) -> int:
        """The forecast peak."""
        return sum(asdict(self).values())

    def to_json(self) -> dict[str, int]:
        """Return bytes by kind, with their total."""
        return {**asdict(self), "total": self.total}


@dataclass(frozen=True)
class Kept:
    """Bytes kept for the backward pass by one place of the model."""

    activations: int = 0
    attention: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.activations + other.activations, self.attention + other.attention)


def kept_bytes(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting) -> dict[Place, Kept]:
    """Count the tensors autograd keeps, by block and component."""
    kept: dict[Place, Kept] = defaultdict(Kept)
    for stack in flow.stacks:
        here = micro_batch.resized(stack.length)
        for block in stack.blocks:
            if not block.gradient:
                continue
            if setting.checkpointing:  # only the block's input stays
                kept[block.index, "norm"] += Kept(here.slots * block.width * setting.stream_bytes)
                continue
            for component, found in _block_kept(block, stack, config, here, setting).items():
                kept[block.index, component] += found
    kept[None, "embeddings"] += Kept(_embedding_kept(flow, config, micro_batch))
    kept[None, "head"] += Kept(_head_kept(flow, config, micro_batch, setting))
    return dict(kept)


def working_bytes(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting) -> int:
    """Count what comes and goes while the largest block runs, forward or backward."""
    largest = 0
    for stack in flow.stacks:
        here = micro_batch.resized(stack.length)
        for block in stack.blocks[:1] + stack.blocks[-1:]:
            inner = max((max(unit.inputs, unit.outputs) for unit in block.feed_forward), default=block.width)
            passing = here.slots * (2 * inner * setting.product_bytes + 3 * block.width * setting.stream_bytes)
            product = inner * block.width * setting.product_bytes
            scores = sum(2 * here.pairs * item.heads * 4 for item in block.attentions[:1])
            again = 0
            if setting.checkpointing and block.gradient:
                found = _block_kept(block, stack, config, here, setting).values()
                again = sum(kept.activations + kept.attention for kept in found)
            largest = max(largest, passing + product, scores) + again
    return largest


def _block_kept(
    block: BlockFlow, stack: StackFlow, config: Any, micro_batch: MicroBatch, setting: Setting
) -> dict[str, Kept]:
    """Tensors one block keeps: see the comments for which operation keeps which."""
    tokens = micro_batch.slots
    masks = MASK_BYTES * tokens * block.width if families.dropout_rate(config) > 0 else 0
    attention = Kept()
    for item in block.attentions:
        attention += _attention_kept(item, stack, config, micro_batch, setting)
        if (item.gradient or item.output.learns) and families.drops_after_attention(config):
            attention += Kept(masks)  # dropout after the projection out
    # a norm keeps its input and two statistics of every token; a norm written out keeps the normalised value too
    written_out = 4 if families.has_rms_norm(config) else 0
    per_norm = tokens * (block.width * (written_out + setting.stream_bytes) + 8)
    norms = Kept(block.num_norms * per_norm)
    feed_forward = Kept(_feed_forward_kept(block.feed_forward, config, tokens, setting) + masks)
    return {"attention": attention, "norm": norms, "feed-forward": feed_forward}


def _attention_kept(
    item: AttentionFlow, stack: StackFlow, config: Any, micro_batch: MicroBatch, setting: Setting
) -> Kept:
    tokens, size = micro_batch.slots, setting.product_bytes
    readers = sum(unit.keeps_input for unit in item.projections)
    kept = tokens * item.projections[0].inputs * size * setting.reads(readers)
    if item.output.keeps_input:
        kept += tokens * item.output.inputs * size
    kept += sum(_adapter_kept(unit, tokens, size) for unit in (*item.projections, item.output))
    if not item.gradient:
        return Kept(kept)
    if families.rotation_widens(config):
        size = max(size, setting.stream_bytes)
    kept += 3 * micro_batch.attended * item.width * size  # queries, keys and values as the products read them
    keys = stack.source_length if item.cross else stack.length
    pairs = micro_batch.pairs if keys == stack.length else tokens * keys
    masked = families.attention_dropout_rate(config) > 0
    return Kept(kept, pairs * item.heads * (size + (MASK_BYTES if masked else 0)))


def _feed_forward_kept(units: Sequence[Unit], config: Any, tokens: int, setting: Setting) -> int:
    if not units:
        return 0
    first, last = units[0], units[-1]
    readers = sum(unit.keeps_input for unit in units[:-1])
    kept = first.inputs * setting.reads(readers)
    if last.keeps_input:
        kept += last.inputs
    below = any(factor.input_gradient for unit in units for factor in unit.factors) or first.learns
    if below and len(units) > 1:
        kept += last.inputs * _activation_tensors(families.activation_name(config))
        gated = len(units) > 2 or first.outputs == 2 * last.inputs
        if gated:  # the product of the two branches keeps both
            kept += 2 * last.inputs
    size = setting.product_bytes
    return tokens * kept * size + sum(_adapter_kept(unit, tokens, size) for unit in units)


def _activation_tensors(name: str) -> int:
    """Tensors of the inner width the activation keeps beside what the next projection keeps."""
    if name == "relu":
        return 0  # keeps its output, which the projection keeps anyway
    return 4 if name == "gelu_new" else 1  # gelu_new is written out: cube, tanh and a product


def _adapter_kept(unit: Unit, tokens: int, size: int) -> int:
    """What an adapter's second matrix reads."""
    return sum(tokens * factor.inputs * size for factor in unit.factors[1:] if factor.inputs != unit.inputs)


def _embedding_kept(flow: ModelFlow, config: Any, micro_batch: MicroBatch) -> int:
    """The sum of the looked-up vectors that the first norm keeps, float32, and a mask, where anything there learns."""
    blocks = flow.stacks[0].blocks
    if not (flow.embeddings_learn and blocks):
        return 0
    mask = MASK_BYTES if families.dropout_rate(config) > 0 else 0
    return micro_batch.resized(flow.stacks[0].length).positions * blocks[0].width * (4 + mask)


def _head_kept(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting) -> int:
    """The last hidden states, what the head reads, and its logits as made, as log-probabilities and as gradient."""
    width = flow.stacks[-1].blocks[-1].width
    padded = micro_batch.positions
    unpacked = 4 * padded * width if flow.head_gradient else 0
    if flow.head_gradient and families.normalises_first(config):
        unpacked *= 2  # the norm after the last block keeps its input too
    if not flow.head:
        return unpacked
    positions = padded if setting.head_positions is None else micro_batch.sequences * setting.head_positions
    read = sum(unit.inputs for unit in flow.head if unit.keeps_input)
    mask = MASK_BYTES * width if families.dropout_rate(config) > 0 and flow.head_gradient else 0
    return unpacked + positions * (4 * (read + 3 * flow.head[-1].outputs) + mask)
