"""Activation checkpointing: blocks compute their activations again in the backward pass instead of keeping them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint, noop_context_fn
from transformers.modeling_layers import GradientCheckpointingLayer

from fathom.errors import ModelError
from fathom.model.ladder import attached
from fathom.model.virtual_tokens import IN_ATTENTION, peft_type


def checkpoint_blocks(
    model: nn.Module, block_paths: Iterable[str], context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn
) -> None:
    """Have every block of a model recompute itself.

    Args:
        model: In training mode only then; evaluation is not changed.
        block_paths: Paths of the blocks.
        context_fn: Makes the contexts of the first and the second computation.

    Raises:
        ModelError: The family's blocks do not take part in checkpointing, have no backward pass, or read a prefix.
    """
    if attached(model) is not None:
        raise ModelError(
            "beside a ladder no block has a backward pass, so there is nothing to compute again",
            where="training.activation_checkpointing",
            mend="leave it off",
        )
    if peft_type(model) in IN_ATTENTION:
        raise ModelError(
            "a block that computes its activations again takes no earlier keys: the prefix would be left out",
            where="training.activation_checkpointing",
            mend="leave it off, or use tuning 'prompt'",
        )
    for path in block_paths:
        block = model.get_submodule(path)
        if not isinstance(block, GradientCheckpointingLayer):
            raise ModelError(
                f"blocks of type {type(block).__name__} do not support activation checkpointing",
                where="training.activation_checkpointing",
                mend="leave it off",
            )
        block.gradient_checkpointing = True
        block._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, context_fn=context_fn)
