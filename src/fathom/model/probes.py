"""Fixed random inputs that two forms of a model are compared on: tokens, pixels, a spectrogram or a waveform."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fathom.errors import ModelError
from fathom.model.families import image_shape, reads_sound

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ROWS = 4
TOKENS = 32
STEPS_SHORTER = 7
"""Tokens by which each text is shorter than the one before it."""
SAMPLES = 8_000
"""Of a waveform: half a second at 16 kHz."""


def probe(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, Tensor]:
    """Return inputs of four rows, always the same ones for a model.

    Args:
        model: With its head; not wrapped.
        tokenizer: Of a model that reads text.
        max_length: Tokens of the longest text.

    Returns:
        `input_ids` and `attention_mask` [4, L] with unequal lengths, and `decoder_input_ids` of an encoder-decoder; or
        pixels [4, C, H, W], spectra [4, T, M] or samples [4, N].

    Raises:
        ModelError: What the model reads is none of these.
    """
    config, generator = model.config, torch.Generator().manual_seed(0)
    if model.main_input_name == "input_ids":
        return _texts(model, tokenizer, min(TOKENS, max_length), generator)
    shape = _shape(config, model.main_input_name)
    inputs = {model.main_input_name: torch.randn(shape, generator=generator)}
    if config.is_encoder_decoder:
        size = model.get_input_embeddings().num_embeddings
        inputs["decoder_input_ids"] = torch.randint(0, size, (ROWS, min(TOKENS, max_length)), generator=generator)
    return inputs


def _shape(config: PreTrainedConfig, name: str) -> tuple[int, ...]:
    said, pixels = config.to_dict(), image_shape(config)
    if name == "pixel_values" and pixels is not None:
        return (ROWS, int(said["num_channels"]), *pixels)
    if name == "input_features" and reads_sound(config) and "max_source_positions" in said:
        return ROWS, int(said["num_mel_bins"]), 2 * int(said["max_source_positions"])
    if name == "input_values" and reads_sound(config):
        return ROWS, int(said["max_length"]), int(said["num_mel_bins"])
    if name == "input_values":
        return ROWS, SAMPLES
    raise ModelError(
        f"no inputs are known on which two {config.model_type} models could be compared",
        mend="leave the model as it is",
    )


def _texts(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, length: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return random ordinary tokens; where two stacks read, each text ends as classifiers of theirs must see it end."""
    config = model.config
    ends = _ids(config.eos_token_id) if config.is_encoder_decoder else []
    plain_V = torch.ones(model.get_input_embeddings().num_embeddings, dtype=torch.bool)
    special = [token for token in {*tokenizer.all_special_ids, *ends} if token < len(plain_V)]
    plain_V[torch.tensor(special, dtype=torch.int64)] = False
    ordinary = plain_V.nonzero().flatten()
    lengths_B = torch.tensor([max(1, length - STEPS_SHORTER * row) for row in range(ROWS)])
    ids_BL = ordinary[torch.randint(0, len(ordinary), (ROWS, length), generator=generator)]
    mask_BL = torch.arange(length)[None, :] < lengths_B[:, None]
    ids_BL = torch.where(mask_BL, ids_BL, tokenizer.pad_token_id or 0)
    inputs = {"input_ids": ids_BL, "attention_mask": mask_BL.long()}
    if ends:
        ids_BL[torch.arange(ROWS), lengths_B - 1] = ends[0]
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids_BL.clone()
    return inputs


def _ids(token: int | Iterable[int] | None) -> list[int]:
    if token is None:
        return []
    return [token] if isinstance(token, int) else list(token)
