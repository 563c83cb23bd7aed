"""Guess tokens from both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fathom.data.draw import PREDICTION, Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.errors import DataError, ModelError
from fathom.tasks.base import Batch, LossSum
from fathom.tasks.language_model import LanguageModel, OpenLanguageTask
from fathom.tasks.mask_filling import MaskedText, candidates, fill, likeliest, read_masks
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
    top_k: int = 5
    """Candidates for each mask of a text that is to be filled."""
    tells_others = True

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

    def check_input(self, example: Example) -> None:
        """Refuse a text that cannot be filled; see `_read`."""
        self._read(example)

    def _read(self, example: Example) -> MaskedText:
        """Find the masks of a text.

        Raises:
            DataError: It has none, or one beyond what the model reads; or there is a second text.
        """
        if example.get("text_pair") is not None:
            raise DataError(
                "a second text beside one whose masks are to be filled", where=example["where"], mend="remove text_pair"
            )
        found, room = read_masks(example, self.tokenizer), self.max_length - self.overhead
        if found.places[-1] >= room:
            raise DataError(
                f"a mask is token {found.places[-1] + 1} of the text, and the model reads {room}",
                where=example["where"],
                mend="shorten the text before it",
            )
        return found

    def encode_inputs(self, examples: Sequence[Example]) -> list[Features]:
        """Encode texts whose masks are to be filled, one sequence for each.

        Raises:
            DataError: See `_read`.
        """
        room = self.max_length - self.overhead
        features: list[Features] = []
        for index, example in enumerate(examples):
            found = self._read(example)
            features.append(
                {
                    "input_ids": self.frame_piece(np.array(found.ids[:room], dtype=np.int32)),
                    "example": np.array(index, dtype=np.int64),
                    "truncated": np.array(len(found.ids) > room, dtype=np.int64),
                }
            )
        return features

    def corrupt(self, batch: Batch, draw: Draw) -> Batch:
        """Choose what is to be guessed and hide it; of a text that is to be filled it is hidden already."""
        if draw.step == PREDICTION:
            hidden_BL = batch["input_ids"] == self.tokenizer.mask_token_id
            return {**batch, "labels": torch.where(hidden_BL, batch["input_ids"], IGNORED_LABEL)}
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

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """Return of each sequence the probabilities and ids of the likeliest tokens, `[masks, top_k]` both.

        Args:
            logits: Of the masks of all sequences, `[S, V]`.
            batch: With a label where a mask is.
        """
        counts = (batch["labels"] != IGNORED_LABEL).sum(1).tolist()
        scores_SK, tokens_SK = likeliest(logits, self.top_k)
        pairs = zip(scores_SK.split(counts), tokens_SK.split(counts), strict=True)
        return [(scores_MK.numpy(), tokens_MK.numpy()) for scores_MK, tokens_MK in pairs]

    def answer(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return the text `filled` with the likeliest tokens, and of each of its `masks` the place and candidates."""
        scores_MK, tokens_MK = raw[0]
        spans = read_masks(example, self.tokenizer).spans
        told: dict[str, Any] = {"truncated": True} if int(features[0]["truncated"]) else {}
        rows = zip(spans, scores_MK.tolist(), tokens_MK.tolist(), strict=True)
        return {
            "filled": fill(example["text"], spans, tokens_MK[:, 0].tolist(), self.tokenizer),
            "masks": [
                {"start": start, "end": end, "candidates": candidates(scores, tokens, self.tokenizer)}
                for (start, end), scores, tokens in rows
            ],
            **told,
        }

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
