"""What autograd keeps for the backward pass, counted from the operations of a block as the packed loop runs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.model import families
from fathom.model.added import FLOAT_BYTES
from fathom.model.flash_attention import is_long
from fathom.model.flops import Place
from fathom.model.flow import AttentionFlow, BlockFlow, ModelFlow, StackFlow, Unit
from fathom.model.head_memory import head_kept
from fathom.model.ladder import MODULE, LadderSpec
from fathom.model.memory import MASK_BYTES, MicroBatch, Setting


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
            if not block.gradient or block.index < setting.first_block:
                continue
            if setting.offload:
                continue
            if setting.checkpointing:  # only the block's input stays
                kept[block.index, "norm"] += Kept(here.slots * block.width * setting.stream_bytes)
                continue
            for component, found in block_kept(block, stack, config, here, setting).items():
                kept[block.index, component] += found
    if flow.ladder is not None:
        for place, size in _ladder_kept(flow.ladder, micro_batch.resized(flow.stacks[-1].length).slots):
            kept[place] += Kept(size)
    kept[None, "embeddings"] += Kept(_embedding_kept(flow, config, micro_batch, setting))
    kept[None, "head"] += Kept(head_kept(flow, config, micro_batch, setting))
    return dict(kept)


def block_kept(
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
    # a norm keeps its input and its statistics of every token: mean and deviation, or the root mean square
    per_norm = tokens * (block.width * setting.stream_bytes + (4 if families.has_rms_norm(config) else 8))
    norms = Kept(block.num_norms * per_norm)
    feed_forward = Kept(_feed_forward_kept(block.feed_forward, config, tokens, setting) + masks)
    return {"attention": attention, "norm": norms, "feed-forward": feed_forward}


def _attention_kept(
    item: AttentionFlow, stack: StackFlow, config: Any, micro_batch: MicroBatch, setting: Setting
) -> Kept:
    tokens, size = micro_batch.slots, setting.product_bytes
    kept = tokens * (_inputs_kept(item.projections, setting) + _inputs_kept([item.output], setting))
    kept += sum(_added_kept(unit, tokens, size) for unit in (*item.projections, item.output))
    if not item.gradient:
        return Kept(kept)
    if not micro_batch.packed:
        return Kept(kept) + _padded_products_kept(item, stack, config, micro_batch, setting)
    if families.rotation_widens(config):
        size = max(size, setting.stream_bytes)
    kept += 3 * micro_batch.attended * item.width * size  # queries, keys and values as the products read them
    if runs_flash(config, micro_batch, size, masked=True):  # what comes out, and the sum of every row of weights
        return Kept(kept + micro_batch.attended * (item.width * size + item.heads * FLOAT_BYTES))
    keys = stack.source_length if item.cross else stack.length
    pairs = micro_batch.pairs if keys == stack.length else tokens * keys
    masked = families.attention_dropout_rate(config) > 0
    return Kept(kept, pairs * item.heads * (size + (MASK_BYTES if masked else 0)))


def runs_flash(config: Any, micro_batch: MicroBatch, size: int, *, masked: bool) -> bool:
    """Whether a pass holds no attention probabilities.

    Args:
        config: Of the model.
        micro_batch: The pass.
        size: Bytes of one number of queries, keys and values.
        masked: Whether dropout is on.
    """
    drops = masked and families.attention_dropout_rate(config) > 0
    plain = not (drops or families.caps_attention(config) or config.is_encoder_decoder)
    return plain and micro_batch.packed and is_long(micro_batch.length, size)


def _padded_products_kept(
    item: AttentionFlow, stack: StackFlow, config: Any, micro_batch: MicroBatch, setting: Setting
) -> Kept:
    """What torch's own attention keeps: the fused kernel takes no dropout, and the written-out form runs in float32."""
    keys = micro_batch.sequences * (stack.source_length if item.cross else 0) or micro_batch.attended
    cells = micro_batch.slots * stack.source_length if item.cross else micro_batch.pairs
    if families.attention_dropout_rate(config) == 0:
        wide = families.rotation_widens(config)
        size = max(setting.product_bytes, setting.stream_bytes) if wide else setting.product_bytes
        return Kept((2 * micro_batch.slots + 2 * keys) * item.width * size)
    heads = (micro_batch.slots + 2 * keys) * item.width * FLOAT_BYTES
    return Kept(heads, 3 * cells * item.heads * FLOAT_BYTES)  # probabilities, their mask and what is left of them


def _feed_forward_kept(units: Sequence[Unit], config: Any, tokens: int, setting: Setting) -> int:
    if not units:
        return 0
    first, last = units[0], units[-1]
    size = setting.product_bytes
    inputs = _inputs_kept(units[:-1], setting) + _inputs_kept([last], setting)
    kept = 0
    below = any(factor.input_gradient for unit in units for factor in unit.factors) or first.learns
    if below and len(units) > 1:
        activation = _activation_tensors(families.activation_name(config))
        gated = len(units) > 2 or first.outputs == 2 * last.inputs
        kept += last.inputs * (activation + 2 * gated)  # the product of the two branches keeps both
        if activation:  # what some projections keep of their own output is the very tensor that is kept behind them
            kept -= sum(unit.outputs for unit in units[:-1] if unit.added is not None and unit.added.keeps_output)
    return tokens * (inputs + kept * size) + sum(_added_kept(unit, tokens, size) for unit in units)


def _activation_tensors(name: str) -> int:
    """Tensors of the inner width the activation keeps beside what the next projection keeps."""
    if name == "relu":
        return 0  # keeps its output, which the projection keeps anyway
    return 1  # its input


def _inputs_kept(units: Sequence[Unit], setting: Setting) -> int:
    """Bytes a token keeps of what several products read: one tensor for all, unless they cast for themselves."""
    if not units:
        return 0
    size, keeping = setting.product_bytes, [unit for unit in units if unit.keeps_input]
    casting = [unit for unit in keeping if unit.added is not None and unit.added.casts_input and size < FLOAT_BYTES]
    own = sum(unit.inputs * unit.added.input_bytes(size) for unit in casting if unit.added is not None)
    return own + units[0].inputs * size * setting.reads(len(keeping) - len(casting))


def _added_kept(unit: Unit, tokens: int, size: int) -> int:
    """Bytes kept for what a strategy put beside a projection."""
    if unit.added is None:
        return 0
    sides = unit.inputs, unit.outputs
    return tokens * unit.added.kept_bytes(*sides, size) + unit.added.kept_weight_bytes(*sides)


def _ladder_kept(spec: LadderSpec, tokens: int) -> Iterator[tuple[Place, int]]:
    """What a ladder keeps behind each block, and behind the last for the way up again; all of it float32."""
    statistics = 2  # of a norm, for each token
    for number in range(len(spec.blocks)):
        # the block's output, normalised; both sides of the mix; what the norm reads and gives, and the activation
        mixed = 2 * spec.width if number else 0
        numbers = spec.width_read + mixed + 2 * spec.width + statistics + spec.inner
        yield (number, MODULE), tokens * numbers * FLOAT_BYTES
    yield (None, "head"), tokens * (2 * spec.width + statistics) * FLOAT_BYTES


def _embedding_kept(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting) -> int:
    """The sum of the looked-up vectors that the first norm keeps, float32, and a mask, where anything there learns."""
    blocks = flow.stacks[0].blocks
    if setting.first_block:  # what the run begins with, read from the cache
        return micro_batch.slots * blocks[0].width * setting.stream_bytes
    if not (flow.embeddings_learn and blocks):
        return 0
    mask = MASK_BYTES if families.dropout_rate(config) > 0 else 0
    return micro_batch.resized(flow.stacks[0].length).positions * blocks[0].width * (4 + mask)
