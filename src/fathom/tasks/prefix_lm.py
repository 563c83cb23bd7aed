"""Go on with a text whose beginning is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from transformers import PreTrainedTokenizerBase

from fathom.data.draw import Draw
from fathom.tasks.language_model import LanguageModel
from fathom.tasks.sequence_denoising import OpenDenoising

CUT = 5
"""Stream of the draw."""


class PrefixLm(LanguageModel):
    """Prefix language modelling: the encoder reads the beginning of a text, the decoder says the rest.

    For encoder-decoders, where the prefix is read from both sides by nature.
    Source: Raffel et al., "T5", 2020 (arXiv 1910.10683), section 3.2.
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus"]] = "corpus"
    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"

    kind: Literal["prefix-lm"] = "prefix-lm"
    """Catalog name."""
    shortest_prefix: float = Field(0.1, ge=0, lt=1)
    """Share of the text that is given at least."""
    longest_prefix: float = Field(0.9, gt=0, le=1)
    """Share of the text that is given at most; where it is cut is drawn anew each time."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.shortest_prefix > self.longest_prefix:
            raise ValueError(
                f"shortest_prefix {self.shortest_prefix} is above longest_prefix {self.longest_prefix}: swap them"
            )
        return self

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenPrefixLm:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenPrefixLm(type(self).model_validate(state["options"]), tokenizer, int(state["max_length"]))


class OpenPrefixLm(OpenDenoising):
    """Prefix language modelling with its tokenizer."""

    part: PrefixLm

    def split(self, ids: np.ndarray[Any, Any], draw: Draw, index: int) -> tuple[np.ndarray[Any, Any], ...]:
        """Cut the text in two at a random place; each side has a token where the text has two."""
        share = draw.generator(index, CUT).uniform(self.part.shortest_prefix, self.part.longest_prefix)
        at = min(max(round(len(ids) * share), 1), max(len(ids) - 1, 1))
        return ids[:at], ids[at:]
