"""Keys and values of real words, as the beginning of a prefix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fathom.errors import ModelError


def start_from_words(adapted: nn.Module, body: nn.Module, words_1N: Tensor) -> None:
    """Let a prefix be what the model keeps of words that it has read; in place.

    A decoder then answers at first as if the words stood before every text.

    Args:
        adapted: A `peft.PeftModel` with prefix tuning, without projection.
        body: The module inside that takes earlier keys and values; it is run without dropout.
        words_1N: Ids of at least as many tokens as the prefix has; the first are taken, the rest is read beside.

    Raises:
        ModelError: The keys of the blocks differ in shape, or some blocks have none of their own.
    """
    from peft import initialize_kv_prefix_from_past_key_values
    from transformers import DynamicCache

    read: Any = DynamicCache()
    training = body.training
    with torch.no_grad():
        body.eval()(input_ids=words_1N, attention_mask=torch.ones_like(words_1N), past_key_values=read)
    body.train(training)
    outer: Any = adapted
    config = outer.active_peft_config
    heads = config.num_attention_heads
    wanted = [(heads, config.token_dim // heads)] * config.num_layers
    found = [None if layer.keys is None else (layer.keys.shape[1], layer.keys.shape[3]) for layer in read.layers]
    if found != wanted:
        raise ModelError(
            "the keys of this model's blocks differ in shape, or some blocks have none: no words can begin a prefix",
            where="tuning.initialization",
            mend="write tuning.initialization=random",
        )
    initialize_kv_prefix_from_past_key_values(adapted, past_key_values=read)
