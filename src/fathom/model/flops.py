"""Floating-point operations of training, counted from shapes: two per multiply-add of a matrix product.

Element-wise work (norms, activations, softmax) is left out, as `torch.utils.flop_counter` does; attention counts every
pair of positions, causal or not, because that is what is computed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fathom.model import families
from fathom.model.flow import AttentionFlow, BlockFlow, ModelFlow, StackFlow, Unit
from fathom.model.ladder import MODULE, LadderSpec

Place = tuple[int | None, str]
"""Block depth (None outside the blocks) and component."""


@dataclass(frozen=True)
class Flops:
    """Operations for one sequence."""

    forward: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        """Forward and backward."""
        return self.forward + self.backward

    def __add__(self, other: Flops) -> Flops:
        return Flops(self.forward + other.forward, self.backward + other.backward)


def count_flops(flow: ModelFlow, config: Any, *, head_positions: float, recompute: bool = False) -> dict[Place, Flops]:
    """Count the operations of one sequence by block and component.

    Args:
        flow: The model as the tuning strategy left it.
        config: Of the model.
        head_positions: Positions of a sequence the head runs on: 1 where it reads one pooled vector.
        recompute: Whether activation checkpointing runs each block's forward pass a second time.
    """
    counts: dict[Place, Flops] = defaultdict(Flops)
    counts[None, "embeddings"] += _sum(_embedding_units(flow, config))
    for stack in flow.stacks:
        for block in stack.blocks:
            for component, flops in _block_flops(block, stack).items():
                again = flops.forward if recompute and block.gradient else 0
                counts[block.index, component] += Flops(flops.forward, flops.backward + again)
    counts[None, "head"] += _sum(_unit_flops(unit, head_positions) for unit in flow.head)
    if flow.ladder is not None:
        for place, flops in _ladder_flops(flow.ladder, flow.stacks[-1].length):
            counts[place] += flops
    return dict(counts)


def _block_flops(block: BlockFlow, stack: StackFlow) -> dict[str, Flops]:
    attention = _sum(_attention_flops(item, stack) for item in block.attentions)
    feed_forward = _sum(_unit_flops(unit, stack.length) for unit in block.feed_forward)
    return {"attention": attention, "feed-forward": feed_forward}


def _attention_flops(attention: AttentionFlow, stack: StackFlow) -> Flops:
    keys = stack.source_length if attention.cross else stack.length
    products = 4 * stack.length * keys * attention.width
    total = Flops(products, 2 * products if attention.gradient else 0)
    for number, unit in enumerate(attention.projections):
        total += _unit_flops(unit, keys if attention.cross and number > 0 else stack.length)
    return total + _unit_flops(attention.output, stack.length)


def _unit_flops(unit: Unit, positions: float) -> Flops:
    forward = backward = 0.0
    for factor in unit.factors:
        once = 2 * positions * unit.uses * factor.inputs * factor.outputs
        forward += once
        backward += once * (factor.trains + factor.input_gradient)
    return Flops(round(forward), round(backward))


def _ladder_flops(spec: LadderSpec, length: int) -> Iterator[tuple[Place, Flops]]:
    """A rung behind each block, which hands no gradient back to it, and the way up again behind the last."""
    down = 2 * length * spec.width_read * spec.width
    network = 4 * length * spec.width * spec.inner
    for number in range(len(spec.blocks)):
        yield (number, MODULE), Flops(down + network, down + 2 * network)
    yield (None, "head"), Flops(down, 2 * down)


def _embedding_units(flow: ModelFlow, config: Any) -> Iterable[Flops]:
    patches = families.image_patches(config)
    for number, unit in enumerate(flow.embeddings):
        positions = patches if patches is not None else flow.stacks[0].length
        if families.reads_sound(config) and number == 0:
            positions *= 2  # the second convolution halves the frames
        yield _unit_flops(unit, positions)


def _sum(items: Iterable[Flops]) -> Flops:
    total = Flops()
    for item in items:
        total += item
    return total
