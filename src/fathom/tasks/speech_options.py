"""What the two ways of writing a sound down share: the options, and transcripts against their sounds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, SerializeAsAny

from fathom.config import choice
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.data.sound_augmentation import NoSoundAugmentation, SoundAugmentation
from fathom.data.sounds import Samples
from fathom.errors import DataError
from fathom.tasks.labels import place
from fathom.tasks.media import MediaTask, OpenFiles
from fathom.tasks.sound_inputs import SoundInputs
from fathom.tasks.text_units import guess_units
from fathom.tokenization.transcripts import Letters, normalize_transcript

WAVEFORM = "input_values"
UNFIT_MEND = "correct or remove it, or leave such sounds out: data.on_error=skip"


class SpeechOptions(MediaTask):
    """The options of `SpeechRecognition`."""

    form: ClassVar[Literal["speech"]] = "speech"

    architecture: Literal["auto", "ctc", "encoder-decoder"] = "auto"
    """What the model is: one that gives every frame a character (CTC), or one that writes with a decoder (Whisper);
    auto asks the model itself."""
    augmentation: Annotated[SerializeAsAny[SoundAugmentation], choice("sound_augmentation")] = NoSoundAugmentation()
    """What is changed in training sounds, drawn anew in every epoch: none, standard, or `{kind, options}`. A sound that
    would become too short for its transcript, or too long for the model, stays as it is."""
    max_seconds: float | None = Field(None, ge=1)
    """Longer sounds are not learnt from; to be transcribed they are read in windows of this length. Left out, 20
    seconds for CTC, and for Whisper the seconds its encoder reads, mostly 30."""
    vocabulary: Literal["auto", "new"] = "auto"
    """Of CTC. auto: the model's own, or the characters of the training transcripts where it has none; new: these
    anyway."""
    letters: Literal["auto"] | Letters = "auto"
    """Whether transcripts keep their capitals, or are made lower or upper case; auto: as the model's vocabulary has
    them, lower for a new one; a decoder keeps them."""
    left_out: str | None = None
    """Characters that are taken out of transcripts. Left out, those that nobody hears for CTC, and none for a decoder,
    which writes punctuation too."""
    main_score: Literal["auto", "wer", "cer"] = "auto"
    """The score that chooses the best model: errors by word, or by character; auto takes characters where transcripts
    are Chinese, Japanese or Korean."""
    language: str | None = None
    """Of the transcripts, for a multilingual Whisper: its English name or code, such as `chinese` or `zh`. Left out,
    the one the tokenizer was saved with."""
    max_target_length: int | None = Field(None, ge=8)
    """Tokens of the longest transcript of a decoder, Whisper's prompt and end included; longer ones are not learnt
    from, and no more are written. Left out, the model's positions, mostly 448."""
    generated_examples: int = Field(200, ge=0)
    """How many validation sounds, a seeded sample, a decoder writes down at each evaluation; 0 for none: the loss alone
    then chooses the best model. The test split is written down in full."""
    num_beams: int | None = Field(None, ge=1)
    """Beams of a decoder, saved with the model; left out, what the model's own generation_config says, mostly 1."""

    def transcripts(self, examples: Sequence[Example]) -> list[str]:
        """Return the transcripts of those examples that have one, as the data has them."""
        return [example["transcript"] for example in examples if "transcript" in example]

    def chosen_score(self, examples: Sequence[Example]) -> Literal["wer", "cer"]:
        """Return the score that chooses the best model, by the script of the transcripts where nothing is said."""
        if self.main_score != "auto":
            return self.main_score
        return "cer" if guess_units(self.transcripts(examples)) in ("chinese", "characters") else "wer"


class OpenTranscripts(OpenFiles):
    """Sounds and their transcripts, with a model's extractor and tokenizer."""

    part: SpeechOptions

    def __init__(self, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> None:
        super().__init__(part, processor, state)
        assert self.part.max_seconds is not None  # settled by `suited`
        self.most_seconds: float = self.part.max_seconds
        self.sounds = SoundInputs(processor.feature_extractor, self.part.augmentation, self.most_seconds)
        self.writer = processor.tokenizer

    @property
    def limit(self) -> str:
        """What is read of a sound at once, in words."""
        return self.sounds.limit

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and processor."""
        options = {key: self.part.__dict__[key] for key in ("architecture", "max_seconds", "letters", "left_out")}
        return {**super().cache_key(), **options}

    def normalize(self, text: str) -> str:
        """Return a text as the model writes it; see `tokenization.transcripts`."""
        letters, left_out = self.part.letters, self.part.left_out
        assert letters != "auto" and left_out is not None  # settled by `suited` and `open`
        return normalize_transcript(text, letters, left_out)

    def heard(self, text: str) -> str:
        """Return what scores compare of a text."""
        return self.normalize(text)

    @abstractmethod
    def tokens(self, text: str) -> list[int]:
        """Return the tokens that are learnt of a normalised transcript."""

    @abstractmethod
    def too_much(self, text: str, seconds: float) -> str | None:
        """Say why a model cannot write a normalised transcript for a sound of this length; None where it can."""

    @abstractmethod
    def unwritable(self, text: str) -> set[str]:
        """Return the characters of a normalised transcript that the vocabulary has not."""

    def unfit(self, example: Example) -> str | None:
        """Say why a sound with a transcript cannot be learnt from; see `OpenFiles.unfit`."""
        if "transcript" not in example:
            return None
        if not self.heard(example["transcript"]):
            return f"nothing is left of the transcript {example['transcript']!r} without what nobody hears"
        seconds = float(example["seconds"])
        if seconds > self.most_seconds:
            most = f"{self.most_seconds:g} s (task.max_seconds)"
            return f"the sound lasts {seconds:.1f} s, longer than {most}, and a transcript is not cut with its sound"
        return self.too_much(self.normalize(example["transcript"]), seconds)

    def learnt(self, example: Example) -> np.ndarray[Any, Any] | None:
        """Return the tokens of the transcript, int32 [`max_length`], filled with -100."""
        if "transcript" not in example:
            return None
        reason = self.unfit(example)
        if reason is not None:
            raise DataError(reason, where=place(example), mend=UNFIT_MEND)
        ids = self.tokens(self.normalize(example["transcript"]))
        target = np.full(self.max_length, IGNORED_LABEL, dtype=np.int32)
        target[: len(ids)] = ids
        return target

    def read(self, example: Example) -> list[Features]:
        """Decode a sound: `input_values` float32 [samples]; a long one without a transcript in windows."""
        samples_N = self.sounds.samples(example)
        windows = [samples_N[: self.sounds.most_samples]] if "transcript" in example else self.windows(samples_N)
        lengths = [np.array(self.positions(example, window), dtype=np.int64) for window in windows]
        return [{WAVEFORM: window, "length": length} for window, length in zip(windows, lengths, strict=True)]

    @abstractmethod
    def windows(self, samples_N: Samples) -> list[Samples]:
        """Cut a sound into windows of the longest a model takes."""

    @abstractmethod
    def positions(self, example: Example, samples_N: Samples) -> int:
        """Return the `length` of a window of an example; see `data.example.Features`."""


def labelled(label: np.ndarray[Any, Any]) -> list[int]:
    """Return the tokens of what `OpenTranscripts.learnt` gives."""
    ids: list[int] = label[label != IGNORED_LABEL].tolist()
    return ids
