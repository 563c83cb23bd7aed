"""One sound file: mono samples at the rate a model reads, by a stated policy, or refused by name.

Channels are averaged. A sound of another rate is resampled by soxr in high quality. What has no sample, or samples that
are no numbers, is refused.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fathom.errors import DataError, MissingExtraError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64"})
"""Ends of names that are taken for sounds."""
MEND = "replace the file"

AT_ONCE = 1 << 20
"""Samples of each channel that are decoded at once."""

Samples = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class SoundFacts:
    """What a sound file holds."""

    rate: int
    channels: int
    seconds: float
    silent: bool
    """No sample differs from zero."""


def check_sound(data: bytes, where: str) -> SoundFacts:
    """Decode a sound to its end and return what it is.

    Raises:
        DataError: Not a sound, damaged, without a sample, or with samples that are no numbers; names the file.
    """
    samples_NC, rate = _decode(data, where)
    return SoundFacts(rate, samples_NC.shape[1], len(samples_NC) / rate, not samples_NC.any())


def read_sound(path: str, where: str, rate: int) -> Samples:
    """Return a sound file as mono float32 samples at a rate.

    Raises:
        DataError: The file is missing or damaged; names it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"the sound cannot be read: {error.strerror}", where=where, mend="check the path") from None
    samples_NC, own = _decode(data, where)
    mono_N = samples_NC.mean(axis=1, dtype=np.float32)
    return mono_N if own == rate else resample(mono_N, own, rate)


def resample(samples_N: Samples, rate: int, wanted: int) -> Samples:
    """Return samples at another rate; at least one."""
    try:
        import soxr
    except ImportError:
        raise MissingExtraError("soxr", "audio") from None
    changed: Samples = soxr.resample(samples_N, rate, wanted, quality="HQ").astype(np.float32)
    return changed if len(changed) else samples_N[:1]


class _Stream(io.BytesIO):
    """Bytes in which a damaged file may look before the beginning: libsndfile's callbacks cannot raise."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(max(offset, 0) if whence == io.SEEK_SET else offset, whence)


def _decode(data: bytes, where: str) -> tuple[Samples, int]:
    """Samples [N, channels] and their rate."""
    try:
        import soundfile
    except ImportError:
        raise MissingExtraError("soundfile", "audio", where) from None
    if not data:
        raise DataError("the file is empty", where=where, mend=MEND)
    try:
        with soundfile.SoundFile(_Stream(data)) as sound:
            rate, read = sound.samplerate, partial(sound.read, AT_ONCE, dtype="float32", always_2d=True)
            # piece by piece: how long a damaged file says it is may be more than any memory holds
            pieces: list[Samples] = [read()]
            while len(pieces[-1]):
                pieces.append(read())
    except soundfile.LibsndfileError as error:
        raise DataError(f"this is no sound, or it is damaged: {error.error_string}", where=where, mend=MEND) from None
    samples_NC = np.concatenate(pieces)
    if not len(samples_NC):
        raise DataError("the sound has no sample", where=where, mend=MEND)
    if not np.isfinite(samples_NC).all():
        raise DataError("the sound holds samples that are no numbers", where=where, mend=MEND)
    return samples_NC, int(rate)
