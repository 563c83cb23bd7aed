"""Guess tokens from both sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fathom.data.draw import Draw
from fathom.errors import ModelError
from fathom.tasks.base import Batch, LossSum
from fathom.tasks.language_model import LanguageModel, OpenLanguageTask
from fathom.tasks.masking import choose, choose_spans, join_units, replace
from fathom.tasks.whole_words import WordFinder
from fathom.tokenization.encode import num_ids, special_tokens

ROUNDING = 1e-9
"""By how much shares written in decimals may exceed one when added in binary, as 0.7 + 0.2 + 0.1 do."""


class MaskedLm(LanguageModel):
    """Masked language modelling, drawn anew each time a sequence is seen; optionally with a sentence objective.

    Source: Devlin et al., "BERT", 2019 (arXiv 1810.04805); dynamic masking: Liu et al., "RoBERTa", 2019; spans: Joshi
    et al., "SpanBERT", 2020; sentence order: Lan et al., "ALBERT", 2020; whole words in Chinese: Cui et al., 2019.
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus"]] = "corpus"

    kind: Literal["masked-lm"] = "masked-lm"
    """Catalog name."""
    mask_probability: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens (or words) that have to be guessed."""
    mask_share: float = Field(0.8, ge=0, le=1)
    """Share of those that the mask token takes the place of."""
    random_share: float = Field(0.1, ge=0, le=1)
    """Share of those that a random token takes the place of; the rest stays as it is."""
    masking: Literal["token", "whole-word", "span"] = "token"
    """What is chosen: tokens, whole words (Chinese ones by a segmenter), or spans of whole words."""
    sentence_objective: Literal["none", "next-sentence", "sentence-order"] = "none"
    """A second loss on pairs of passages: does the second follow the first, or are the two swapped?"""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.mask_share + self.random_share > 1 + ROUNDING:
            raise ValueError(
                f"mask_share {self.mask_share} and random_share {self.random_share} are shares of the same tokens: "
                "together they must not exceed 1"
            )
        return self

    @property
    def auto_class(self) -> str:  # type: ignore[override]
        """The head: with a sentence objective BERT's own pretraining head, which has both."""
        return "AutoModelForMaskedLM" if self.sentence_objective == "none" else "AutoModelForPreTraining"

    @property
    def labelled_share(self) -> float:
        """What has to be guessed."""
        return self.mask_probability

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenMaskedLm:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenMaskedLm(type(self).model_validate(state["options"]), tokenizer, int(state["max_length"]))


class OpenMaskedLm(OpenLanguageTask):
    """Masked language modelling with its tokenizer.

    Raises:
        ModelError: The tokenizer has no mask token.
    """

    part: MaskedLm

    def __init__(self, part: MaskedLm, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        super().__init__(part, tokenizer, max_length)
        if tokenizer.mask_token_id is None:
            raise ModelError(
                "the tokenizer has no mask token",
                where="task",
                mend="take the tokenizer of an encoder (fathom tokenizer train --style bert makes one), or causal-lm",
            )
        self._around = special_tokens(tokenizer)
        # ids, not words, are counted: a vocabulary may have holes, and then ids beyond its number of words
        special = np.zeros(num_ids(tokenizer), dtype=bool)
        special[tokenizer.all_special_ids] = True
        self._special_V = special
        real = np.zeros_like(special)
        real[list(tokenizer.get_vocab().values())] = True
        self._words_V = np.flatnonzero(real & ~special)
        self._finder = None if part.masking == "token" else WordFinder(tokenizer, chinese=True)

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """The tokenizer's own special tokens around a sequence."""
        return self._around.prefix.tolist(), self._around.suffix.tolist()

    def corrupt(self, batch: Batch, draw: Draw) -> Batch:
        """Choose what is to be guessed and hide it."""
        ids_BL = batch["input_ids"].numpy()
        allowed_BL = batch["attention_mask"].numpy().astype(bool) & ~self._special_V[ids_BL]
        if self._finder is None:
            unit_BL = np.broadcast_to(np.arange(ids_BL.shape[1]), ids_BL.shape)
        else:
            unit_BL = join_units(self._finder.begins(ids_BL))
        pick = choose_spans if self.part.masking == "span" else choose
        chosen_BL = pick(draw, unit_BL, allowed_BL, self.part.mask_probability)
        shares = (self.part.mask_share, self.part.random_share)
        assert self.tokenizer.mask_token_id is not None
        inputs, labels = replace(draw, ids_BL, chosen_BL, (self.tokenizer.mask_token_id, self._words_V), shares)
        return {**batch, "input_ids": torch.from_numpy(inputs), "labels": torch.from_numpy(labels)}

    def side_loss(self, output: Any, batch: Batch) -> LossSum | None:
        """Cross-entropy of the sentence objective, summed over the pairs."""
        if "label" not in batch:
            return None
        named = "sop_logits" if "sop_logits" in output else "seq_relationship_logits"  # ALBERT has its own name
        logits: Tensor = output[named]
        loss = torch.nn.functional.cross_entropy(logits.float(), batch["label"], reduction="sum")
        return LossSum(loss, (logits.argmax(-1) == batch["label"]).sum())

    def side_normalizer(self, batch: Batch) -> float:
        """Pairs of passages."""
        return float(len(batch["label"])) if "label" in batch else 0.0
