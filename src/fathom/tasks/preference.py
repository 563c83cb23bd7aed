"""Which of two answers is better: a model that answers learns from comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fathom.data.batch import collate
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, Example, Features
from fathom.errors import ConfigError, DataError
from fathom.tasks import preference_losses as losses
from fathom.tasks.base import Batch, LossSum, OpenTask, Task
from fathom.tasks.labels import place
from fathom.tasks.language_model import shift
from fathom.tasks.preference_encoding import AnswerEncoder, Judged, TooLong, judged_pairs, judged_singly, split_answers
from fathom.tokenization.chat import ChatTemplate

Objective = Literal["dpo", "ipo", "orpo", "simpo", "kto"]
BETAS: dict[Objective, float] = {"dpo": 0.1, "ipo": 0.1, "orpo": 0.1, "simpo": 2.0, "kto": 0.1}
COMPARING = ("dpo", "ipo", "kto")
"""Objectives that compare with the reference."""
BY_MEAN = ("ipo", "orpo", "simpo")
"""Objectives that take the mean over an answer's tokens, where the recipe says nothing."""
IDLE: dict[str, tuple[Objective, ...]] = {
    "gamma": ("simpo",),
    "label_smoothing": ("dpo", "simpo"),
    "sft_weight": ("dpo", "ipo", "simpo"),
    "desirable_weight": ("kto",),
    "undesirable_weight": ("kto",),
}
"""Options, and the objectives that know them."""


class Preference(Task):
    """Preferences: of two answers to a prompt the better one becomes likelier, the other less so.

    Or single answers that are wanted become likelier, and those that are not less so. What is compared with, the
    reference, is the model as it is before training.

    Sources: DPO, Rafailov et al. 2023 (arXiv 2305.18290); IPO, Azar et al. 2023 (2310.12036); ORPO, Hong et al. 2024
    (2403.07691); SimPO, Meng et al. 2024 (2405.14734); KTO, Ethayarajh et al. 2024 (2402.01306).
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus", "pairs", "preference"]] = "preference"
    auto_class: ClassVar[str] = "AutoModelForCausalLM"

    kind: Literal["preference"] = "preference"
    """Catalog name."""
    objective: Literal["auto", "dpo", "ipo", "orpo", "simpo", "kto"] = "auto"
    """`dpo`, `ipo` and `kto` compare with the reference, `orpo` and `simpo` need none; `kto` learns from single
    answers, and takes a pair as two. Auto says dpo for pairs and kto for single answers."""
    beta: float | None = Field(None, gt=0)
    """How dearly leaving the reference is paid for (dpo, ipo, kto), the scale of rewards (simpo), or the weight of the
    odds (orpo); left out, 0.1, and 2 for simpo."""
    gamma: float = Field(1.0, ge=0)
    """By how much the better answer's reward should be above the other's; simpo only."""
    length_normalized: bool | None = None
    """Take the mean over an answer's tokens in place of the sum. Left out: yes for ipo (as its authors advise), orpo
    and simpo (which know nothing else), no for dpo and kto."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Share of the pairs taken to be the wrong way round; dpo and simpo only."""
    sft_weight: float = Field(0.0, ge=0)
    """Weight of the chosen answer's own loss (mean over its tokens) beside the objective's; dpo, ipo and simpo."""
    desirable_weight: float = Field(1.0, ge=0)
    """Of answers that are wanted; kto only."""
    undesirable_weight: float = Field(1.0, ge=0)
    """Of answers that are not; kto only."""
    too_long: TooLong = "cut"
    """What happens to a pair longer than `max_length`: first exchanges of the prompt are left out, the same for both
    answers (the system turn stays; of a last exchange that is too long the prompt loses its beginning down to half of
    the room, then answers lose their end), or the data are refused."""

    @model_validator(mode="after")
    def _can_be_honoured(self) -> Self:
        if self.objective in ("orpo", "simpo") and self.length_normalized is False:
            raise ValueError(f"{self.objective} takes the mean over an answer's tokens: leave length_normalized out")
        if self.objective != "auto":
            for name in self._idle(self.objective):
                raise ValueError(f"{name} is for {', '.join(IDLE[name])}, not for {self.objective}: leave it out")
        return self

    def _idle(self, objective: Objective) -> list[str]:
        """Options that are written, and that an objective knows nothing of."""
        usual = type(self).model_fields
        return [name for name in IDLE if objective not in IDLE[name] and self.__dict__[name] != usual[name].default]

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenPreference:
        """Read from the training examples whether answers come in pairs; see `Task.open`."""
        paired = {"chosen" in example for example in examples}
        if len(paired) > 1:
            other = next(item for item in examples if ("chosen" in item) != ("chosen" in examples[0]))
            raise DataError(
                "some rows are pairs of answers and some single answers",
                where=place(other),
                mend="give every row the same columns",
            )
        in_pairs = paired != {False}
        objective: Objective = ("dpo" if in_pairs else "kto") if self.objective == "auto" else self.objective
        for name in self._idle(objective):
            raise ConfigError(
                f"the objective is {objective}, and {name} is for {', '.join(IDLE[name])}",
                where=f"task.{name}",
                mend="leave it out",
            )
        if objective != "kto" and not in_pairs:
            raise DataError(
                f"the rows hold single answers, and {objective} learns from pairs",
                where=place(examples[0]),
                mend="write task.objective=kto, or give chosen and rejected",
            )
        if objective == "kto" and not in_pairs and len({example.get("label") for example in examples}) < 2:
            raise DataError(
                f"every answer is {examples[0].get('label', 'without a label')}, so there is nothing to tell apart",
                where=place(examples[0]),
                mend="give answers that are wanted and others that are not",
            )
        part = self.model_copy(update={"objective": objective})
        return part.reopen({"options": part.model_dump(), "paired": in_pairs, "max_length": max_length}, tokenizer)

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenPreference:
        """Return the live task of a saved model; see `Task.reopen`."""
        part = type(self).model_validate(state["options"])
        return (OpenKto if part.objective == "kto" else OpenPreference)(part, tokenizer, state)


class OpenPreference(OpenTask):
    """Preferences with their tokenizer and template.

    A sequence of the store is a prompt with two answers, each a conversation of its own, one after the other and told
    apart by `segment`; a batch has a row for each. `reference` holds what the reference says of each labelled token.
    """

    part: Preference
    vocabulary: ClassVar[bool] = True
    keeps_logits: ClassVar[bool] = True
    reads_words: ClassVar[bool] = True

    def __init__(self, part: Preference, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]) -> None:
        self.part = part
        self.kind = part.kind
        self.labels = ()
        self.tokenizer = tokenizer
        self.max_length = int(state["max_length"])
        self.paired = bool(state["paired"])
        self.padding = tokenizer.pad_token_id or 0
        self.template = ChatTemplate(tokenizer)
        self.encoder = AnswerEncoder(self.template, self.max_length, part.too_long)
        assert part.objective != "auto"  # opened
        self.objective: Objective = part.objective
        self.beta = part.beta or BETAS[self.objective]
        given = part.length_normalized
        self.by_mean = self.objective in BY_MEAN if given is None else given
        self.reference: dict[str, Any] | None = state.get("reference")
        """Where the reference is found again; see `runs.reference`. None where it is not, or none is needed."""

    @property
    def compares(self) -> bool:
        """Whether the objective needs to know what the reference says."""
        return self.objective in COMPARING

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Nothing: the vocabulary is the tokenizer's."""
        return {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        return ("preference",)

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "accuracy" if self.paired else "auc"

    @property
    def fixed_inputs(self) -> bool:
        """Nothing is drawn."""
        return True

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode prompts with their answers; `labels` are the answers' tokens, -100 elsewhere.

        Raises:
            DataError: The template refuses a conversation, a row is no pair, or too long where the policy is to refuse.
        """
        return self.encoder.encode(self.judged(examples, first_index))

    def judged(self, examples: Sequence[Example], first_index: int) -> list[Judged]:
        """Return what each sequence of the store is made of."""
        return judged_pairs(examples, first_index)

    def answer_names(self, features: Features) -> tuple[str, ...]:
        """Return what the answers of a sequence are called, for people."""
        return ("chosen", "rejected")

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        return {
            "kind": self.kind,
            "max_length": self.max_length,
            "too_long": self.part.too_long,
            "template": self.template.source,
            "singly": self.objective == "kto",
        }

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, and what generation needs: the template's name and the token that ends a turn."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "labels": [],
            "max_length": self.max_length,
            "paired": self.paired,
            "template": self.template.name,
            "end_of_turn": self.template.end_of_turn,
            **({} if self.reference is None else {"reference": self.reference}),
        }

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Give every answer a row with its prompt, and every label the place where it is predicted.

        `answer` says of each labelled position which row it is in, `reference` what the reference finds it (both `[S]`,
        in the order of the padded batch), `row` and `side` of each row which sequence it is from and which of its
        answers it holds.
        """
        answers = [split_answers(feature) for feature in features]
        batch = collate([answer for own in answers for answer in own], self.padding)
        batch["labels"] = shift(batch["labels"], None)
        labelled_NL = batch["labels"] != IGNORED_LABEL
        batch["answer"] = labelled_NL.nonzero()[:, 0]
        if "reference" in batch:
            batch["reference"] = batch["reference"].roll(-1, dims=1)[labelled_NL]
        counts = [len(own) for own in answers]
        batch["row"] = torch.repeat_interleave(torch.arange(len(features)), torch.tensor(counts))
        batch["side"] = torch.cat([torch.arange(count) for count in counts])
        if "desirable" in features[0]:
            batch["desirable"] = torch.tensor([bool(feature["desirable"]) for feature in features])
        return batch

    def asked(self, labels_S: Tensor) -> tuple[Tensor, Tensor]:
        """Every label at its position."""
        return torch.arange(len(labels_S)), labels_S

    def normalizer(self, batch: Batch) -> float:
        """Pairs, or single answers; 0 where there is no reference to compare with."""
        return float((batch["side"] == 0).sum()) if self._can_judge(batch) else 0.0

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """The summed loss of the pairs; see `tasks.preference_losses`."""
        if not self._can_judge(batch):
            return LossSum(logits.sum() * 0.0)
        side_N = batch["side"]
        value_N = self._values(logits - batch["reference"] if self.compares else logits, batch)
        chosen_B, rejected_B = value_N[side_N == 0], value_N[side_N == 1]
        part = self.part
        if self.objective == "dpo":
            loss_B = losses.dpo(chosen_B, rejected_B, self.beta, part.label_smoothing)
        elif self.objective == "ipo":
            loss_B = losses.ipo(chosen_B, rejected_B, self.beta)
        elif self.objective == "simpo":
            loss_B = losses.simpo(chosen_B, rejected_B, self.beta, part.gamma, part.label_smoothing)
        else:
            loss_B = losses.orpo(chosen_B, rejected_B, self.beta)
        if part.sft_weight:
            loss_B = loss_B - part.sft_weight * self._values(logits, batch, by_mean=True)[side_N == 0]
        return LossSum(loss_B.sum())

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """Of each answer of a sequence: log-probability, its distance to the reference's, its square, and tokens.

        float64 `[answers, 4]`; the distance is NaN where there is no reference.
        """
        known = "reference" in batch
        read_S = logits.detach().double()
        ratio_S = read_S - batch["reference"].double() if known else torch.full_like(read_S, torch.nan)
        columns_S4 = torch.stack([read_S, ratio_S, ratio_S.square(), torch.ones_like(read_S)], 1)
        sums_N4 = columns_S4.new_zeros(len(batch["side"]), 4).index_add(0, batch["answer"], columns_S4).cpu()
        counts = torch.bincount(batch["row"].cpu()).tolist()
        return [sums.numpy() for sums in sums_N4.split(counts)]

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return `preferred`, `margin`, and of both answers `reward`, `log_probability` and `tokens`.

        A single answer has no `preferred`. Where the reference is not known there are no rewards, and the answer that
        is likelier by token is preferred. `sums` is what scores are made of, see `evaluation.preference`.
        """
        own = self._own_answers(raw)
        names = ("chosen_", "rejected_") if len(own) == 2 else ("",)
        rewards = [self.reward(sums) for sums in own]
        found: dict[str, Any] = {}
        if len(own) == 2:
            known = None not in rewards
            first, second = rewards if known else [float(sums[0] / max(sums[3], 1)) for sums in own]
            margin = float(first) - float(second)  # type: ignore[arg-type]
            found["preferred"] = "chosen" if margin > 0 else "rejected" if margin < 0 else "neither"
            found |= {"margin": margin} if known else {}
        for name, sums, reward in zip(names, own, rewards, strict=True):
            found |= {} if reward is None else {f"{name}reward": reward}
            found |= {f"{name}log_probability": float(sums[0]), f"{name}tokens": int(sums[3])}
        told = {"truncated": True} if any(int(item["truncated"]) for item in features) else {}
        others = [sums.tolist() for record in raw for sums in record[1:]] if self.whole_batch else []
        return {**found, **told, "sums": {"own": [sums.tolist() for sums in own], "others": others}}

    def reward(self, sums: np.ndarray[Any, Any]) -> float | None:
        """Return the reward of an answer from what `raw_predictions` says of it; None where it is not known."""
        tokens = max(float(sums[3]), 1.0)
        if self.objective == "orpo":
            return float(losses.log_odds(torch.tensor(float(sums[0]) / tokens, dtype=torch.float64)))
        value = float(sums[1] if self.compares else sums[0]) / (tokens if self.by_mean else 1.0)
        return None if np.isnan(value) else self.beta * value

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return what is known of the answers, and whether a single one is desirable (None of a pair)."""
        if "chosen" in example:
            return prediction, None
        if "label" not in example:
            raise DataError("the answer has no label", where=place(example), mend="say whether it is wanted")
        return prediction, example["label"] == "desirable"

    def _own_answers(self, raw: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        return list(raw[0])

    def _can_judge(self, batch: Batch) -> bool:
        return not self.compares or "reference" in batch

    def _values(self, values_S: Tensor, batch: Batch, *, by_mean: bool | None = None) -> Tensor:
        """Return the sum of values over each answer's tokens, or their mean, `[N]`."""
        zeros_N = values_S.new_zeros(len(batch["side"]))
        sums_N = zeros_N.index_add(0, batch["answer"], values_S)
        if not (self.by_mean if by_mean is None else by_mean):
            return sums_N
        tokens_N = zeros_N.index_add(0, batch["answer"], torch.ones_like(values_S))
        return sums_N / tokens_N.clamp(min=1)


class OpenKto(OpenPreference):
    """KTO: a sequence of the store is one answer to its prompt, and beside it the answer to another prompt.

    The latter has no gradient: how likely the model finds it tells how far the model is from the reference.
    """

    whole_batch: ClassVar[bool] = True

    def judged(self, examples: Sequence[Example], first_index: int) -> list[Judged]:
        """Return what each sequence of the store is made of; a pair gives two."""
        return judged_singly(examples, first_index)

    def answer_names(self, features: Features) -> tuple[str, ...]:
        """Return what the answers of a sequence are called, for people."""
        return ("desirable" if int(features["desirable"]) else "undesirable", "an answer to another prompt")

    def join(self, batches: Sequence[Batch]) -> Batch:
        """Join what the loss reads of a batch's parts; see `OpenTask.join`."""
        names = ("side", "desirable", *(("reference",) if "reference" in batches[0] else ()))
        joined = {name: torch.cat([batch[name] for batch in batches]) for name in names}
        firsts = np.cumsum([0, *(len(batch["side"]) for batch in batches[:-1])]).tolist()
        joined["answer"] = torch.cat([batch["answer"] + first for batch, first in zip(batches, firsts, strict=True)])
        return joined

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """The summed loss of the answers, measured by how far the batch is from the reference."""
        if not self._can_judge(batch):
            return LossSum(logits.sum() * 0.0)
        ratio_N = self._values(logits - batch["reference"], batch)
        side_N = batch["side"]
        zero = losses.reference_point(ratio_N[side_N == 1])
        weights = (self.part.desirable_weight, self.part.undesirable_weight)
        return LossSum(losses.kto(ratio_N[side_N == 0], batch["desirable"], zero, self.beta, weights).sum())

    def _own_answers(self, raw: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
        return [record[0] for record in raw]
