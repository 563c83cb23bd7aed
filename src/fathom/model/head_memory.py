"""What the head keeps and needs: a task's own, or a vocabulary's, whose logits are made a chunk at a time."""

from __future__ import annotations

from typing import Any

from fathom.model import families
from fathom.model.chunked_loss import CHUNK_BYTES, ROW_STEP, SOFTMAX_BYTES
from fathom.model.flow import ModelFlow
from fathom.model.memory import MASK_BYTES, MicroBatch, Setting


def head_kept(flow: ModelFlow, config: Any, micro_batch: MicroBatch, setting: Setting) -> int:
    """Count the last hidden states, what the head reads, and its logits as made, as log-probabilities and as gradient.

    Hidden states are put back on padded positions for the head, in float32.
    """
    width = flow.stacks[-1].blocks[-1].width
    padded = micro_batch.positions
    unpacked = 4 * padded * width if flow.head_gradient else 0
    if flow.head_gradient and families.normalises_first(config):
        unpacked *= 2  # the norm after the last block keeps its input too
    if not flow.head:
        return unpacked
    if setting.labelled_share is not None:
        return unpacked + _vocabulary_kept(flow, micro_batch, setting)
    positions = padded if setting.head_positions is None else micro_batch.sequences * setting.head_positions
    read = sum(unit.inputs for unit in flow.head if unit.keeps_input)
    mask = MASK_BYTES * width if families.dropout_rate(config) > 0 and flow.head_gradient else 0
    return unpacked + positions * (4 * (read + 3 * flow.head[-1].outputs) + mask)


def _vocabulary_kept(flow: ModelFlow, micro_batch: MicroBatch, setting: Setting) -> int:
    """What `ChunkedCrossEntropy` holds: buffers of one chunk, and a few vectors for each labelled position."""
    table = flow.head[-1]
    labelled = _labelled(micro_batch, setting)
    # chosen hidden states and their gradient; of a transform before the table, input, activation and norm
    vectors = labelled * table.inputs * 4 * (2 + 4 * (len(flow.head) - 1))
    chunk = 2 * _chunk_rows(flow, micro_batch, setting) * table.inputs * setting.product_bytes
    return vectors + chunk + 4 * max(SOFTMAX_BYTES, 4 * table.outputs) + buffer_bytes(flow, micro_batch, setting)


def buffer_bytes(flow: ModelFlow, micro_batch: MicroBatch, setting: Setting) -> int:
    """Return the bytes of the buffers that a vocabulary head keeps from step to step; 0 for other heads."""
    if setting.labelled_share is None or not flow.head:
        return 0
    table = flow.head[-1]
    logits = _chunk_rows(flow, micro_batch, setting) * table.outputs
    product = table.outputs * table.inputs if table.learns else 0
    return (logits + product) * setting.product_bytes


def _labelled(micro_batch: MicroBatch, setting: Setting) -> int:
    return round(micro_batch.tokens * (setting.labelled_share or 0.0))


def _chunk_rows(flow: ModelFlow, micro_batch: MicroBatch, setting: Setting) -> int:
    most = max(ROW_STEP, CHUNK_BYTES // (setting.product_bytes * flow.head[-1].outputs) // ROW_STEP * ROW_STEP)
    return min(most, -(-_labelled(micro_batch, setting) // ROW_STEP) * ROW_STEP)


def table_copy_bytes(flow: ModelFlow, setting: Setting) -> int:
    """Return the bytes of the low-precision copy of a frozen word table, which the vocabulary head makes once."""
    if setting.labelled_share is None or not flow.head or setting.product_bytes == 4:
        return 0
    table = flow.head[-1]
    return 0 if table.learns else table.outputs * table.inputs * setting.product_bytes


def head_scoring_bytes(flow: ModelFlow, micro_batch: MicroBatch, setting: Setting) -> int:
    """Return what scoring a pass needs at the head, gradients and `buffer_bytes` aside."""
    width = flow.stacks[-1].blocks[-1].width
    states = 4 * micro_batch.positions * width
    if not flow.head:
        return states
    words = flow.head[-1].outputs
    if setting.labelled_share is None:
        positions = micro_batch.positions if setting.head_positions is None else micro_batch.sequences
        return states + 2 * 4 * positions * words
    # logits are made in the buffer that training uses; a few rows are taken in float32 and as log-probabilities
    chunk = _chunk_rows(flow, micro_batch, setting) * flow.head[-1].inputs * setting.product_bytes
    return states + chunk + 2 * max(SOFTMAX_BYTES, 4 * words)
