"""Images and sounds that every machine has: scikit-learn's digits, and tones that are computed.

Both are written to the cache once, as PNG and WAV, and read from there like anybody's files.
"""

from __future__ import annotations

import hashlib
import io
import wave
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fathom import files
from fathom.data.readers.base import Form, Reader, Reading
from fathom.data.readers.folders import ImageFolderReader, SoundFolderReader
from fathom.data.section import DataSection
from fathom.errors import DataError, FathomError, MissingExtraError

VERSION = 1
"""Of what is written; another one has a folder of its own in the cache."""
TEST_DIGITS = 360
RATE = 16_000
TONES = {"train": 480, "test": 120}
Draws = np.random.Generator
Samples = np.ndarray[Any, np.dtype[np.float64]]


class BuiltInReader(Reader):
    """Writes its files to the cache where they are missing, and reads them as a folder."""

    name: ClassVar[str]
    form: ClassVar[Form]
    splits: ClassVar[tuple[str, ...]] = ("train", "test")

    def read(self, path: str, form: Form, options: DataSection) -> Reading:
        """Read one split; see `Reader.read`."""
        split = path.partition(":")[2] or "train"
        if split not in self.splits:
            known = ", ".join(f"{self.name}:{name}" for name in self.splits)
            raise DataError(f"no split '{split}'", where=path, mend=f"known: {known}")
        folder = files.cache_folder() / "built-in" / f"{self.name}-{split}-{VERSION}"
        if not folder.is_dir():
            try:
                with files.publish(folder) as temporary:
                    for file, data in self.make(split):
                        (temporary / file).parent.mkdir(parents=True, exist_ok=True)
                        (temporary / file).write_bytes(data)
            except FathomError:
                if not folder.is_dir():  # another process may have been first
                    raise
        reader = ImageFolderReader() if self.form == "image" else SoundFolderReader()
        return reader.read(str(folder), form, options)

    @abstractmethod
    def make(self, split: str) -> Iterator[tuple[str, bytes]]:
        """Yield paths within the folder and the bytes of their files."""


class DigitsReader(BuiltInReader):
    """Handwritten digits of 8 x 8 pixels in 16 greys, which scikit-learn brings: `digits:train` 1,437, `:test` 360.

    The test split is the last 360 in scikit-learn's order, which other writers wrote.
    """

    name = "digits"
    form: ClassVar[Form] = "image"

    def make(self, split: str) -> Iterator[tuple[str, bytes]]:
        """Yield the digits as PNG."""
        try:
            from PIL import Image
            from sklearn.datasets import load_digits
        except ImportError:
            raise MissingExtraError("scikit-learn", "vision", f"{self.name}:{split}") from None
        images, labels = load_digits(return_X_y=True)
        cut = len(labels) - TEST_DIGITS
        chosen = range(cut) if split == "train" else range(cut, len(labels))
        for number in chosen:
            grey = (images[number].reshape(8, 8) * (255 / 16)).round().astype(np.uint8)
            stream = io.BytesIO()
            Image.fromarray(grey).save(stream, "PNG")
            yield f"{labels[number]}/{number:04}.png", stream.getvalue()


class TonesReader(BuiltInReader):
    """Computed tones in noise, up to a second: rising, falling, steady, trembling; `tones:train` 480, `:test` 120."""

    name = "tones"
    form: ClassVar[Form] = "sound"

    def make(self, split: str) -> Iterator[tuple[str, bytes]]:
        """Yield the tones as 16-bit WAV; every one is a pure function of its split and number."""
        for number in range(TONES[split]):
            seed = int.from_bytes(hashlib.sha256(f"{split} {number}".encode()).digest()[:8], "big")
            chance = np.random.Generator(np.random.Philox(key=seed))
            kind = list(PITCHES)[number % len(PITCHES)]
            yield f"{kind}/{number:04}.wav", write_wav(_tone(PITCHES[kind], chance), RATE)


def _tone(pitch: Callable[[Samples, Draws], Samples], chance: Draws) -> Samples:
    seconds = chance.uniform(0.4, 1.0)
    time_N = np.linspace(0.0, 1.0, int(seconds * RATE), endpoint=False)
    hertz_N = chance.uniform(300.0, 900.0) * 2.0 ** pitch(time_N, chance)
    phase_N = 2 * np.pi * np.cumsum(hertz_N) / RATE
    overtones = sum(chance.uniform(0.0, 0.5) * np.sin(harmonic * phase_N) for harmonic in (2, 3))
    swell_N = np.minimum(1.0, 12.0 * np.minimum(time_N, 1.0 - time_N))
    noise_N = chance.standard_normal(len(time_N)) * chance.uniform(0.05, 0.4)
    return np.asarray(chance.uniform(0.1, 0.3) * (swell_N * (np.sin(phase_N) + overtones) + noise_N))


PITCHES: dict[str, Callable[[Samples, Draws], Samples]] = {
    "rising": lambda time_N, chance: chance.uniform(0.4, 1.2) * time_N,
    "falling": lambda time_N, chance: -chance.uniform(0.4, 1.2) * time_N,
    "steady": lambda time_N, chance: np.zeros_like(time_N),
    "trembling": lambda time_N, chance: chance.uniform(0.1, 0.3) * np.sin(2 * np.pi * chance.uniform(4, 9) * time_N),
}
"""Octaves above the first pitch, over the tone's time from 0 to 1."""


def write_wav(samples_N: Samples, rate: int) -> bytes:
    """Return samples between -1 and 1 as a 16-bit mono WAV file."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples_N, -1.0, 1.0) * 32767).round().astype("<i2").tobytes())
    return stream.getvalue()


def built_in(path: str) -> str | None:
    """Return the name of the built-in reader a path asks for, e.g. `digits:test`; None for any other path."""
    name = path.partition(":")[0]
    return name if name in {"digits", "tones", "shop"} and (":" in path) and not Path(path).exists() else None
