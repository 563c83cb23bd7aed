"""Memory that oneDNN keeps for every low-precision matrix product it has met.

For each shape of a bf16 product the library writes machine code and keeps it, with its descriptions, for the shapes of
`MOST_PRODUCTS` products. Products in float32 are MKL's, which keeps nothing. So the number of distinct shapes of a run
decides: the packed slots of its steps, rounded to few values for this very reason, and the buckets of its attention.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fathom.model.flow import BlockFlow, ModelFlow
from fathom.model.layout import attended, cut_buckets, num_slots
from fathom.model.memory import MicroBatch, Setting

PRODUCT_BYTES = 640 << 10
"""Resident bytes for one shape: 620 to 750 KiB measured on a processor with avx512_bf16, over 100 shapes each of a
linear map, of its gradient and of a batched product (torch 2.13, oneDNN 3)."""
MOST_PRODUCTS = 1024
"""oneDNN's own limit (ONEDNN_PRIMITIVE_CACHE_CAPACITY)."""
ATTENTION_FORWARD, ATTENTION_BACKWARD = 2, 4
"""Batched products of one bucket."""


@dataclass(frozen=True)
class Layouts:
    """The distinct shapes of the passes of a run."""

    slots: int = 1
    """Different numbers of packed slots."""
    buckets: int = 1
    """Different rectangles that attention works on."""

    @classmethod
    def of(cls, passes: Iterable[Sequence[int]], *, packed: bool = True) -> Layouts:
        """Count those of passes, each given as the lengths of its sequences."""
        slots: set[int] = set()
        rectangles: set[tuple[int, int]] = set()
        for lengths in passes:
            if not packed:
                slots.add(len(lengths) * max(lengths))
                rectangles.add((len(lengths), max(lengths)))
                continue
            buckets = cut_buckets(np.array(sorted(lengths, reverse=True)))
            slots.add(num_slots(sum(lengths), attended(buckets)))
            rectangles |= {(bucket.sequences, bucket.length) for bucket in buckets}
        return cls(len(slots), len(rectangles))


def prepared_bytes(flow: ModelFlow, setting: Setting, training: Layouts, scoring: Layouts | None = None) -> int:
    """Return what is kept for the products of a run.

    Args:
        flow: The model as the tuning strategy left it.
        setting: Its precision.
        training: Shapes of the passes of the training steps.
        scoring: Of the passes of an evaluation that training has not met, if any.
    """
    if setting.precision != "bf16":
        return 0
    blocks = [block for stack in flow.stacks for block in stack.blocks if block.index >= setting.first_block]
    forward, backward = _linear_products(blocks)
    learns = any(attention.gradient for block in blocks for attention in block.attentions)
    products = training.slots * (forward + backward)
    products += training.buckets * (ATTENTION_FORWARD + (ATTENTION_BACKWARD if learns else 0))
    if scoring is not None:
        products += scoring.slots * forward + scoring.buckets * ATTENTION_FORWARD
    return PRODUCT_BYTES * min(products, MOST_PRODUCTS)


def _linear_products(blocks: Sequence[BlockFlow]) -> tuple[int, int]:
    """Distinct products of one number of slots, forward and backward: equal shapes are prepared once."""
    forward: set[tuple[int, int]] = set()
    backward: set[tuple[str, int, int]] = set()
    for unit in (unit for block in blocks for unit in block.units):
        # AdaLoRA's thin products are made in float32
        in_float32 = unit.added is not None and unit.added.kind == "adalora"
        for factor in unit.factors[:1] if in_float32 else unit.factors:
            forward.add((factor.inputs, factor.outputs))
            if factor.input_gradient:
                backward.add(("input", factor.inputs, factor.outputs))
            if factor.trains:
                backward.add(("weight", factor.inputs, factor.outputs))
        if unit.learns and (unit.added is None or unit.added.kind in ("chosen", "gated")):
            backward.add(("bias", 1, unit.outputs))
    return len(forward), len(backward)


def micro_batch_layouts(micro_batch: MicroBatch) -> Layouts:
    """Return the shapes of passes of one kind: all that is known where no data is."""
    return Layouts(1, max(1, -(-micro_batch.sequences // 8)) if micro_batch.largest_pairs < micro_batch.pairs else 1)
