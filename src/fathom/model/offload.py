"""Activation offload: what a model keeps for the backward pass waits in the processor's memory, not in the GPU's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from torch.autograd.graph import save_on_cpu


def kept_on_host() -> AbstractContextManager[Any, None]:
    """Move every tensor that autograd keeps within the block to page-locked memory, and back when it is read.

    Copies run beside the GPU's arithmetic, in its stream; not a bit changes. With activation checkpointing these are
    the inputs of the blocks, for what a block computes again is kept by the checkpoint. Tensors that are on a processor
    already are copied there.
    """
    return save_on_cpu(pin_memory=True)
