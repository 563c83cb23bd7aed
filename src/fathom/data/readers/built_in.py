"""Images and sounds that every machine has: scikit-learn's digits, tones and melodies that are computed.

They are written to the cache once, as PNG and WAV, and read from there like anybody's files.
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
from fathom.data.readers.speech_folder import SpeechFolderReader
from fathom.data.section import DataSection
from fathom.errors import DataError, FathomError, MissingExtraError

VERSION = 1
"""Of what is written; another one has a folder of its own in the cache."""
TEST_DIGITS = 360
RATE = 16_000
TONES = {"train": 480, "test": 120}
MELODIES = {"train": 480, "test": 120}
COMPUTED = frozenset({"digits", "tones", "melody", "shop", "headlines"})
"""What is read by its name alone, on every machine."""
Draws = np.random.Generator
Samples = np.ndarray[Any, np.dtype[np.float64]]


FOLDER_READERS: dict[Form, type[Reader]] = {
    "image": ImageFolderReader,
    "sound": SoundFolderReader,
    "speech": SpeechFolderReader,
}


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
        return FOLDER_READERS[self.form]().read(str(folder), form, options)

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
            chance = _chance(f"{split} {number}")
            kind = list(PITCHES)[number % len(PITCHES)]
            yield f"{kind}/{number:04}.wav", write_wav(_tone(PITCHES[kind], chance), RATE)


class MelodyReader(BuiltInReader):
    """Computed melodies in noise, a note for each digit of their transcript; `melody:train` 480, `melody:test` 120.

    Real speech is not so easy: notes are pure, and apart from each other.
    """

    name = "melody"
    form: ClassVar[Form] = "speech"

    def make(self, split: str) -> Iterator[tuple[str, bytes]]:
        """Yield the melodies as 16-bit WAV, and their digits beside them."""
        for number in range(MELODIES[split]):
            chance = _chance(f"melody {split} {number}")
            digits = "".join(str(digit) for digit in chance.integers(0, 10, int(chance.integers(3, 6))))
            yield f"{number:04}.wav", write_wav(melody(digits, chance), RATE)
            yield f"{number:04}.txt", digits.encode()


LOWEST_HERTZ, OCTAVES = 250.0, 0.45
"""Pitch of the digit 0, and from each digit to the next."""


def melody(digits: str, chance: Draws) -> Samples:
    """Return the notes of digits, each as long and as loud as it happens, with a pause after each, in noise."""
    loudness = chance.uniform(0.1, 0.4)
    parts = [np.zeros(int(chance.uniform(0.02, 0.06) * RATE))]
    for digit in map(int, digits):
        time_N = np.arange(int(chance.uniform(0.06, 0.1) * RATE)) / RATE
        hertz = LOWEST_HERTZ * 2.0 ** (OCTAVES * digit)
        note_N = np.sin(2 * np.pi * hertz * time_N + chance.uniform(0, 6))
        parts += [loudness * chance.uniform(0.8, 1.2) * note_N, np.zeros(int(chance.uniform(0.04, 0.06) * RATE))]
    samples_N = np.concatenate(parts)
    return samples_N + chance.standard_normal(len(samples_N)) * loudness * chance.uniform(0.02, 0.3)


def _chance(name: str) -> Draws:
    """Return the generator of one file: what it draws is a pure function of its name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.Philox(key=seed))


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
    return name if name in COMPUTED and ":" in path and not Path(path).exists() else None
