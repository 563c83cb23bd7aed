"""What is spoken in a sound, written by CTC (wav2vec2, HuBERT, WavLM ...) or by a decoder (Whisper)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from fathom.data.example import Example
from fathom.errors import ConfigError, DataError, ModelError
from fathom.model.processors import (
    NEW_RATE,
    load_speech_processor,
    new_feature_extractor,
    spectrum_shape,
    with_tokenizer,
)
from fathom.model.sound import num_frames, sound_overrides, whole_blocks
from fathom.tasks.labels import place
from fathom.tasks.speech_ctc import CONVOLUTIONS, OpenCtc
from fathom.tasks.speech_options import OpenTranscripts, SpeechOptions
from fathom.tasks.speech_whisper import OpenWhisper
from fathom.tokenization.transcripts import UNHEARD, character_tokenizer, letters_of, normalize_transcript
from fathom.tokenization.whisper import BYTE_ROWS, START, byte_tokenizer, set_prompt

CTC_SECONDS = 20.0
"""Of the longest sound of a CTC model where the recipe says nothing."""
FRAME_SECONDS = 0.02
"""Of a position of Whisper's encoder."""
OF_DECODERS = ("language", "max_target_length", "generated_examples", "num_beams")
"""Options that say nothing to a CTC model."""
MEND = (
    "choose a CTC model such as wav2vec2, HuBERT or WavLM, a Whisper, or {kind: new, architecture: wav2vec2 or whisper}"
)


class SpeechRecognition(SpeechOptions):
    """Speech recognition: a transcript for a sound, by CTC over the frames of a waveform model or by Whisper's decoder.

    Where a CTC model has no vocabulary, one is made of the characters of the training transcripts; a new Whisper writes
    bytes. Sources: Graves et al., "Connectionist Temporal Classification", 2006; Radford et al., "Robust Speech
    Recognition via Large-Scale Weak Supervision", 2022 (arXiv 2212.04356).
    """

    kind: Literal["speech-recognition"] = "speech-recognition"
    """Catalog name."""

    def suited(self, config: Any) -> Self:
        """Return the task as a model of this config does it; see `Task.suited`.

        Raises:
            ModelError: It writes with a decoder that is not Whisper's, or reads no waveforms.
            ConfigError: An option is for models of the other kind, or more than the model has.
        """
        found: Literal["ctc", "encoder-decoder"] = "encoder-decoder" if config.is_encoder_decoder else "ctc"
        if self.architecture not in ("auto", found):
            raise ConfigError(
                f"the recipe says the model is of the kind '{self.architecture}', and {config.model_type} is of the "
                f"kind '{found}'",
                where="task.architecture",
                mend="leave it out",
            )
        known = self._suited_to_decoder(config) if config.is_encoder_decoder else self._suited_to_ctc(config)
        return self.model_copy(update={"architecture": found, **known})

    def _suited_to_ctc(self, config: Any) -> dict[str, Any]:
        said = config.to_dict()
        if any(not said.get(key) for key in CONVOLUTIONS):
            raise ModelError(f"a {config.model_type} model reads no waveforms", where="model", mend=MEND)
        if said.get("add_adapter"):
            raise ModelError(
                "the model has an adapter that shortens its frames, which is not counted yet", where="model", mend=MEND
            )
        idle = [key for key in OF_DECODERS if self.__dict__[key] != type(self).model_fields[key].default]
        if idle:
            raise ConfigError(
                f"{' and '.join(idle)} is for models that write with a decoder, and {config.model_type} has none",
                where=f"task.{idle[0]}",
                mend="leave it out",
            )
        left_out = UNHEARD if self.left_out is None else self.left_out
        return {"max_seconds": self.max_seconds or CTC_SECONDS, "left_out": left_out}

    def _suited_to_decoder(self, config: Any) -> dict[str, Any]:
        if config.model_type != "whisper":
            raise ModelError(
                f"a {config.model_type} model writes with a decoder that {self.kind} does not know",
                where="model",
                mend=MEND,
            )
        if self.vocabulary == "new":
            raise ConfigError(
                "a decoder's vocabulary is its tokenizer's", where="task.vocabulary", mend="leave it out, or write auto"
            )
        seconds = config.max_source_positions * FRAME_SECONDS
        if self.max_seconds is not None and self.max_seconds > seconds:
            mend = f"write {seconds:g} or less"
            raise ConfigError(f"the model reads {seconds:g} s at once", where="task.max_seconds", mend=mend)
        most = int(config.max_target_positions)
        if self.max_target_length is not None and self.max_target_length > most:
            raise ConfigError(
                f"the model's decoder has {most} positions", where="task.max_target_length", mend=f"write {most}"
            )
        return {
            "max_seconds": self.max_seconds or seconds,
            "left_out": self.left_out or "",
            "letters": "keep" if self.letters == "auto" else self.letters,
            "max_target_length": self.max_target_length or most,
        }

    @property
    def auto_class(self) -> str:  # type: ignore[override]
        """The head: one for each kind of model."""
        return "AutoModelForSpeechSeq2Seq" if self.writes else "AutoModelForCTC"

    @property
    def new_vocabulary(self) -> int | None:
        """Bytes, for a decoder; the characters of a CTC model are those of the data."""
        return BYTE_ROWS if self.writes else None

    @property
    def writes(self) -> bool:
        """Whether the model, once it is known, writes with a decoder."""
        return self.architecture == "encoder-decoder"

    def load_tokenizer(self, name: str) -> PreTrainedTokenizerBase:
        """Load the model's feature extractor, with its tokenizer where it has one."""
        found: PreTrainedTokenizerBase = load_speech_processor(name)
        return found

    def new_processor(self, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Return the extractor of a new model, and a tokenizer: of bytes for a decoder, else of the characters."""
        writer = self._prompted(byte_tokenizer(), config) if self.writes else self._make_vocabulary(examples)
        return with_tokenizer(new_feature_extractor(config, ()), writer)

    def fitted(self, processor: Any, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Give a CTC model that never wrote a tokenizer, or a new one; a Whisper the prompt of a language.

        Raises:
            ModelError: A Whisper's extractor or tokenizer is missing, or another model's.
        """
        own = "tokenizer" in vars(processor)
        if self.writes:
            self._check_parts(processor, config)
            self._prompted(processor.tokenizer, config)
            return processor
        extractor = processor.feature_extractor if own else processor
        if own and self.vocabulary == "auto":
            return processor
        return with_tokenizer(extractor, self._make_vocabulary(examples))

    def num_positions(self, config: PreTrainedConfig) -> int:
        """Return the frames of the longest sound; of a decoder, the tokens of the longest transcript."""
        if self.writes:
            return self.max_target_length or int(config.max_target_positions)
        return num_frames(config, int((self.max_seconds or CTC_SECONDS) * NEW_RATE))

    def fixed_keys(self, config: PreTrainedConfig) -> dict[str, Any]:
        """Switch off what a model draws by itself."""
        return {**sound_overrides(config), **whole_blocks(config)}

    def model_overrides(self, config: PreTrainedConfig, processor: Any) -> dict[str, Any]:
        """Say besides how the model makes frames, and the tokens of a new head."""
        said, drawn = config.to_dict(), self.fixed_keys(config)
        writer = processor.tokenizer
        made_here = not writer.name_or_path
        if self.writes:
            return {**drawn, **(_ids_of(writer) if made_here else {})}
        rows = {"vocab_size": len(writer)} if made_here else {}
        return {**drawn, **{key: list(said[key]) for key in CONVOLUTIONS}, **rows}

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenTranscripts:
        """Settle how transcripts are written; `tokenizer` is the processor, `max_length` see `num_positions`.

        Raises:
            ModelError: A CTC model's vocabulary lacks characters of too many transcripts.
        """
        writer: Any = vars(tokenizer)["tokenizer"]
        letters = letters_of(writer) if self.letters == "auto" else self.letters
        part = self.model_copy(update={"letters": letters, "main_score": self.chosen_score(examples)})
        opened = part.reopen({"options": part.model_dump(), "max_length": max_length}, tokenizer)
        if isinstance(opened, OpenCtc):
            opened.judge_vocabulary(self.transcripts(examples))
        return opened

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenTranscripts:
        """Return the live task of a saved model; see `Task.reopen`."""
        kind = OpenWhisper if state["options"].get("architecture") == "encoder-decoder" else OpenCtc
        return kind.of_state(self, tokenizer, state)

    def _prompted(self, writer: Any, config: PreTrainedConfig) -> Any:
        """Return Whisper's tokenizer with the prompt of the language."""
        set_prompt(writer, self.language, int(config.vocab_size))
        return writer

    def _check_parts(self, processor: Any, config: PreTrainedConfig) -> None:
        if "tokenizer" not in vars(processor):
            mend = "save it there with WhisperTokenizer's save_pretrained(folder)"
            raise ModelError("the folder has no tokenizer", where="model", mend=mend)
        bands, frames = spectrum_shape(processor.feature_extractor)
        wanted = (int(config.num_mel_bins), 2 * int(config.max_source_positions))
        if (bands, frames) != wanted:
            raise ModelError(
                f"the feature extractor makes {frames} frames of {bands} bands, and the model reads {wanted[1]} of "
                f"{wanted[0]}",
                where="model",
                mend="give it the extractor it was trained with",
            )
        if len(processor.tokenizer) > config.vocab_size:
            raise ModelError(
                f"the tokenizer has {len(processor.tokenizer):,} tokens, and the model knows {config.vocab_size:,}",
                where="model",
                mend="give it the tokenizer it was trained with",
            )

    def _make_vocabulary(self, examples: Sequence[Example]) -> PreTrainedTokenizerBase:
        letters = "lower" if self.letters == "auto" else self.letters
        left_out = UNHEARD if self.left_out is None else self.left_out
        normal = [normalize_transcript(text, letters, left_out) for text in self.transcripts(examples)]
        if not any(normal):
            raise DataError(
                "no training example has a transcript to make a vocabulary of",
                where=place(examples[0]) if examples else None,
                mend="name the column: data.columns.transcript=NAME",
            )
        return character_tokenizer(normal)


def _ids_of(writer: Any) -> dict[str, int]:
    """Return what a new model's config must say of Whisper's tokenizer."""
    return {
        "vocab_size": len(writer),
        "pad_token_id": writer.pad_token_id,
        "bos_token_id": writer.bos_token_id,
        "eos_token_id": writer.eos_token_id,
        "decoder_start_token_id": writer.convert_tokens_to_ids(START),
    }
