"""One label for a sound, read as a waveform (wav2vec2, HuBERT) or as a spectrogram (AST, Whisper's encoder)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from fathom.config import choice
from fathom.data.draw import Draw
from fathom.data.example import Example, Features
from fathom.data.sound_augmentation import NoSoundAugmentation, SoundAugmentation
from fathom.data.sounds import read_sound
from fathom.model.processors import NEW_RATE, load_feature_extractor, new_feature_extractor, spectrogram_samples
from fathom.model.sound import num_frames, sound_overrides, spectrogram_positions
from fathom.tasks.labels import place
from fathom.tasks.media import LabelledFiles, OpenLabelledFiles

FITTED_SOUNDS = 200
"""Training sounds of which a new model's extractor takes mean and deviation."""


class AudioClassification(LabelledFiles):
    """Audio classification: one label for a sound, from a folder for each class or a table of paths.

    Sounds are mixed to one channel and resampled to the model's rate. Waveforms run as padded batches sorted by length,
    for a model's convolutions see the padding; spectrograms all have one length.
    """

    form: ClassVar[Literal["sound"]] = "sound"

    kind: Literal["audio-classification"] = "audio-classification"
    """Catalog name."""
    augmentation: Annotated[SerializeAsAny[SoundAugmentation], choice("sound_augmentation")] = NoSoundAugmentation()
    """What is changed in training sounds, drawn anew in every epoch: none, standard, or `{kind, options}`."""
    max_seconds: float = Field(20.0, gt=0)
    """Longer sounds are cut there; a spectrogram model's own length may be shorter."""

    def load_tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """Load the model's feature extractor."""
        return load_feature_extractor(name)

    def new_processor(self, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Return the extractor of a new model's family, fitted to some of the training sounds."""
        step = max(len(examples) // FITTED_SOUNDS, 1)
        cut = int(self.max_seconds * NEW_RATE)
        sounds = (read_sound(one["sound"], place(one), NEW_RATE)[:cut] for one in examples[::step])
        return new_feature_extractor(config, sounds)

    def num_positions(self, config: PreTrainedConfig) -> int:
        """Return the patches of a spectrogram; of a waveform, the frames of the longest sound."""
        fixed = spectrogram_positions(config)
        return fixed if fixed is not None else num_frames(config, int(self.max_seconds * NEW_RATE))

    def model_overrides(self, config: PreTrainedConfig) -> dict[str, Any]:
        """Switch off masks that a model draws by itself: augmentation is drawn from the run's own counter."""
        return sound_overrides(config)

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenAudioTask:
        """Read the labels; `tokenizer` is the feature extractor."""
        return OpenAudioTask(self, tokenizer, {**self.read_labels(examples), "max_length": max_length})

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenAudioTask:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenAudioTask.of_state(self, tokenizer, state)


class OpenAudioTask(OpenLabelledFiles):
    """Audio classification with its labels and feature extractor."""

    auto_class: ClassVar[str] = "AutoModelForAudioClassification"
    part: AudioClassification

    def __init__(self, part: AudioClassification, processor: Any, state: Mapping[str, Any]) -> None:
        super().__init__(part, processor, state)
        self.kind = part.kind
        self.rate = int(processor.sampling_rate)
        self.input_name = str(processor.model_input_names[0])
        self.spectral = self._extract(np.zeros(self.rate, dtype=np.float32)).ndim == 2
        most = int(part.max_seconds * self.rate)
        self.most_samples = min(most, spectrogram_samples(processor) or most) if self.spectral else most
        """Of a sound; the rest is not read."""

    @property
    def limit(self) -> str:
        """What is read of a sound at most, in words."""
        return f"{self.most_samples / self.rate:.3g} s"

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and extractor."""
        return {**super().cache_key(), "most_samples": self.most_samples}

    def read(self, example: Example) -> Features:
        """Decode a sound: `input_values` float32 [samples], or the spectrogram `input_features` [frames, bands].

        `truncated` is 1 where its end was cut.
        """
        samples_N = read_sound(example["sound"], place(example), self.rate)
        told: Features = {"truncated": np.array(len(samples_N) > self.most_samples, dtype=np.int64)}
        samples_N = samples_N[: self.most_samples]
        if self.spectral:
            return {"input_features": self._extract(samples_N), **told}
        length = num_frames_of(self, len(samples_N))
        return {"input_values": samples_N, "length": np.array(length, dtype=np.int64), **told}

    def inputs(self, features: Sequence[Features], draw: Draw) -> dict[str, Tensor]:
        """Return what the model reads: samples [B, N], with a mask where the family has one; or spectra [B, T, M]."""
        change = self.part.augmentation
        if self.spectral:
            found = [np.asarray(item["input_features"]) for item in features]
            if draw.training:
                found = [change.spectrogram(frames, draw, row) for row, frames in enumerate(found)]
            return {self.input_name: torch.from_numpy(np.stack(found))}
        sounds = [np.asarray(item["input_values"]) for item in features]
        if draw.training:
            sounds = [change.waveform(samples, draw, row) for row, samples in enumerate(sounds)]
        sounds = [lengthened(samples) for samples in sounds]
        made = self.tokenizer(sounds, sampling_rate=self.rate, padding=True, return_tensors="pt")
        return {name: made[name] for name in (self.input_name, "attention_mask") if name in made}

    def _extract(self, samples_N: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        made = self.tokenizer([samples_N], sampling_rate=self.rate, return_tensors="np")
        return np.asarray(made[self.input_name][0], dtype=np.float32)


LEAST_SAMPLES = 400
"""What one frame of the wav2vec2 family sees; shorter sounds are lengthened by silence."""


def lengthened(samples_N: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return samples of which at least one frame can be made."""
    missing = LEAST_SAMPLES - len(samples_N)
    return np.pad(samples_N, (0, missing)) if missing > 0 else samples_N


def num_frames_of(task: OpenAudioTask, samples: int) -> int:
    """Return the frames that stand for a sound, for the forecast and for sorting by length: 20 ms each, as wav2vec2."""
    return max(round(samples / (task.rate * 0.02)), 1)
