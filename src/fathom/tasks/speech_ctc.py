"""Speech by CTC: a token or a blank for every frame (wav2vec2, HuBERT, WavLM ...)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.data.sounds import Samples
from fathom.errors import DataError, ModelError
from fathom.files import digest
from fathom.log import get_console
from fathom.model.processors import processor_digest
from fathom.model.sound import convolved
from fathom.tasks.base import Batch, LossSum
from fathom.tasks.ctc import ctc_losses, cut_windows, frames_needed, join_windows, likeliest, real_frames
from fathom.tasks.labels import place
from fathom.tasks.media import MediaTask
from fathom.tasks.speech_options import WAVEFORM, OpenTranscripts, labelled
from fathom.tokenization.transcripts import unknown_characters

CONVOLUTIONS = ("conv_kernel", "conv_stride")
OVERLAP_FRAMES = 100
"""What two windows of a long sound share: frames near an edge have seen too little of what is beside them."""
MOST_UNKNOWN = 0.1
"""Share of the transcripts that may hold a character the model's vocabulary has not."""


class OpenCtc(OpenTranscripts):
    """Speech recognition with the model's extractor and CTC tokenizer.

    In a batch, `frames` [B] is how many frames each sound has, and `label` [B, S] the tokens of its transcript, filled
    with -100.
    """

    def __init__(self, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> None:
        super().__init__(part, processor, state)
        if self.sounds.spectral or self.sounds.input_name != WAVEFORM:
            raise ModelError(
                "the feature extractor makes spectrograms", where="model", mend="choose a model that reads waveforms"
            )
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

    def frames(self, samples: int) -> int:
        """Return the frames that the model makes of samples."""
        kernels, strides = (self.overrides[key] for key in CONVOLUTIONS)
        return convolved(kernels, strides, samples)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return math.prod(self.overrides["conv_stride"])

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a normalised transcript."""
        found: list[int] = self.writer(text, verbose=False)["input_ids"]
        return found

    def too_much(self, text: str, seconds: float) -> str | None:
        """Say that a sound has too few frames for its transcript."""
        # a sample less, for resampling may round it away
        frames = self.frames(int(seconds * self.sounds.rate) - 1)
        needed = frames_needed(self.tokens(text))
        if needed > frames:
            return (
                f"the transcript of {len(text)} characters needs {needed} frames (one each, and one between two alike) "
                f"and the sound of {seconds:.2f} s has {frames}"
            )
        return None

    def unwritable(self, text: str) -> set[str]:
        """Return the characters of a normalised transcript that the vocabulary has not."""
        return unknown_characters(text, self.writer)

    def judge_vocabulary(self, texts: Iterable[str]) -> None:
        """Say which characters of training transcripts the vocabulary lacks.

        Raises:
            ModelError: Too many transcripts hold one.
        """
        normal = [self.normalize(text) for text in texts]
        lacking = [self.unwritable(text) for text in normal if text]
        spoilt = sum(map(bool, lacking))
        if not spoilt:
            return
        unknown = sorted(set().union(*lacking))
        shown = " ".join(unknown[:20]) + (" ..." if len(unknown) > 20 else "")
        said = f"{spoilt:,} of {len(lacking):,} training transcripts hold characters the model cannot write: {shown}"
        if spoilt > MOST_UNKNOWN * len(lacking):
            mend = (
                "give it the characters of your transcripts: task.vocabulary=new; or task.letters=upper, lower or keep"
            )
            raise ModelError(said, where="task.vocabulary", mend=mend)
        get_console().info(f"{said}; they are learnt as unknown")

    def positions(self, example: Example, samples_N: Samples) -> int:
        """Return the frames of a window."""
        return self.frames(len(samples_N))

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
            if "label" in item and frames_needed(labelled(item["label"])) > self.frames(len(sounds[row])):
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
