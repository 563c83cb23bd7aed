"""Predict every token from the ones before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from transformers import PreTrainedTokenizerBase

from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL
from fathom.tasks.base import Batch
from fathom.tasks.language_model import LanguageModel, OpenLanguageTask
from fathom.tokenization.beginning import beginning_of


class CausalLm(LanguageModel):
    """Causal language modelling: the next token, at every position of every document.

    Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019.
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus"]] = "corpus"
    auto_class: ClassVar[str] = "AutoModelForCausalLM"

    kind: Literal["causal-lm"] = "causal-lm"
    """Catalog name."""
    end_of_document: bool = True
    """Put the tokenizer's end-of-text token after each document, so that the model learns to stop."""
    begin_of_document: bool = True
    """Put before each piece of a document the token that the tokenizer puts before a text, as the model was pretrained
    (Llama, Gemma); most tokenizers put none."""

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenCausalLm:
        """Return the live task of a saved model; see `Task.reopen`."""
        options = {"begin_of_document": False, **state["options"]}  # earlier versions put none
        return OpenCausalLm(type(self).model_validate(options), tokenizer, int(state["max_length"]))


class OpenCausalLm(OpenLanguageTask):
    """Causal language modelling with its tokenizer."""

    causal: ClassVar[bool] = True
    part: CausalLm

    def __init__(self, part: CausalLm, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        super().__init__(part, tokenizer, max_length)
        self._beginning = beginning_of(tokenizer) if part.begin_of_document else []

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """The token that begins a text, where the tokenizer has one and it is wanted."""
        return self._beginning, []

    @property
    def end_of_document(self) -> int | None:
        """The tokenizer's end-of-text token, where it has one and it is wanted."""
        return self.tokenizer.eos_token_id if self.part.end_of_document else None

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        return {**super().cache_key(), "end_of_document": self.part.end_of_document}

    def corrupt(self, batch: Batch, draw: Draw) -> Batch:
        """Every token is its own label."""
        real = batch["attention_mask"].bool()
        return {**batch, "labels": torch.where(real, batch["input_ids"], IGNORED_LABEL)}
