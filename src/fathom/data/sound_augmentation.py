"""Training sounds changed at random, drawn from the counter-based `Draw` as images are: waveforms or spectrograms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from pydantic import Field

from fathom.config import Part
from fathom.data.draw import Draw

Values = np.ndarray[Any, np.dtype[np.float32]]
STREAM = 7_002
"""Tells these draws from those of masking, noise and images."""


class SoundAugmentation(Part, ABC):
    """Changes one training sound."""

    kind: str
    """Name in the catalog."""

    @abstractmethod
    def waveform(self, samples_N: Values, draw: Draw, place: int) -> Values:
        """Return other samples, perhaps more or fewer of them.

        Args:
            samples_N: Between -1 and 1.
            draw: Of the batch.
            place: Of the sound in the batch.
        """

    @abstractmethod
    def spectrogram(self, frames_TM: Values, draw: Draw, place: int) -> Values:
        """Return a spectrogram of the same shape: frames by mel bands."""


class NoSoundAugmentation(SoundAugmentation):
    """Sounds as they are."""

    kind: Literal["none"] = "none"
    """Catalog name."""

    def waveform(self, samples_N: Values, draw: Draw, place: int) -> Values:
        """Return the samples."""
        return samples_N

    def spectrogram(self, frames_TM: Values, draw: Draw, place: int) -> Values:
        """Return the spectrogram."""
        return frames_TM


class StandardSoundAugmentation(SoundAugmentation):
    """Other speed, pitch, loudness and place in time, noise, and masks (SpecAugment, arXiv 1904.08779)."""

    kind: Literal["standard"] = "standard"
    """Catalog name."""
    speed: float = Field(0.15, ge=0, lt=1)
    """Most share by which a sound is faster or slower; a waveform's pitch goes with it."""
    pitch: int = Field(6, ge=0)
    """Most mel bands by which a spectrogram moves up or down; waveforms change pitch by `speed`."""
    shift: float = Field(0.1, ge=0, lt=1)
    """Most share of its length by which a sound comes later."""
    loudness: float = Field(0.3, ge=0, lt=1)
    """Most share by which a waveform's loudness changes."""
    noise: float = Field(0.02, ge=0)
    """Most noise, as a share of a waveform's loudest sample, or in a spectrogram's own units (times ten)."""
    masks: int = Field(2, ge=0)
    """Bands of time, and of a spectrogram's frequency too, that are blotted out."""
    mask_share: float = Field(0.15, ge=0, lt=1)
    """Most share of the time, or of the frequency, under one mask."""

    def waveform(self, samples_N: Values, draw: Draw, place: int) -> Values:
        """Draw speed, place, loudness, noise and masks of time."""
        chance = draw.generator(place, STREAM)
        length = max(round(len(samples_N) * (1.0 + self.speed * chance.uniform(-1.0, 1.0))), 1)
        changed = np.interp(np.linspace(0, len(samples_N) - 1, length), np.arange(len(samples_N)), samples_N)
        changed = np.concatenate([np.zeros(int(chance.uniform(0.0, self.shift) * length)), changed])
        changed = changed * (1.0 + self.loudness * chance.uniform(-1.0, 1.0))
        loudest = float(np.abs(changed).max())
        changed = changed + chance.standard_normal(len(changed)) * chance.uniform(0.0, self.noise) * loudest
        for _ in range(self.masks):
            begin, end = self._mask(chance, len(changed))
            changed[begin:end] = 0.0
        return changed.astype(np.float32)

    def spectrogram(self, frames_TM: Values, draw: Draw, place: int) -> Values:
        """Draw speed, pitch, place, noise and masks of time and frequency."""
        chance = draw.generator(place, STREAM)
        frames, bands = frames_TM.shape
        quiet = float(frames_TM.min())
        rate = 1.0 + self.speed * chance.uniform(-1.0, 1.0)
        late = chance.uniform(0.0, self.shift) * frames
        higher = int(chance.integers(-self.pitch, self.pitch + 1))
        wanted_T = (np.arange(frames) - late) * rate
        near_T = np.clip(np.round(wanted_T).astype(int), 0, frames - 1)
        changed = np.where(((wanted_T < 0) | (wanted_T > frames - 1))[:, None], quiet, frames_TM[near_T])
        changed = np.roll(changed, higher, axis=1)
        if higher:
            changed[:, slice(0, higher) if higher > 0 else slice(bands + higher, bands)] = quiet
        changed = changed + 10 * self.noise * chance.uniform(0.0, 1.0) * chance.standard_normal(changed.shape)
        fill = float(frames_TM.mean())
        for _ in range(self.masks):
            begin, end = self._mask(chance, frames)
            changed[begin:end] = fill
            begin, end = self._mask(chance, bands)
            changed[:, begin:end] = fill
        return changed.astype(np.float32)

    def _mask(self, chance: np.random.Generator, length: int) -> tuple[int, int]:
        width = int(chance.uniform(0.0, self.mask_share) * length)
        begin = int(chance.integers(0, length - width + 1))
        return begin, begin + width
