"""Restore a damaged text, or go on with a begun one, with an encoder-decoder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from transformers import PreTrainedTokenizerBase

from fathom.data.batch import collate
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Features
from fathom.errors import ModelError
from fathom.tasks.base import Batch
from fathom.tasks.denoising import hide_behind_sentinels, infill, noise_spans
from fathom.tasks.language_model import LanguageModel, OpenLanguageTask
from fathom.tokenization.encode import special_tokens

SPANS = 4
"""Stream of the draw."""


class SpanDenoising(LanguageModel):
    """Span corruption: spans of the text are hidden behind sentinels, the decoder says what they were.

    Source: Raffel et al., "T5", 2020 (arXiv 1910.10683).
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus"]] = "corpus"
    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"

    kind: Literal["span-denoising"] = "span-denoising"
    """Catalog name."""
    noise_density: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens that are hidden."""
    mean_span: float = Field(3.0, ge=1)
    """Tokens of a hidden span on average."""

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenSpanDenoising:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenSpanDenoising(type(self).model_validate(state["options"]), tokenizer, int(state["max_length"]))


class TextInfilling(LanguageModel):
    """Text infilling: spans of any length, none included, become one mask each; the decoder says the whole text.

    Source: Lewis et al., "BART", 2020 (arXiv 1910.13461).
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus"]] = "corpus"
    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"

    kind: Literal["text-infilling"] = "text-infilling"
    """Catalog name."""
    mask_probability: float = Field(0.3, gt=0, lt=1)
    """Share of the tokens that are covered."""
    mean_span: float = Field(3.0, ge=0)
    """Mean of the Poisson distribution of a span's length."""

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenTextInfilling:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenTextInfilling(type(self).model_validate(state["options"]), tokenizer, int(state["max_length"]))


class OpenDenoising(OpenLanguageTask):
    """A task that makes a source and a target of every text."""

    joins_documents: ClassVar[bool] = False

    def __init__(self, part: LanguageModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        super().__init__(part, tokenizer, max_length)
        around = special_tokens(tokenizer)
        self.before, self.after = around.prefix.astype(np.int32), around.suffix.astype(np.int32)

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """The tokenizer's own special tokens."""
        return self.before.tolist(), self.after.tolist()

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Damage every text; `labels` [B, M] are what the decoder says, in a length of their own."""
        sources: list[Features] = []
        targets: list[Features] = []
        for index, feature in enumerate(features):
            ids = feature["input_ids"]
            source, target = self.split(ids[len(self.before) : len(ids) - len(self.after)], draw, index)
            sources.append({"input_ids": np.concatenate([self.before, source, self.after])})
            targets.append({"input_ids": np.concatenate([self.before, target, self.after])})
        batch = collate(sources, self.padding)
        said = collate(targets, self.padding)
        batch["labels"] = torch.where(said["attention_mask"].bool(), said["input_ids"], IGNORED_LABEL)
        return batch

    @abstractmethod
    def split(self, ids: np.ndarray[Any, Any], draw: Draw, index: int) -> tuple[np.ndarray[Any, Any], ...]:
        """Return source and target of a text, without special tokens."""

    def corrupt(self, batch: Batch, draw: Draw) -> Batch:
        """Never called: `make_batch` works on single texts."""
        raise NotImplementedError


class OpenSpanDenoising(OpenDenoising):
    """Span corruption with its tokenizer.

    Raises:
        ModelError: The tokenizer has no sentinels.
    """

    part: SpanDenoising

    def __init__(self, part: SpanDenoising, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        super().__init__(part, tokenizer, max_length)
        vocabulary = tokenizer.get_vocab()
        names = [f"<extra_id_{number}>" for number in range(max_length)]
        self.sentinels = np.array([vocabulary[name] for name in names if name in vocabulary], dtype=np.int32)
        if not len(self.sentinels):
            raise ModelError(
                "the tokenizer has no sentinels <extra_id_0>, <extra_id_1> ...",
                where="task",
                mend="take a T5 tokenizer (fathom tokenizer train --style t5 makes one), or task text-infilling",
            )

    def split(self, ids: np.ndarray[Any, Any], draw: Draw, index: int) -> tuple[np.ndarray[Any, Any], ...]:
        """Hide spans; where sentinels run out the spans get longer."""
        most = max(self.part.mean_span, len(ids) * self.part.noise_density / len(self.sentinels))
        noise = noise_spans(len(ids), self.part.noise_density, most, draw.generator(index, SPANS))
        return hide_behind_sentinels(ids, noise, self.sentinels)


class OpenTextInfilling(OpenDenoising):
    """Text infilling with its tokenizer.

    Raises:
        ModelError: The tokenizer has no mask token.
    """

    part: TextInfilling

    def __init__(self, part: TextInfilling, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        super().__init__(part, tokenizer, max_length)
        if tokenizer.mask_token_id is None:
            raise ModelError("the tokenizer has no mask token", where="task", mend="take BART's, or span-denoising")
        self.mask_id = int(tokenizer.mask_token_id)

    def split(self, ids: np.ndarray[Any, Any], draw: Draw, index: int) -> tuple[np.ndarray[Any, Any], ...]:
        """Cover spans; the target is the whole text."""
        options = (self.part.mask_probability, self.part.mean_span)
        return infill(ids, self.mask_id, options, draw.generator(index, SPANS)), ids
