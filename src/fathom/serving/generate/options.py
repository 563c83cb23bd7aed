"""How text is generated: the settings, and what they may not be together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from fathom.config import Part, validate
from fathom.errors import ConfigError

Strategy = Literal["greedy", "sample", "beam"]

SAMPLING_KEYS = ("temperature", "top_k", "top_p", "min_p")
BEAM_KEYS = ("num_beams", "length_penalty", "early_stopping")


class GenerationOptions(Part):
    """Settings of text generation; the strategy follows from them.

    Greedy unless a sampling setting (`temperature`, `top_k`, `top_p`, `min_p`) or `num_beams` above 1 is given.
    """

    max_new_tokens: int = Field(256, ge=1)
    """Most tokens generated for a prompt."""
    temperature: float | None = Field(None, ge=0)
    """Divides the logits before sampling; 0 is greedy. Given alone, it samples from the whole vocabulary."""
    top_k: int | None = Field(None, ge=1)
    """Sample among the k likeliest tokens."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Sample among the likeliest tokens that together hold this probability (Holtzman et al., 2020)."""
    min_p: float | None = Field(None, ge=0, le=1)
    """Sample among tokens at least this likely, as a share of the likeliest (Nguyen et al., 2024)."""
    num_beams: int = Field(1, ge=1)
    """Above 1: beam search, so many partial sequences are kept."""
    length_penalty: float = 1.0
    """Beam scores are divided by length to this power; above 0 favours longer text."""
    early_stopping: bool | Literal["never"] = False
    """Beam search ends when `num_beams` sequences are complete (true), by a heuristic (false), or only when no better
    one is possible ("never")."""
    repetition_penalty: float = Field(1.0, gt=0)
    """Above 1 makes tokens of the prompt and of the text so far less likely (Keskar et al., 2019)."""
    no_repeat_ngram_size: int = Field(0, ge=0)
    """No run of so many tokens occurs twice; 0 allows all."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these strings."""
    seed: int = Field(0, ge=0)
    """Of sampling: the same seed gives prompt number i the same text, whatever the batch."""
    num_return_sequences: int = Field(1, ge=1)
    """Texts for each prompt: samples, or the best beams."""

    @field_validator("stop", mode="before")
    @classmethod
    def _one_string(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _agree(self) -> GenerationOptions:
        if any(not text for text in self.stop):
            raise ConfigError("a stop string is empty, it would end every text at once", mend="leave it out")
        sampling = [key for key in SAMPLING_KEYS if value_of(self, key) is not None]
        filters = [key for key in sampling if key != "temperature"]
        if self.temperature == 0 and filters:
            raise ConfigError(
                f"temperature 0 is greedy, and {' and '.join(filters)} would do nothing",
                mend="leave one of them out",
            )
        if self.num_beams > 1 and sampling and self.temperature != 0:
            raise ConfigError(
                f"num_beams searches for the likeliest text, {' and '.join(sampling)} draws one at random",
                mend="give num_beams, or the settings of sampling",
            )
        if self.num_beams == 1:
            idle = [key for key in BEAM_KEYS[1:] if value_of(self, key) != type(self).model_fields[key].default]
            if idle:
                raise ConfigError(f"{' and '.join(idle)} is for beam search", mend="give num_beams of 2 or more")
        if self.num_return_sequences > 1 and self.strategy == "greedy":
            raise ConfigError(
                f"greedy decoding has one answer, and num_return_sequences asks for {self.num_return_sequences}",
                mend="give a temperature, or num_beams",
            )
        if self.strategy == "beam" and self.num_return_sequences > self.num_beams:
            raise ConfigError(
                f"{self.num_beams} beams cannot give {self.num_return_sequences} texts",
                mend="lower num_return_sequences, or raise num_beams",
            )
        return self

    @property
    def strategy(self) -> Strategy:
        """How the next token is chosen."""
        if self.num_beams > 1:
            return "beam"
        sampling = any(value_of(self, key) is not None for key in SAMPLING_KEYS)
        return "sample" if sampling and self.temperature != 0 else "greedy"


def value_of(options: GenerationOptions, key: str) -> Any:
    """Return a setting by its name."""
    return options.__dict__[key]


def make_options(given: Mapping[str, Any], saved: Mapping[str, Any] | None = None) -> GenerationOptions:
    """Return options: what is given, then what was saved with the model, then the defaults.

    What is given chooses the strategy: saved settings of another strategy give way to it.

    Args:
        given: Settings of this call.
        saved: Settings kept with the model.

    Raises:
        ConfigError: A setting is unknown or wrong, or two contradict each other.
    """
    kept = dict(saved or {})
    asks_beams = int_of(given.get("num_beams")) > 1
    asks_sampling = any(given.get(key) is not None for key in SAMPLING_KEYS)
    greedy = given.get("temperature") == 0
    for key in (*(SAMPLING_KEYS if asks_beams or greedy else ()), *(BEAM_KEYS if asks_sampling else ())):
        kept.pop(key, None)
    if given.get("num_beams") == 1:
        for key in BEAM_KEYS:
            kept.pop(key, None)
    return validate(GenerationOptions, {**kept, **given}, where="generation")


def int_of(value: Any) -> int:
    """Return a whole number as it is and anything else as 0: what is no number is refused later, by name."""
    return value if isinstance(value, int) else 0


def saved_options(info: Mapping[str, Any], generation_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings kept with a model: `generation` of fathom.json, before its generation_config.json.

    Args:
        info: `fathom.json`; empty for a plain Hugging Face folder.
        generation_config: `generation_config.json` as a mapping; its sampling settings count only with `do_sample`.
    """
    found: dict[str, Any] = {}
    beams = int_of(generation_config.get("num_beams")) > 1
    samples = bool(generation_config.get("do_sample")) and not beams
    keys = ["max_new_tokens", "repetition_penalty", "no_repeat_ngram_size"]
    keys += [*(SAMPLING_KEYS if samples else ()), *(BEAM_KEYS if beams else ())]
    for key in keys:
        value = generation_config.get(key)
        if value is not None and not (key == "top_k" and value == 0):
            found[key] = value
    if samples and "temperature" not in found:
        found["temperature"] = 1.0
    return {**found, **info.get("generation", {})}
