"""Speech by a decoder: an encoder hears seconds of fixed number, a decoder writes what was said in them (Whisper)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.data.sounds import Samples
from fathom.files import digest
from fathom.model.processors import processor_digest, spectrum_shape
from fathom.tasks.base import Batch
from fathom.tasks.language_model import OpenOverVocabulary
from fathom.tasks.media import MediaTask
from fathom.tasks.speech_options import WAVEFORM, OpenTranscripts, labelled
from fathom.tokenization.encode import clean_backend
from fathom.tokenization.transcripts import UNHEARD, joined, normalize_transcript
from fathom.tokenization.whisper import generation_settings

PAUSE_SECONDS = 0.05
"""Of a place where a long sound may be cut."""


class OpenWhisper(OpenTranscripts, OpenOverVocabulary):
    """Speech recognition with Whisper's extractor and tokenizer.

    The decoder reads the prompt (the tokens of language and task) and the transcript; what it is asked for are the
    transcript and its end. In a batch `input_features` are the spectra [B, M, T], `decoder_input_ids` [B, S] what the
    decoder reads, and `labels` [B, S] the token after each, -100 in the prompt and in the padding. The `length` of a
    sound is what its decoder reads: its encoder runs on `source_positions` of every one.
    """

    writing_metrics: Mapping[str, Mapping[str, Any]] = {"wer": {}, "cer": {}}

    def __init__(self, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> None:
        OpenTranscripts.__init__(self, part, processor, state)
        self.prompt: list[int] = list(self.writer.prefix_tokens)
        self.end = int(self.writer.eos_token_id)
        self.source_positions = spectrum_shape(processor.feature_extractor)[1] // 2
        self.generated_examples = self.part.generated_examples
        beams = {} if self.part.num_beams is None else {"num_beams": self.part.num_beams}
        self.generation_config = {**generation_settings(self.writer), "max_length": self.max_length, **beams}
        self.generation = {"max_new_tokens": self.max_length - len(self.prompt), **beams}

    @property
    def config_overrides(self) -> dict[str, Any]:
        """What the task sets: the rows of a new vocabulary, and no masks of the model's own."""
        return self.overrides

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return self.part.main_score if self.generated_examples else "loss"

    def tokenizer_digest(self) -> str:
        """Of everything the extractor does, of the vocabulary, and of the prompt."""
        extractor = processor_digest(self.tokenizer.feature_extractor)
        writer = hashlib.sha256(clean_backend(self.writer).to_str().encode()).hexdigest()
        return digest({"extractor": extractor, "writer": writer, "prompt": self.prompt})

    def normalize(self, text: str) -> str:
        """Return a transcript as the data has it, in single spaces, unless the recipe wants something left out."""
        kept = self.part.letters == "keep" and not self.part.left_out
        return " ".join(text.split()) if kept else super().normalize(text)

    def heard(self, text: str) -> str:
        """Return what scores compare of a text: letters of one case, without what nobody hears."""
        return normalize_transcript(text, "lower", UNHEARD)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a transcript and its end."""
        return [*self.writer(text, add_special_tokens=False, verbose=False)["input_ids"], self.end]

    def too_much(self, text: str, seconds: float) -> str | None:
        """Say that a transcript has more tokens than the decoder may write."""
        needed = len(self.prompt) + len(self.tokens(text))
        if needed > self.max_length:
            return (
                f"the transcript of {len(text)} characters has {needed} tokens with prompt and end, and the model "
                f"writes {self.max_length} (task.max_target_length)"
            )
        return None

    def unwritable(self, text: str) -> set[str]:
        """None: the tokenizer falls back on bytes."""
        return set()

    def positions(self, example: Example, samples_N: Samples) -> int:
        """Return the tokens that the decoder reads."""
        said = len(self.tokens(self.normalize(example["transcript"]))) - 1 if "transcript" in example else 0
        return len(self.prompt) + said

    def windows(self, samples_N: Samples) -> list[Samples]:
        """Cut a sound into windows that the encoder hears whole, one after another, where it is quietest."""
        return cut_at_pauses(samples_N, self.sounds.most_samples, int(PAUSE_SECONDS * self.sounds.rate))

    def inputs(self, features: Sequence[Features], draw: Draw) -> dict[str, Tensor]:
        """Return the spectra of the sounds."""
        sounds = self.sounds.waveforms(features, draw)
        for row, item in enumerate(features):
            if len(sounds[row]) > self.sounds.most_samples:
                sounds[row] = np.asarray(item[WAVEFORM])
        return self.sounds.spectra(sounds)

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Put sounds into one batch, with what the decoder reads and is asked for where they have transcripts."""
        batch = self.inputs(features, draw)
        if "label" not in features[0]:
            return batch
        said = [labelled(np.asarray(item["label"])) for item in features]
        before = len(self.prompt)
        shape = (len(said), before - 1 + max(map(len, said)))
        read_BS, asked_BS = np.full(shape, self.end), np.full(shape, IGNORED_LABEL)
        read_BS[:, :before] = self.prompt
        for row, ids in enumerate(said):
            read_BS[row, before : before - 1 + len(ids)] = ids[:-1]
            asked_BS[row, before - 1 : before - 1 + len(ids)] = ids
        return {**batch, "decoder_input_ids": torch.from_numpy(read_BS), "labels": torch.from_numpy(asked_BS)}

    def written_reference(self, example: Example) -> dict[str, Any] | None:
        """Return the transcript; see `OpenTask.written_reference`."""
        return {"transcript": example["transcript"]} if "transcript" in example else None

    def written_pair(self, written: str, reference: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (what was heard, what was said), both normalised."""
        return self.heard(written), self.heard(reference["transcript"])

    def answer(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return `text`, of all windows, and `finish_reason`: `length` where one of them had no end.

        Args:
            example: The sound.
            features: Its windows.
            raw: (tokens, why they end) of each window.
        """
        texts = [self.writer.decode(tokens, skip_special_tokens=True) for tokens, _ in raw]
        ended = all(reason == "eos" for _, reason in raw)
        return {"text": joined(texts), "finish_reason": "eos" if ended else "length"}


def cut_at_pauses(samples_N: Samples, most: int, pause: int) -> list[Samples]:
    """Cut a sound into windows, each ending in the quietest place of the last fifth it may have.

    Args:
        samples_N: The whole sound.
        most: Samples of the longest window.
        pause: Samples of a place.
    """
    windows = []
    while len(samples_N) > most:
        places = samples_N[most - most // 5 // pause * pause : most].reshape(-1, pause)
        quietest = int(np.square(places).sum(1).argmin()) if len(places) else 0
        end = most - len(places) * pause + quietest * pause + (pause // 2 if len(places) else 0)
        windows.append(samples_N[:end])
        samples_N = samples_N[end:]
    return [*windows, samples_N]
