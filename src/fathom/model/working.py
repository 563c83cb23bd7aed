"""What comes and goes while blocks run: forward, backward, and in the products of attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fathom.model import families
from fathom.model.flow import BlockFlow, ModelFlow, StackFlow, Unit
from fathom.model.head_memory import head_scoring_bytes
from fathom.model.kept import Kept, block_kept, runs_flash
from fathom.model.memory import MASK_BYTES, MicroBatch, Setting


def working_bytes(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting) -> int:
    """Count what comes and goes while the largest block runs, forward or backward."""
    largest = 0
    for stack, block in _ends(flow, setting):
        here = micro_batch.resized(stack.length)
        kept = {name: item.activations + item.attention for name, item in _kept(block, stack, config, here, setting)}
        # the feed-forward's share is free again before attention has its turn
        attention = _attention_working(block, config, here, setting, masked=True) - kept["feed-forward"]
        again = sum(kept.values()) if setting.checkpointing or setting.offload else 0
        # where no block learns, the peak is in the forward pass, and what goes into its last product is counted here
        feed_forward = _feed_forward_working(block, here, setting, kept=stack.blocks[-1].gradient)
        largest = max(largest, max(feed_forward, attention) + again)
    return largest + view_bytes(flow, config, micro_batch, setting)


def scoring_bytes(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting) -> int:
    """Count what a pass without gradients takes: one block at a time, then the head."""
    blocks = 0
    for stack, block in _ends(flow, setting):
        here = micro_batch.resized(stack.length)
        attention = _attention_working(block, config, here, setting, masked=False)
        blocks = max(blocks, _feed_forward_working(block, here, setting, kept=False), attention)
    embedded = 4 * micro_batch.positions * flow.stacks[0].blocks[0].width
    head = head_scoring_bytes(flow, micro_batch, setting)
    return max(blocks + embedded, head) + view_bytes(flow, config, micro_batch, setting)


def view_bytes(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting) -> int:
    """Count what says which key a query sees, where not every key of its sequence is: made once for all blocks."""
    decoders = [stack for stack in flow.stacks if stack.stack.name == "decoder"]
    if not (decoders and decoders[0].blocks and decoders[0].blocks[0].attentions):
        return 0
    return micro_batch.pairs * decoders[0].blocks[0].attentions[0].heads * setting.product_bytes


def _kept(
    block: BlockFlow, stack: StackFlow, config: Any, micro_batch: MicroBatch, setting: Setting
) -> Iterator[tuple[str, Kept]]:
    """What a block keeps, by component; nothing where it has no backward pass."""
    found = block_kept(block, stack, config, micro_batch, setting)
    yield from ((name, item if block.gradient else Kept()) for name, item in found.items())


def _ends(flow: ModelFlow, setting: Setting) -> Iterator[tuple[StackFlow, BlockFlow]]:
    """The first and the last block that run, of each stack: those between are like one of them."""
    for stack in flow.stacks:
        running = [block for block in stack.blocks if block.index >= setting.first_block]
        yield from ((stack, block) for block in dict.fromkeys(running[:1] + running[-1:]))


def _feed_forward_working(block: BlockFlow, micro_batch: MicroBatch, setting: Setting, *, kept: bool = True) -> int:
    """The widest of its tensors and the stream; all that go into the last product, where `kept` does not count them."""
    inner = max((max(unit.inputs, unit.outputs) for unit in block.feed_forward), default=block.width)
    ups = 0 if kept else sum(round(unit.outputs * min(unit.uses, 1)) for unit in block.feed_forward[:-1])
    passing = micro_batch.slots * ((inner + ups) * setting.product_bytes + 3 * block.width * setting.stream_bytes)
    product = inner * block.width * setting.product_bytes
    added = max((_added_working(unit, micro_batch, setting) for unit in block.units), default=0)
    return passing + max(product, added)


def _added_working(unit: Unit, micro_batch: MicroBatch, setting: Setting) -> int:
    """What a strategy makes beside a projection."""
    if unit.added is None:
        return 0
    each = unit.added.passing_bytes(unit.inputs, unit.outputs)
    return micro_batch.slots * each + unit.added.working_bytes(unit.inputs, unit.outputs, setting.product_bytes)


def _attention_working(
    block: BlockFlow, config: Any, micro_batch: MicroBatch, setting: Setting, *, masked: bool
) -> int:
    """Gathered heads and their gradients, probabilities with and without their dropout, and scores in float32."""
    size = setting.product_bytes
    drops = masked and families.attention_dropout_rate(config) > 0
    # float32 probabilities are dropped by way of masks of their own width
    cells = size * (3 if drops else 2) + (MASK_BYTES if drops else 0) + (4 if drops and size == 4 else 0)
    found = 0
    flash = runs_flash(config, micro_batch, size, masked=masked)
    for item in block.attentions[:1]:
        heads = 4 * micro_batch.attended * item.width * size
        pairs = 0 if flash else micro_batch.pairs * cells + micro_batch.largest_pairs * 4
        found = heads + pairs * item.heads
    return found + micro_batch.slots * block.width * setting.stream_bytes * 2
