"""What a user will choose next: a language model whose words are items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from fathom.data.batch import collate
from fathom.data.draw import EVALUATION, Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.errors import DataError
from fathom.tasks.base import Batch, LossSum
from fathom.tasks.labels import place
from fathom.tasks.language_model import LanguageModel, OpenLanguageTask
from fathom.tasks.masking import CHOICE
from fathom.tokenization.items import SPECIAL, item_tokenizer

LAST_ONLY = CHOICE + 10
"""Stream of the draw that decides whether only the last item of a sequence is masked."""


class Recommendation(LanguageModel):
    """Recommendation: the next item of a sequence, the items being the words of the vocabulary.

    Of each user the item chosen last is the test, the one before it the validation, and the rest is learnt from.
    Sources: Kang & McAuley, "SASRec", 2018 (arXiv 1808.09781); Sun et al., "BERT4Rec", 2019 (arXiv 1904.06690).
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus", "pairs", "interactions"]] = "interactions"

    kind: Literal["recommendation"] = "recommendation"
    """Catalog name."""
    objective: Literal["causal", "masked"] = "causal"
    """`causal`: each item from those before it (SASRec; gpt2, llama ...); `masked`: hidden items from both sides
    (BERT4Rec; bert ...)."""
    mask_probability: float = Field(0.3, gt=0, lt=1)
    """Share of the items that is hidden; masked only."""
    last_probability: float = Field(0.1, ge=0, le=1)
    """Share of the sequences of which only the last item is hidden, as when it is asked; masked only."""
    num_recommendations: int = Field(10, ge=1)
    """Items that an answer names."""

    @property
    def auto_class(self) -> str:  # type: ignore[override]
        """The head: one for each direction of reading."""
        return "AutoModelForCausalLM" if self.objective == "causal" else "AutoModelForMaskedLM"

    def make_tokenizer(self, examples: Sequence[Example]) -> PreTrainedTokenizerBase:
        """Return the tokenizer of the training items, the most chosen first."""
        counts = Counter(item for example in examples for item in example["items"])
        return item_tokenizer(item for item, _ in counts.most_common())

    def open(
        self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> OpenRecommendation:
        """Check that there is something to learn; see `Task.open`."""
        if all(len(example["items"]) < 2 for example in examples):
            raise DataError(
                "no user chose two items, so nothing follows anything",
                where=place(examples[0]),
                mend="check the columns of user and item",
            )
        return OpenRecommendation(self, tokenizer, {"max_length": max_length})

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenRecommendation:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenRecommendation(type(self).model_validate(state["options"]), tokenizer, state)


class OpenRecommendation(OpenLanguageTask):
    """Recommendation with its items.

    A sequence that is scored ends with the item that is asked; one that is answered does not.
    """

    part: Recommendation
    keeps_logits: ClassVar[bool] = True

    def __init__(self, part: Recommendation, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]) -> None:
        super().__init__(part, tokenizer, int(state["max_length"]))
        self.causal = part.objective == "causal"  # type: ignore[misc]
        self._vocabulary = tokenizer.get_vocab()
        self.unknown, self.mask = (self._vocabulary[SPECIAL[name]] for name in ("unk_token", "mask_token"))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        return ("recommendation",)

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "ndcg@10"

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        return {"kind": self.kind, "max_length": self.max_length, "earlier": "counted"}

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode sequences, a long one in pieces that end with its end; room is left for the item that is asked.

        `earlier` is how many items of the sequence stand in the pieces before.
        """
        features: list[Features] = []
        room = self.max_length - 1
        for index, example in enumerate(examples):
            items = example["items"] if "items" in example else example["text"].split()
            ids = np.array([self._vocabulary.get(item, self.unknown) for item in items], dtype=np.int32)
            starts = [0, *range(len(ids) % room or room, len(ids), room)]
            for start, piece in zip(starts, np.split(ids, starts[1:]), strict=True):
                numbers = {"example": np.int64(first_index + index), "earlier": np.int64(start)}
                features.append({"input_ids": piece, **numbers})  # type: ignore[dict-item]
        return features

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Ask all items (causal) or hidden ones (masked) in training, the last when scored, the next when answering."""
        if draw.step > EVALUATION:  # the next item is asked: something has to stand in its place
            asked = np.array([self.mask], dtype=np.int32)
            features = [{**item, "input_ids": np.concatenate([item["input_ids"], asked])} for item in features]
        batch = collate(features, self.padding)
        ids_BL, mask_BL = batch["input_ids"], batch["attention_mask"].bool()
        last_BL = torch.arange(ids_BL.shape[1]) == mask_BL.sum(1, keepdim=True) - 1
        if draw.step >= EVALUATION:
            chosen_BL = last_BL
        elif self.causal:
            chosen_BL = mask_BL
        else:
            uniform_BL = draw.uniform(CHOICE, np.broadcast_to(np.arange(ids_BL.shape[1]), ids_BL.shape))
            only_last_B1 = torch.from_numpy(draw.uniform(LAST_ONLY, np.zeros((len(ids_BL), 1))))
            few_BL = torch.from_numpy(uniform_BL < self.part.mask_probability) & mask_BL
            no_other_B1 = (only_last_B1 < self.part.last_probability) | ~few_BL.any(1, keepdim=True)
            chosen_BL = torch.where(no_other_B1, last_BL, few_BL)
        batch["labels"] = torch.where(chosen_BL, ids_BL, IGNORED_LABEL)
        if not self.causal:
            batch["input_ids"] = torch.where(chosen_BL, self.mask, ids_BL)
            return batch
        batch["labels"] = torch.full_like(ids_BL, IGNORED_LABEL)
        batch["labels"][:, :-1] = torch.where(chosen_BL, ids_BL, IGNORED_LABEL)[:, 1:]
        return batch

    def corrupt(self, batch: Batch, draw: Draw) -> Batch:
        """Not used: `make_batch` does it all."""
        return batch

    def normalizer(self, batch: Batch) -> float:
        """Items that are asked and known."""
        labels = batch["labels"]
        return float(((labels != IGNORED_LABEL) & (labels != self.unknown)).sum())

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Cross-entropy of the known items that are asked, summed; of logits `[S, V]`."""
        labels_BL = batch["labels"].to(logits.device)
        labels_S = labels_BL[labels_BL != IGNORED_LABEL]
        return LossSum(functional.cross_entropy(logits.float(), labels_S, reduction="sum", ignore_index=self.unknown))

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """For each sequence the rank of the item asked (infinite for an unknown one, or one whose score is
        NaN), and the best items and scores.

        Items that stand in the sequence are not recommended again. Where others stand in earlier pieces of it, so many
        of the best are kept that `decode` can leave those out too.
        """
        logits_SV = logits.detach().float().cpu().clone()
        labels_BL = batch["labels"].cpu()
        row_S = (labels_BL != IGNORED_LABEL).nonzero()[:, 0]
        found: list[Any] = [(np.inf, np.empty(0, dtype=np.int64), np.empty(0))] * len(labels_BL)
        logits_SV[:, : len(SPECIAL)] = -torch.inf
        logits_SV[:, len(self._vocabulary) :] = -torch.inf
        label_S = labels_BL[labels_BL != IGNORED_LABEL]
        history_SL = batch["input_ids"].cpu()[row_S]
        earlier_B = batch["earlier"].tolist()
        for place_, row in enumerate(row_S.tolist()):
            label, score_V = int(label_S[place_]), logits_SV[place_]
            seen = history_SL[place_][history_SL[place_] != label]
            score_V[seen] = -torch.inf
            rank, wanted = np.inf, self.part.num_recommendations
            if label >= len(SPECIAL) and not score_V[label].isnan():  # NaN is above nothing, which would be the first
                rank = 1.0 + float((score_V > score_V[label]).sum()) + float((score_V[:label] == score_V[label]).sum())
            if earlier_B[row]:
                wanted = max(wanted + earlier_B[row], int(rank) if np.isfinite(rank) else 0)
            best = score_V.topk(min(wanted, len(score_V)))
            found[row] = (rank, best.indices.numpy(), best.values.numpy())
        return found

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return `items`, the best ones with their logits, and `rank`, that of the last item where it is asked.

        Items of earlier pieces of the sequence are left out of both, as those of its last piece are.
        """
        rank, best, scores = raw[-1]
        earlier = features[: len(raw) - 1]
        gone = np.isin(best, np.concatenate([[], *(feature["input_ids"] for feature in earlier)]))
        if earlier and np.isfinite(rank):
            rank -= float((gone & (scores > scores[int(rank) - 1])).sum())
        kept = np.flatnonzero(~gone & np.isfinite(scores))[: self.part.num_recommendations]
        names = self.tokenizer.convert_ids_to_tokens(best[kept].tolist())
        items = [{"item": name, "score": float(score)} for name, score in zip(names, scores[kept], strict=True)]
        return {"rank": float(rank), "items": items}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the rank of the last item, and its rank by popularity."""
        if len(example["items"]) < 2:
            raise DataError(
                "the user has one item, and nothing comes before it", where=place(example), mend="remove it"
            )
        *history, target = [self._vocabulary.get(item, self.unknown) for item in example["items"]]
        return prediction["rank"], self._popularity_rank(history, target)

    def _popularity_rank(self, history: Sequence[int], target: int) -> float:
        if target < len(SPECIAL):
            return float("inf")
        # ids fall with popularity, so those before the target come first, but for what the user has
        return float(target - len(SPECIAL) + 1 - sum(len(SPECIAL) <= item < target for item in set(history)))
