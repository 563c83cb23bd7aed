"""Virtual tokens of prompt adapters, run through the model as tokens are.

PEFT puts learned vectors before the word embeddings and hands the model embeddings instead of ids. A decoder's
classifier then no longer sees which tokens are padding and reads the wrong position, logits come back for the virtual
tokens too, and the packed layout is of another length. Here the ids are lengthened by a stand-in, and a hook puts the
learned vectors in its place behind the embedding table: positions, types, pooling and packing see ordinary tokens. What
is saved is PEFT's; without padding both give the same numbers.

Of an encoder-decoder only the encoder reads them, as in PEFT: its source is lengthened, the decoder's tokens are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EncoderDecoderCache

from fathom.errors import ModelError
from fathom.model.anatomy import find_anatomy
from fathom.model.families import most_positions
from fathom.model.packing import ATTENTION_NAME, owner_of
from fathom.model.two_stacks import ATTENTION_NAME as PAIR_ATTENTION_NAME
from fathom.model.two_stacks import two_stacks_of

BEFORE_EMBEDDINGS = ("PROMPT_TUNING", "P_TUNING")
IN_ATTENTION = ("PREFIX_TUNING",)
IGNORED_LABEL = -100
NO_PACKING = "prefix tuning brings keys and values from outside the sequence, which PEFT takes with padded batches only"


@dataclass
class _Reading:
    """How a model reads virtual tokens."""

    block: nn.Module
    """The first block: the packed model is found by it."""
    paired: bool
    """Whether a decoder stands behind the encoder that reads them."""
    vectors_ND: Tensor | None = None
    """What the hook behind the embedding table puts in, once in a forward pass of the adapter: the first table that is
    read is the encoder's, where a decoder shares it. None at any other time."""


def install(model: nn.Module) -> nn.Module:
    """Make a PEFT model with virtual tokens run as described above; any other model is left alone.

    Returns:
        The same model.
    """
    kind = peft_type(model)
    outer: Any = model
    if kind in IN_ATTENTION:
        _keep_padded(outer.get_base_model())
        outer.get_prompt = partial(_prompt_in_any_type, outer.get_prompt)
    if kind not in BEFORE_EMBEDDINGS:
        return model
    inner = outer.get_base_model()
    anatomy = find_anatomy(inner)
    reading = _Reading(inner.get_submodule(anatomy.blocks[0].path), len(anatomy.stacks) == 2)

    def insert(_: nn.Module, __: Any, output: Tensor) -> Tensor | None:
        vectors, reading.vectors_ND = reading.vectors_ND, None
        if vectors is None:
            return None
        virtual = vectors.to(output.dtype).expand(len(output), *vectors.shape)
        return torch.cat([virtual, output[:, len(vectors) :]], dim=1)

    reader = inner.get_encoder() if reading.paired else inner
    reader.get_input_embeddings().register_forward_hook(insert)
    outer.forward = partial(_forward, outer, reading)
    return model


def peft_type(model: nn.Module) -> str | None:
    """Return the name of the PEFT method around a model; None without one."""
    configs = vars(model).get("_peft_config")  # PEFT keeps it here for prompt adapters only
    if not configs:
        return None
    kind = next(iter(configs.values())).peft_type
    return str(kind.value)


def num_virtual_tokens(model: nn.Module) -> int:
    """Return the positions an adapter takes before every sequence."""
    configs = vars(model).get("_peft_config") or {}
    return sum(int(config.num_virtual_tokens) for config in configs.values())


def _forward(outer: Any, reading: _Reading, /, *, input_ids: Tensor, **words: Any) -> Any:
    inner = outer.get_base_model()
    count = outer.active_peft_config.num_virtual_tokens
    batch, length = input_ids.shape
    _check_positions(inner, count + length)
    pad = inner.config.get_text_config().pad_token_id
    stand_in = input_ids.new_full((batch, count), 1 if pad == 0 else 0)
    mask = words.pop("attention_mask", None)
    mask = torch.ones_like(input_ids) if mask is None else mask
    words["attention_mask"] = torch.cat([mask.new_ones(batch, count), mask], dim=1)
    if not reading.paired:
        _lengthen(words, input_ids, count)
    _lay_out(reading.block, words["attention_mask"])
    reading.vectors_ND = outer.get_prompt(batch_size=1)[0]
    try:
        output = inner(input_ids=torch.cat([stand_in, input_ids], dim=1), **words)
    finally:
        reading.vectors_ND = None
    for name in () if reading.paired else ("logits", "start_logits", "end_logits"):
        scores = output.get(name)
        if scores is not None and scores.dim() > 1 and scores.shape[:2] == (batch, count + length):
            output[name] = scores[:, count:]
    return output


def _lengthen(words: dict[str, Any], input_ids: Tensor, count: int) -> None:
    """Lengthen what a model is told of each of its tokens; in place."""
    for name, fill in (("token_type_ids", 0), ("labels", IGNORED_LABEL)):
        value = words.get(name)
        if value is not None and value.dim() == 2 and value.shape[1] == input_ids.shape[1]:
            words[name] = torch.cat([value.new_full((len(input_ids), count), fill), value], dim=1)


def _lay_out(block: nn.Module, mask: Tensor) -> None:
    """Lay the batch out anew, with its virtual tokens, where the blocks run packed."""
    pair = two_stacks_of(block)
    if pair is not None and pair.layout is not None:
        pair.prepare_source(mask)
    owner = owner_of(block)
    if owner is not None and owner.layout is not None:
        owner.prepare(mask)


def _check_positions(inner: Any, wanted: int) -> None:
    """Refuse sequences that the virtual tokens push over the model's positions."""
    limit = most_positions(inner.config)
    if limit is not None and wanted > limit:
        raise ModelError(
            f"{wanted} positions with the virtual tokens, and the model has {limit}",
            where="data.max_length",
            mend="lower data.max_length, or tuning.num_virtual_tokens",
        )


def _keep_padded(inner: Any) -> None:
    """Let `pack_model` find out that the blocks cannot run packed."""
    choose = inner.set_attn_implementation

    def guarded(name: str, *args: Any, **words: Any) -> Any:
        if name in (ATTENTION_NAME, PAIR_ATTENTION_NAME):
            raise NotImplementedError(NO_PACKING)
        return choose(name, *args, **words)

    inner.set_attn_implementation = guarded


def _prompt_in_any_type(get_prompt: Any, /, *args: Any, **words: Any) -> Any:
    """Return PEFT's cache of learned keys and values, ready to stand before keys of another type.

    The blocks may compute in bf16 while what is learned stays float32; attention takes one type only.
    """
    cache = get_prompt(*args, **words)
    for layer in (cache.self_attention_cache if isinstance(cache, EncoderDecoderCache) else cache).layers:
        layer.update = partial(_join, layer, layer.update)
    return cache


def _join(layer: Any, update: Any, key_states: Tensor, value_states: Tensor, *args: Any, **words: Any) -> Any:
    # keys are of the queries' type; values need not be: norms of queries and keys (Qwen3) lift only those to float32
    layer.keys, layer.values = layer.keys.to(key_states.dtype), layer.values.to(key_states.dtype)
    return update(key_states, value_states.to(key_states.dtype), *args, **words)
