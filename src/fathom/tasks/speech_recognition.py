"""What is spoken in a sound, written by CTC: a token or a blank for every frame (wav2vec2, HuBERT, WavLM ...)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from fathom.config import choice
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.data.sound_augmentation import NoSoundAugmentation, SoundAugmentation
from fathom.data.sounds import Samples
from fathom.errors import DataError, ModelError
from fathom.files import digest
from fathom.log import get_console
from fathom.model.processors import (
    NEW_RATE,
    load_speech_processor,
    new_feature_extractor,
    processor_digest,
    with_tokenizer,
)
from fathom.model.sound import convolved, num_frames, sound_overrides
from fathom.tasks.base import Batch, LossSum
from fathom.tasks.ctc import ctc_losses, cut_windows, frames_needed, join_windows, likeliest, real_frames
from fathom.tasks.labels import place
from fathom.tasks.media import MediaTask, OpenFiles
from fathom.tasks.sound_inputs import SoundInputs
from fathom.tasks.text_units import guess_units
from fathom.tokenization.transcripts import (
    UNHEARD,
    Letters,
    character_tokenizer,
    letters_of,
    normalize_transcript,
    unknown_characters,
)

WAVEFORM = "input_values"
CONVOLUTIONS = ("conv_kernel", "conv_stride")
OVERLAP_FRAMES = 100
"""What two windows of a long sound share: frames near an edge have seen too little of what is beside them."""
MOST_UNKNOWN = 0.1
"""Share of the transcripts that may hold a character the model's vocabulary has not."""
UNFIT_MEND = "correct or remove it, or leave such sounds out: data.on_error=skip"


class SpeechRecognition(MediaTask):
    """Speech recognition: a transcript for a sound, by CTC over the frames of a waveform model.

    Where the model has no vocabulary, one is made of the characters of the training transcripts. Source: Graves et al.,
    "Connectionist Temporal Classification", 2006.
    """

    form: ClassVar[Literal["speech"]] = "speech"

    kind: Literal["speech-recognition"] = "speech-recognition"
    """Catalog name."""
    augmentation: Annotated[SerializeAsAny[SoundAugmentation], choice("sound_augmentation")] = NoSoundAugmentation()
    """What is changed in training sounds, drawn anew in every epoch: none, standard, or `{kind, options}`. A sound that
    would become too short for its transcript stays as it is."""
    max_seconds: float = Field(20.0, ge=1)
    """Longer sounds are not learnt from; to be transcribed they are read in overlapping windows of this length."""
    vocabulary: Literal["auto", "new"] = "auto"
    """auto: the model's own, or the characters of the training transcripts where it has none; new: these anyway."""
    letters: Literal["auto"] | Letters = "auto"
    """Whether transcripts keep their capitals, or are made lower or upper case; auto: as the model's vocabulary has
    them, lower for a new one."""
    left_out: str = UNHEARD
    """Characters that are taken out of transcripts, for nobody hears them."""
    main_score: Literal["auto", "wer", "cer"] = "auto"
    """The score that chooses the best model: errors by word, or by character; auto takes characters where transcripts
    are Chinese, Japanese or Korean."""

    def suited(self, config: Any) -> Self:
        """Refuse a model that does not hear by CTC; see `Task.suited`.

        Raises:
            ModelError: It writes with a decoder, or reads no waveforms.
        """
        mend = "choose a CTC model such as wav2vec2, HuBERT or WavLM, or {kind: new, architecture: wav2vec2}"
        if config.is_encoder_decoder:
            raise ModelError(
                f"a {config.model_type} model writes with a decoder, which {self.kind} does not train yet",
                where="model",
                mend=mend,
            )
        said = config.to_dict()
        if any(not said.get(key) for key in CONVOLUTIONS):
            raise ModelError(f"a {config.model_type} model reads no waveforms", where="model", mend=mend)
        if said.get("add_adapter"):
            raise ModelError(
                "the model has an adapter that shortens its frames, which is not counted yet", where="model", mend=mend
            )
        return self

    def load_tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """Load the model's feature extractor, with its tokenizer where it has one."""
        found: PreTrainedTokenizerBase = load_speech_processor(name)
        return found

    def new_processor(self, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Return the extractor of a new model, and a tokenizer of the characters of the training transcripts."""
        return with_tokenizer(new_feature_extractor(config, ()), self._make_vocabulary(examples))

    def fitted(self, processor: Any, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Give a model that was never taught to write a tokenizer, or a new one where the recipe says so."""
        own = "tokenizer" in vars(processor)
        extractor = processor.feature_extractor if own else processor
        if own and self.vocabulary == "auto":
            return processor
        return with_tokenizer(extractor, self._make_vocabulary(examples))

    def num_positions(self, config: PreTrainedConfig) -> int:
        """Return the frames of the longest sound."""
        return num_frames(config, int(self.max_seconds * NEW_RATE))

    def model_overrides(self, config: PreTrainedConfig, processor: Any) -> dict[str, Any]:
        """Switch off what a model draws by itself; say how it makes frames, and the tokens of a new head.

        Blocks are not left out at random either (layerdrop): of few blocks each is missed.
        """
        said = config.to_dict()
        drawn = {**sound_overrides(config), **({"layerdrop": 0.0} if "layerdrop" in said else {})}
        made_here = not processor.tokenizer.name_or_path
        rows = {"vocab_size": len(processor.tokenizer)} if made_here else {}
        return {**drawn, **{key: list(said[key]) for key in CONVOLUTIONS}, **rows}

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenSpeech:
        """Settle how transcripts are written; `tokenizer` is the processor, `max_length` the longest sound's frames.

        Raises:
            ModelError: The model's vocabulary lacks characters of too many transcripts.
        """
        writer: Any = vars(tokenizer)["tokenizer"]
        letters = letters_of(writer) if self.letters == "auto" else self.letters
        texts = [example["transcript"] for example in examples if "transcript" in example]
        by_character = guess_units(texts) in ("chinese", "characters")
        main = self.main_score if self.main_score != "auto" else "cer" if by_character else "wer"
        part = self.model_copy(update={"letters": letters, "main_score": main})
        opened = part.reopen({"options": part.model_dump(), "max_length": max_length}, tokenizer)
        _judge_vocabulary([opened.normalize(text) for text in texts], writer)
        return opened

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenSpeech:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenSpeech.of_state(self, tokenizer, state)

    def _make_vocabulary(self, examples: Sequence[Example]) -> PreTrainedTokenizerBase:
        letters = "lower" if self.letters == "auto" else self.letters
        texts = [example["transcript"] for example in examples if "transcript" in example]
        normal = [normalize_transcript(text, letters, self.left_out) for text in texts]
        if not any(normal):
            raise DataError(
                "no training example has a transcript to make a vocabulary of",
                where=place(examples[0]) if examples else None,
                mend="name the column: data.columns.transcript=NAME",
            )
        return character_tokenizer(normal)


class OpenSpeech(OpenFiles):
    """Speech recognition with the model's extractor and CTC tokenizer.

    In a batch, `frames` [B] is how many frames each sound has, and `label` [B, S] the tokens of its transcript, filled
    with -100.
    """

    auto_class: ClassVar[str] = "AutoModelForCTC"
    part: SpeechRecognition

    def __init__(self, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> None:
        super().__init__(part, processor, state)
        self.sounds = SoundInputs(processor.feature_extractor, self.part.augmentation, self.part.max_seconds)
        if self.sounds.spectral or self.sounds.input_name != WAVEFORM:
            raise ModelError(
                "the feature extractor makes spectrograms", where="model", mend="choose a model that reads waveforms"
            )
        self.writer = processor.tokenizer
        self.blank = int(self.writer.pad_token_id)

    @property
    def config_overrides(self) -> dict[str, Any]:
        """The blank, as transformers' own loss reads it, and what the task sets besides."""
        return {"pad_token_id": self.blank, **self.overrides}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        return ("wer", "cer")

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return self.part.main_score

    def tokenizer_digest(self) -> str:
        """Of everything the extractor does, and of the vocabulary."""
        extractor = processor_digest(self.tokenizer.feature_extractor)
        return digest({"extractor": extractor, "vocabulary": self.writer.get_vocab(), "blank": self.blank})

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and processor."""
        options = {key: self.part.__dict__[key] for key in ("max_seconds", "letters", "left_out")}
        return {**super().cache_key(), **options}

    def frames(self, samples: int) -> int:
        """Return the frames that the model makes of samples."""
        kernels, strides = (self.overrides[key] for key in CONVOLUTIONS)
        return convolved(kernels, strides, samples)

    @property
    def limit(self) -> str:
        """What is read of a sound at once, in words."""
        return self.sounds.limit

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.overrides["conv_stride"])

    def normalize(self, text: str) -> str:
        """Return a text as the model writes it; see `tokenization.transcripts`."""
        letters = self.part.letters
        assert letters != "auto"  # settled by `open`
        return normalize_transcript(text, letters, self.part.left_out)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a normalised transcript."""
        found: list[int] = self.writer(text, verbose=False)["input_ids"]
        return found

    def unfit(self, example: Example) -> str | None:
        """Say why a sound with a transcript cannot be learnt from; see `OpenFiles.unfit`."""
        if "transcript" not in example:
            return None
        text = self.normalize(example["transcript"])
        if not text:
            return f"nothing is left of the transcript {example['transcript']!r} without what nobody hears"
        seconds = float(example["seconds"])
        if seconds > self.part.max_seconds:
            most = f"{self.part.max_seconds:g} s (task.max_seconds)"
            return f"the sound lasts {seconds:.1f} s, longer than {most}, and a transcript is not cut with its sound"
        # a sample less, for resampling may round it away
        frames = self.frames(int(seconds * self.sounds.rate) - 1)
        needed = frames_needed(self.tokens(text))
        if needed > frames:
            return (
                f"the transcript of {len(text)} characters needs {needed} frames (one each, and one between two alike) "
                f"and the sound of {seconds:.2f} s has {frames}"
            )
        return None

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
        return [{WAVEFORM: window, "length": np.array(self.frames(len(window)), dtype=np.int64)} for window in windows]

    def windows(self, samples_N: Samples) -> list[Samples]:
        """Cut a sound into windows of the longest a model takes, on whole frames, overlapping by `overlap` frames."""
        most = self.sounds.most_samples
        step = (self.frames(most) - self.overlap) * self.hop
        return cut_windows(samples_N, most, step)

    @property
    def overlap(self) -> int:
        """Frames that two windows share."""
        return min(OVERLAP_FRAMES, self.frames(self.sounds.most_samples) // 2)

    def inputs(self, features: Sequence[Features], draw: Draw) -> dict[str, Tensor]:
        """Return the padded samples and the frames of each sound."""
        sounds = self.sounds.waveforms(features, draw)
        for row, item in enumerate(features):
            if "label" in item and frames_needed(_labelled(item["label"])) > self.frames(len(sounds[row])):
                sounds[row] = np.asarray(item[WAVEFORM])
        frames_B = torch.tensor([self.frames(len(samples)) for samples in sounds])
        return {**self.sounds.padded(sounds), "frames": frames_B}

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Put sounds into one batch, their tokens no wider than the longest transcript."""
        batch = super().make_batch(features, draw)
        if "label" in batch:
            longest = int(batch["label"].ne(IGNORED_LABEL).sum(1).max())
            batch["label"] = batch["label"][:, :longest].long()
        return batch

    def logits(self, output: Any, batch: Batch) -> Tensor:
        """Return the logits of the frames of all sounds, one sound after another: [S, V]."""
        return real_frames(output.logits, batch["frames"])

    def normalizer(self, batch: Batch) -> float:
        """Sounds."""
        return float(len(batch["label"]))

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """CTC, of each sound divided by the tokens of its transcript (torch's and transformers' `mean`), summed."""
        return LossSum(ctc_losses(logits, batch["frames"], batch["label"], self.blank).sum())

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """(likeliest token, its probability) of every frame, for each sound: int32 [T], float32 [T]."""
        return list(likeliest(logits, batch["frames"]))

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return `text`; `score`, the mean probability of its tokens; `words` with their `start` and `end` in seconds.

        Greedy: the likeliest token of each frame, repeats joined, blanks left out.
        """
        ids_T, sure_T = (join_windows([record[part] for record in raw], self.overlap) for part in (0, 1))
        found = self.writer.decode(ids_T.tolist(), output_word_offsets=True)
        second = self.hop / self.sounds.rate
        words = [
            {
                "word": word["word"],
                "start": round(float(word["start_offset"]) * second, 3),
                "end": round(float(word["end_offset"]) * second, 3),
            }
            for word in found.word_offsets
        ]
        spoken_T = ids_T != self.blank
        return {"text": found.text, "score": float(sure_T[spoken_T if spoken_T.any() else ...].mean()), "words": words}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (what was heard, what was said), both normalised."""
        if "transcript" not in example:
            raise DataError("the example has no transcript", where=place(example), mend="evaluate on labelled data")
        return self.normalize(prediction["text"]), self.normalize(example["transcript"])


def _labelled(label: np.ndarray[Any, Any]) -> list[int]:
    ids: list[int] = label[label != IGNORED_LABEL].tolist()
    return ids


def _judge_vocabulary(texts: Iterable[str], writer: Any) -> None:
    """Say which characters of normalised training transcripts a vocabulary lacks.

    Raises:
        ModelError: Too many transcripts hold one.
    """
    lacking = [found for text in texts if text for found in [unknown_characters(text, writer)]]
    spoilt = sum(map(bool, lacking))
    if not spoilt:
        return
    unknown = sorted(set().union(*lacking))
    shown = " ".join(unknown[:20]) + (" ..." if len(unknown) > 20 else "")
    said = f"{spoilt:,} of {len(lacking):,} training transcripts hold characters the model cannot write: {shown}"
    if spoilt > MOST_UNKNOWN * len(lacking):
        mend = "give it the characters of your transcripts: task.vocabulary=new; or task.letters=upper, lower or keep"
        raise ModelError(said, where="task.vocabulary", mend=mend)
    get_console().info(f"{said}; they are learnt as unknown")
