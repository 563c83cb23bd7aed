"""How many positions the blocks of a model run on for a sound, by what its config says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

MASKS = ("mask_time_prob", "mask_feature_prob")
"""Config keys of the masks that the wav2vec2 family draws in training."""
DROPPED_LAYERS = ("layerdrop", "encoder_layerdrop", "decoder_layerdrop")
"""Config keys of the shares of blocks that are left out at random in training."""


def spectrogram_positions(config: PreTrainedConfig) -> int | None:
    """Return the patches of a spectrogram and the two tokens before them (AST); None for other families."""
    said: dict[str, Any] = config.to_dict()
    if not {"num_mel_bins", "max_length", "frequency_stride", "time_stride", "patch_size"} <= said.keys():
        return None
    patch = int(said["patch_size"])
    down = (int(said["num_mel_bins"]) - patch) // int(said["frequency_stride"]) + 1
    across = (int(said["max_length"]) - patch) // int(said["time_stride"]) + 1
    return down * across + 2


def num_frames(config: PreTrainedConfig, samples: int) -> int:
    """Return the frames that a waveform model's convolutions make of samples; at least one."""
    said: dict[str, Any] = config.to_dict()
    return convolved(said.get("conv_kernel", ()), said.get("conv_stride", ()), samples)


def convolved(kernels: Iterable[int], strides: Iterable[int], samples: int) -> int:
    """Return how many positions convolutions without padding leave of samples; at least one."""
    for kernel, stride in zip(kernels, strides, strict=True):
        samples = (samples - kernel) // stride + 1
    return max(int(samples), 1)


def sound_overrides(config: PreTrainedConfig) -> dict[str, float]:
    """Return config keys that switch off the masks a model draws from a generator of its own."""
    said = config.to_dict()
    return {key: 0.0 for key in MASKS if key in said}


def whole_blocks(config: PreTrainedConfig) -> dict[str, float]:
    """Return config keys that keep a model from leaving blocks out at random: of few blocks each is missed."""
    said = config.to_dict()
    return {key: 0.0 for key in DROPPED_LAYERS if key in said}
