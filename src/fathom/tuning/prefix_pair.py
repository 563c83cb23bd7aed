"""A prefix before what the decoder of an encoder-decoder writes, laid out as PEFT reads it.

PEFT gives the decoder's self-attention earlier keys and values, of which there are as many as a decoder's; those of the
encoder and of cross-attention in the paper it has not. It cuts the learned row into four parts for each block, two of
which it drops, and begins again from the front when the row ends: with an even number of blocks, the upper half would
share the lower half's keys, and half of the row would never learn. With an odd number every block has parts of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.model.families import num_heads


def pair_options(model: nn.Module, anatomy: Anatomy) -> dict[str, Any]:
    """Return the keywords of a prefix config for an encoder-decoder.

    Raises:
        ModelError: The decoder has fewer heads of keys than of queries.
    """
    inner: Any = model
    decoder = anatomy.stacks[1].blocks
    own = decoder[0].attention_modules[0]
    *projections, _ = [path for path in decoder[0].attention if path.startswith(f"{own}.")]
    widths = {int(model.get_submodule(path).get_parameter("weight").shape[0]) for path in projections}
    if len(widths) != 1:
        raise ModelError(
            f"tuning 'prefix' has keys for every head, and the decoder of {type(model).__name__} has fewer",
            mend="use tuning 'prompt', which puts virtual tokens before the source",
        )
    return {
        "num_transformer_submodules": 2,
        "num_layers": len(decoder) + 1 - len(decoder) % 2,
        "num_attention_heads": num_heads(inner.config, "decoder"),
        "token_dim": widths.pop(),
    }


def start_pair_from_words(adapted: nn.Module, body: nn.Module, words_1N: Tensor) -> None:
    """Let a prefix be what the decoder keeps of words, read by the encoder too; in place.

    Args:
        adapted: A `peft.PeftModel` with prefix tuning, without projection.
        body: The module inside that takes earlier keys and values; it is run without dropout.
        words_1N: Ids of at least as many tokens as the prefix has.
    """
    from transformers import DynamicCache, EncoderDecoderCache

    read: Any = EncoderDecoderCache(DynamicCache(), DynamicCache())
    training = body.training
    with torch.no_grad():
        body.eval()(input_ids=words_1N, decoder_input_ids=words_1N, past_key_values=read, use_cache=True)
    body.train(training)
    outer: Any = adapted
    config = outer.active_peft_config
    parts, count = 2 * config.num_layers, config.num_virtual_tokens
    row_NPD = outer.prompt_encoder[outer.active_adapter].embedding.weight.data.view(count, parts, -1)
    for number, layer in enumerate(read.self_attention_cache.layers):
        first = 4 * number % parts
        for place, states in ((first, layer.keys), (first + 1, layer.values)):
            row_NPD[:, place] = states[0, :, :count].transpose(0, 1).flatten(1)
