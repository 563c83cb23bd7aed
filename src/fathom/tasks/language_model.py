"""What language-model tasks share: labels are words of the vocabulary, predicted at chosen positions."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fathom.data.batch import collate
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.tasks.base import LABEL_SMOOTHING, Batch, LossSum, OpenTask, Task
from fathom.tokenization.text_bytes import TextBytes


class LanguageModel(Task):
    """A task whose labels are words of the vocabulary."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, validation_alias=LABEL_SMOOTHING)
    """Share of the probability spread evenly over the vocabulary."""

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenTask:
        """Return the live task; nothing is learnt from the examples."""
        return self.reopen({"options": self.model_dump(), "max_length": max_length}, tokenizer)


class OpenOverVocabulary(OpenTask):
    """A task whose labels are words of the vocabulary: `labels` [B, L] of a batch, -100 where none is predicted."""

    vocabulary: ClassVar[bool] = True

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        return ("perplexity",)

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "loss"

    def normalizer(self, batch: Batch) -> float:
        """Labelled positions."""
        return float((batch["labels"] != IGNORED_LABEL).sum())

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Cross-entropy over whole logits `[B, L, V]`; what `model.vocabulary` computes without them."""
        labels = batch["labels"].to(logits.device)
        total = torch.nn.functional.cross_entropy(
            logits.float().flatten(0, 1),
            labels.flatten(),
            reduction="sum",
            ignore_index=IGNORED_LABEL,
            label_smoothing=self.label_smoothing,
        )
        return LossSum(total)

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """See `records`; from whole logits."""
        labels = batch["labels"].to(logits.device)
        chosen = labels != IGNORED_LABEL
        logits_SV = logits[chosen].float()
        losses = torch.nn.functional.cross_entropy(logits_SV, labels[chosen], reduction="none")
        return self.records(losses, logits_SV.argmax(-1) == labels[chosen], batch)

    def records(self, losses_S: Tensor, hits_S: Tensor, batch: Batch) -> list[Any]:
        """Return (summed loss, labels, hits) of each sequence of a batch.

        Args:
            losses_S: Negative log-likelihood of each label, in the order of the padded batch.
            hits_S: Whether it ranked first.
            batch: `row` says which sequence each of its rows is from, where they are not the sequences themselves.
        """
        row_S = (batch["labels"] != IGNORED_LABEL).nonzero()[:, 0].cpu()
        rows = len(batch["labels"])
        if "row" in batch:
            owner = batch["row"].cpu()
            row_S, rows = owner[row_S], int(owner.max()) + 1
        zeros = torch.zeros(rows, dtype=torch.float64)
        counted = (losses_S, torch.ones_like(losses_S), hits_S)
        sums = [zeros.index_add(0, row_S, values.cpu().double()) for values in counted]
        return list(torch.stack(sums, 1).numpy())

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Join the records of one text: summed loss, labels, hits."""
        loss, tokens, hits = np.sum(raw, axis=0)
        return {
            "loss": float(loss),
            "tokens": int(tokens),
            "hits": int(hits),
            "perplexity": math.exp(min(loss / max(tokens, 1), 700.0)),
        }

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return ((summed loss, labels, hits), `bytes` of the example: see `predicted_bytes`; None where not known)."""
        return (prediction["loss"], prediction["tokens"], prediction["hits"]), example.get("bytes")


class OpenLanguageTask(OpenOverVocabulary):
    """A language-model task with its tokenizer.

    A subclass says which positions carry a label: statically, by `labels` in its features (the token itself where it
    counts, -100 elsewhere, not shifted), or at random, in `corrupt`.
    """

    part: LanguageModel
    causal: ClassVar[bool] = False
    """Whether a token is predicted at the position before it."""
    joins_documents: ClassVar[bool] = True
    """Whether one sequence may hold several documents, kept apart."""

    def __init__(self, part: LanguageModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.part = part
        self.kind = part.kind
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.labels = ()
        self.label_smoothing = part.label_smoothing
        self.padding = tokenizer.pad_token_id or 0

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Nothing: the vocabulary is the tokenizer's."""
        return {}

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """Tokens before and after each piece of a document."""
        return [], []

    @property
    def overhead(self) -> int:
        """Tokens that framing adds to a piece."""
        before, after = self.frame
        return len(before) + len(after)

    def frame_piece(self, ids: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return a piece of a document as the model reads it."""
        before, after = self.frame
        return np.concatenate([before, ids, after]).astype(np.int32) if before or after else ids.astype(np.int32)

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode texts, each cut into pieces of `max_length`; a short rest is a piece of its own."""
        room = self.max_length - self.overhead
        encoded = self.tokenizer([item["text"] for item in examples], add_special_tokens=False, verbose=False)
        features: list[Features] = []
        for index, ids in enumerate(encoded["input_ids"]):
            end = self.end_of_document
            whole = np.asarray(ids if end is None else [*ids, end], dtype=np.int32)
            for start in range(0, max(len(whole), 1), room):
                piece = self.frame_piece(whole[start : start + room])
                if len(piece):
                    features.append({"input_ids": piece, "example": np.int64(first_index + index)})  # type: ignore[dict-item]
        return features

    @property
    def fixed_inputs(self) -> bool:
        """A causal task predicts the tokens it reads: nothing is drawn."""
        return self.causal

    @property
    def end_of_document(self) -> int | None:
        """The token that ends every document; None for none."""
        return None

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        return {"kind": self.kind, "max_length": self.max_length, "frame": [list(side) for side in self.frame]}

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Collate sequences, choose what is predicted, and put every label where it is predicted."""
        batch = self.corrupt(collate(features, self.padding), draw)
        if self.causal:
            batch["labels"] = shift(batch["labels"], batch.get("segment"))
        return batch

    @abstractmethod
    def corrupt(self, batch: Batch, draw: Draw) -> Batch:
        """Return the batch with its inputs as the model reads them and `labels` [B, L], not shifted."""

    def predicted_bytes(self, features: Features) -> int:
        """Return the bytes of the tokens that running text predicts; 0 where it is not said word by word.

        The first token of a piece has nothing before it and is predicted nowhere: its bytes count as little as it does.
        """
        if not self.causal:
            return 0
        ids_L = features["input_ids"]
        segment_L = features.get("segment", np.zeros(len(ids_L), np.int32))
        pieces = np.split(ids_L, np.flatnonzero(np.diff(segment_L)) + 1)
        return sum(self._text_bytes.after_first(piece) for piece in pieces)

    @cached_property
    def _text_bytes(self) -> TextBytes:
        return TextBytes(self.tokenizer)

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        options = self.part.model_dump(mode="json")
        return {"kind": self.kind, "options": options, "labels": [], "max_length": self.max_length}


def shift(labels_BL: Tensor, segment_BL: Tensor | None) -> Tensor:
    """Move every label to the position before it; a document's first token is predicted nowhere.

    Args:
        labels_BL: Labels at their own positions.
        segment_BL: Number of the document each token is from, where rows hold several.
    """
    shifted_BL = torch.full_like(labels_BL, IGNORED_LABEL)
    shifted_BL[:, :-1] = labels_BL[:, 1:]
    if segment_BL is not None:
        last_BL = segment_BL[:, 1:] != segment_BL[:, :-1]
        shifted_BL[:, :-1][last_BL] = IGNORED_LABEL
    return shifted_BL
