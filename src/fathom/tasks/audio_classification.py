"""One label for a sound, read as a waveform (wav2vec2, HuBERT) or as a spectrogram (AST, Whisper's encoder)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from fathom.config import choice
from fathom.data.draw import Draw
from fathom.data.example import Example, Features
from fathom.data.sound_augmentation import NoSoundAugmentation, SoundAugmentation
from fathom.data.sounds import read_sound
from fathom.model.processors import NEW_RATE, load_feature_extractor, new_feature_extractor
from fathom.model.sound import num_frames, sound_overrides, spectrogram_positions
from fathom.tasks.labels import place
from fathom.tasks.media import LabelledFiles, MediaTask, OpenLabelledFiles
from fathom.tasks.sound_inputs import SoundInputs

FITTED_SOUNDS = 200
"""Training sounds of which a new model's extractor takes mean and deviation."""


class AudioClassification(LabelledFiles):
    """Audio classification: one label for a sound, from a folder for each class or a table of paths.

    Sounds are mixed to one channel and resampled to the model's rate. Waveforms run as padded batches sorted by length,
    for a model's convolutions see the padding; spectrograms all have one length.
    """

    form: ClassVar[Literal["sound"]] = "sound"
    auto_class: ClassVar[str] = "AutoModelForAudioClassification"

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

    def fixed_keys(self, config: PreTrainedConfig) -> dict[str, Any]:
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

    part: AudioClassification

    def __init__(self, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> None:
        super().__init__(part, processor, state)
        self.sounds = SoundInputs(processor, self.part.augmentation, self.part.max_seconds)

    @property
    def limit(self) -> str:
        """What is read of a sound at most, in words."""
        return self.sounds.limit

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and extractor."""
        return {**super().cache_key(), "most_samples": self.sounds.most_samples}

    def read(self, example: Example) -> list[Features]:
        """Decode a sound; see `SoundInputs.read`."""
        return [self.sounds.read(example)]

    def inputs(self, features: Sequence[Features], draw: Draw) -> dict[str, Tensor]:
        """Return what the model reads; see `SoundInputs.batch`."""
        return self.sounds.batch(features, draw)
