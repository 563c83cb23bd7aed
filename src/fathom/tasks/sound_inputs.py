"""Sounds as a model hears them: waveforms (wav2vec2, HuBERT) or spectrograms (AST, Whisper's encoder)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.data.draw import Draw
from fathom.data.example import Example, Features
from fathom.data.sound_augmentation import SoundAugmentation
from fathom.data.sounds import Samples, read_sound
from fathom.model.processors import spectrogram_samples
from fathom.tasks.labels import place

LEAST_SAMPLES = 400
"""What one frame of the wav2vec2 family sees; shorter sounds are lengthened by silence."""
FRAME_SECONDS = 0.02
"""Of the wav2vec2 family."""


class SoundInputs:
    """Decodes sounds, changes them in training, and makes model inputs of them.

    Args:
        extractor: The model's feature extractor.
        augmentation: What is changed in training.
        max_seconds: Longer sounds are cut there.
    """

    def __init__(self, extractor: Any, augmentation: SoundAugmentation, max_seconds: float) -> None:
        self.extractor = extractor
        self.augmentation = augmentation
        self.rate = int(extractor.sampling_rate)
        self.input_name = str(extractor.model_input_names[0])
        self.spectral = self._extract(np.zeros(self.rate, dtype=np.float32)).ndim == 2
        most = int(max_seconds * self.rate)
        self.most_samples = min(most, spectrogram_samples(extractor) or most) if self.spectral else most
        """Of a sound; the rest is not read."""

    @property
    def limit(self) -> str:
        """What is read of a sound at most, in words."""
        return f"{self.most_samples / self.rate:.3g} s"

    def samples(self, example: Example) -> Samples:
        """Return a whole sound at the model's rate, float32 [N]."""
        return read_sound(example["sound"], place(example), self.rate)

    def read(self, example: Example) -> Features:
        """Return `input_values` float32 [samples], or the spectrogram `input_features` [frames, bands].

        `truncated` is 1 where its end was cut.
        """
        samples_N = self.samples(example)
        told: Features = {"truncated": np.array(len(samples_N) > self.most_samples, dtype=np.int64)}
        samples_N = samples_N[: self.most_samples]
        if self.spectral:
            return {"input_features": self._extract(samples_N), **told}
        length = max(round(len(samples_N) / (self.rate * FRAME_SECONDS)), 1)
        return {"input_values": samples_N, "length": np.array(length, dtype=np.int64), **told}

    def batch(self, features: Sequence[Features], draw: Draw) -> dict[str, Tensor]:
        """Return what the model reads: samples [B, N], with a mask where the family has one; or spectra [B, T, M]."""
        if not self.spectral:
            return self.padded(self.waveforms(features, draw))
        found = [np.asarray(item["input_features"]) for item in features]
        if draw.training:
            found = [self.augmentation.spectrogram(frames, draw, row) for row, frames in enumerate(found)]
        return {self.input_name: torch.from_numpy(np.stack(found))}

    def waveforms(self, features: Sequence[Features], draw: Draw) -> list[Samples]:
        """Return the samples of a batch, in training as the augmentation changes them."""
        sounds = [np.asarray(item["input_values"]) for item in features]
        if draw.training:
            sounds = [self.augmentation.waveform(samples, draw, row) for row, samples in enumerate(sounds)]
        return sounds

    def padded(self, sounds: Sequence[Samples]) -> dict[str, Tensor]:
        """Return waveforms of any lengths as one batch [B, N], scaled as the extractor says."""
        long_enough = [lengthened(samples) for samples in sounds]
        made = self.extractor(long_enough, sampling_rate=self.rate, padding=True, return_tensors="pt")
        return {name: made[name] for name in (self.input_name, "attention_mask") if name in made}

    def spectra(self, sounds: Sequence[Samples]) -> dict[str, Tensor]:
        """Return the spectra of waveforms, all of the extractor's own length, as one batch [B, bands, frames]."""
        made = self.extractor(list(sounds), sampling_rate=self.rate, return_tensors="pt")
        return {self.input_name: made[self.input_name]}

    def _extract(self, samples_N: Samples) -> np.ndarray[Any, Any]:
        made = self.extractor([samples_N], sampling_rate=self.rate, return_tensors="np")
        return np.asarray(made[self.input_name][0], dtype=np.float32)


def lengthened(samples_N: Samples) -> Samples:
    """Return samples of which at least one frame can be made."""
    missing = LEAST_SAMPLES - len(samples_N)
    return np.pad(samples_N, (0, missing)) if missing > 0 else samples_N
