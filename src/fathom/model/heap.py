"""How much of what a step holds leaves holes behind: glibc maps blocks of 32 MiB and more one by one and gives each
back whole; smaller ones lie in its heap, between others.
"""

from __future__ import annotations

from collections.abc import Mapping

from fathom.model.flops import Place
from fathom.model.flow import BlockFlow, ModelFlow
from fathom.model.kept import Kept
from fathom.model.memory import MicroBatch, Setting

MAPPED_BYTES = 32 << 20
"""glibc's largest threshold (`DEFAULT_MMAP_THRESHOLD_MAX`), which it reaches after such a block was freed."""


def heap_bytes(
    flow: ModelFlow, kept: Mapping[Place, Kept], micro_batch: MicroBatch, setting: Setting, working: int
) -> int:
    """Return the bytes of a step that lie in the heap.

    Args:
        flow: Of the model.
        kept: What its places keep for the backward pass.
        micro_batch: The pass.
        setting: How it keeps its numbers.
        working: What comes and goes beside that.
    """
    outside = sum(item.activations + item.attention for (depth, _), item in kept.items() if depth is None)
    inside, widest = 0, 0
    for stack in flow.stacks:
        here = micro_batch.resized(stack.length)
        for block in stack.blocks:
            inner = here.slots * _inner(block) * setting.product_bytes
            stream = here.slots * block.width * setting.stream_bytes
            widest = max(widest, inner, stream)
            if stream >= MAPPED_BYTES:
                continue
            for component in ("attention", "norm", "feed-forward"):
                found = kept.get((block.index, component), Kept())
                inside += _small(found.activations, inner if component == "feed-forward" else 0)
                inside += _small(found.attention, _scores(block, here, setting))
    return outside + inside + (working if widest < MAPPED_BYTES else 0)


def _small(total: int, tensor: int) -> int:
    """Return what is left of some bytes without the whole tensors of a size that is mapped."""
    return total if tensor < MAPPED_BYTES else total % tensor


def _inner(block: BlockFlow) -> int:
    return max((max(unit.inputs, unit.outputs) for unit in block.feed_forward), default=0)


def _scores(block: BlockFlow, micro_batch: MicroBatch, setting: Setting) -> int:
    heads = max((attention.heads for attention in block.attentions), default=0)
    return (micro_batch.largest_pairs or micro_batch.pairs) * heads * setting.product_bytes
