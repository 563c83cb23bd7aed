"""A label for a text by a prompt: which label's word does a language model put into a template?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fathom.config import suggest
from fathom.data.batch import collate, split_segments
from fathom.data.draw import Draw
from fathom.data.example import IGNORED_LABEL, PER_TOKEN_PADDING, Example, Features
from fathom.errors import ConfigError, DataError
from fathom.log import get_console
from fathom.model.families import reads_both_ways
from fathom.tasks.base import LABEL_SMOOTHING, Batch, LossSum, Task
from fathom.tasks.labels import ClassWeights, place, sort_labels, weigh_classes
from fathom.tasks.prompt_template import Array, Filled, PromptTemplate, check_holes
from fathom.tasks.single_label import OpenSingleLabel
from fathom.tasks.text_classification import read_labels
from fathom.tasks.verbalizer import Length, Reading, ask_causal, ask_masked, check_labels, check_words

MOST_NAMED = 10


class PromptClassification(Task):
    """Classification by a prompt, for few examples: a template, and a word that stands for each label.

    The text is put into the template, and the model's own vocabulary head says which label's word belongs there: no
    head is new, so the model answers before it is trained. Takes an encoder with a masked-LM head or a decoder.

    Sources: Schick & Schütze, "Exploiting Cloze Questions for Few Shot Text Classification and Natural Language
    Inference", 2021 (arXiv 2001.07676); words of several tokens: "It's Not Just Size That Matters", 2021 (arXiv
    2009.07118).
    """

    form: ClassVar[Literal["text", "spans"]] = "text"

    kind: Literal["prompt-classification"] = "prompt-classification"
    """Catalog name."""
    template: str = "{text} It was {mask}."
    """What the model reads: `{text}` (and `{text_pair}`, where an example has two) and, where the label's word belongs,
    `{mask}`. For a decoder it ends there: `{text} It was {mask}`."""
    verbalizer: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """The word, or a list of words, for each label: `{pos: great, neg: [terrible, awful]}`. A label's score is the mean
    over its words. Every label of the data needs one; labels without examples may be there too."""
    objective: Literal["auto", "masked", "causal"] = "auto"
    """Whether the word is guessed at masks, or follows a prompt; auto asks the model what it can."""
    word_length: Length = "sum"
    """How the tokens of a word count: the sum of their log probabilities, or their mean, under which long words are at
    no disadvantage before training."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, validation_alias=LABEL_SMOOTHING)
    """Share of the probability spread evenly over all labels."""
    class_weights: ClassWeights = "none"
    """How much each label counts in the loss: none, balanced (rare labels more), or {label: weight}."""

    @field_validator("template")
    @classmethod
    def _has_holes(cls, template: str) -> str:
        return check_holes(template)

    @field_validator("verbalizer", mode="before")
    @classmethod
    def _as_words(cls, given: Any) -> Any:
        """Read one word as a list of one, and numbers as they are written."""
        if not isinstance(given, Mapping):
            return given
        found: dict[str, Any] = {}
        for label, value in given.items():
            words = value if isinstance(value, list | tuple) else [value]
            if not words or not all(isinstance(word, str | int) and str(word).strip() for word in words):
                raise ValueError(f"the label '{label}' needs a word, or a list of words")
            found[str(label)] = tuple(str(word).strip() for word in words)
        return found

    @property
    def auto_class(self) -> str:  # type: ignore[override]
        """The head: the vocabulary's, of an encoder or a decoder."""
        return "AutoModelForMaskedLM" if self.objective == "masked" else "AutoModelForCausalLM"

    def suited(self, config: Any) -> Self:
        """Return the task as a model of this config does it; see `Task.suited`.

        Raises:
            ConfigError: An encoder-decoder, or another kind of model than the recipe says.
        """
        if config.is_encoder_decoder:
            raise ConfigError(
                f"{config.model_type} is an encoder-decoder, and prompts are answered by one stack of blocks",
                where="model",
                mend="choose an encoder with a masked-LM head, or a decoder",
            )
        found = "masked" if reads_both_ways(config) else "causal"
        if self.objective not in ("auto", found):
            raise ConfigError(
                f"the recipe says {self.objective}, and {config.model_type} is {found}",
                where="task.objective",
                mend="leave it out",
            )
        return self.model_copy(update={"objective": found})

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenPrompt:
        """Check that every label has its own words; see `Task.open`.

        Raises:
            ConfigError: A label without a word, a word the vocabulary has not, one word for two labels.
        """
        first: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for example in examples:
            if example.get("label") is not None:
                label = one_label(example)
                counts[label] += 1
                first.setdefault(label, place(example))
        check_labels(first, self.verbalizer)
        labels = sort_labels(self.verbalizer)
        if len(labels) < 2:
            raise ConfigError(
                f"{len(labels)} labels have a word, and a choice is between two at least",
                where="task.verbalizer",
                mend="write verbalizer: {LABEL: WORD, LABEL: WORD}",
            )
        objective = self.objective
        if objective == "auto":
            objective = "causal" if tokenizer.mask_token_id is None else "masked"
        part = self.model_copy(update={"objective": objective})
        weights = weigh_classes(self.class_weights, labels, counts)
        opened = OpenPrompt(part, tokenizer, {"labels": labels, "weights": weights, "max_length": max_length})
        opened.tell()
        return opened

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenPrompt:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenPrompt(type(self).model_validate(state["options"]), tokenizer, state)


class OpenPrompt(OpenSingleLabel):
    """Classification by a prompt with its words and tokenizer.

    An example is a sequence; where words differ in length (or, for a decoder, in their beginnings) a sequence for each
    reading, one after another, told apart by `segment`, and each a row of its own in a batch.

    Raises:
        ModelError: Masks are asked for, and the tokenizer has none.
        ConfigError: Something in template or words cannot be honoured.
    """

    part: PromptClassification
    vocabulary: ClassVar[bool] = True
    keeps_logits: ClassVar[bool] = True
    reads_words: ClassVar[bool] = True

    def __init__(
        self, part: PromptClassification, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]
    ) -> None:
        super().__init__(state["labels"], state["weights"], part.label_smoothing)
        self.part = part
        self.kind = part.kind
        self.tokenizer = tokenizer
        self.max_length = int(state["max_length"])
        self.masked = part.objective == "masked"
        self.template = PromptTemplate(part.template, tokenizer, masked=self.masked)
        spelled = {label: part.verbalizer[label] for label in self.labels}
        self.words = {label: self.template.word_ids(own) for label, own in spelled.items()}
        check_words(self.words, spelled, tokenizer.unk_token_id)
        words = list(self.words.values())
        if self.masked:
            assert tokenizer.mask_token_id is not None
            self.question = ask_masked(words, tokenizer.mask_token_id, part.word_length)
        else:
            self.question = ask_causal(words, part.word_length)

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Nothing: the labels are words of the vocabulary."""
        return {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        return ("accuracy", "f1", "matthews", "auc", "per-class")

    @property
    def fixed_inputs(self) -> bool:
        """Nothing is drawn; but the rows of several readings are not the sequences of the store."""
        return len(self.question.readings) == 1

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        return {
            "kind": self.kind,
            "template": self.part.template,
            "masked": self.masked,
            "words": {label: [list(ids) for ids in own] for label, own in self.words.items()},
            "max_length": self.max_length,
        }

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "labels": list(self.labels),
            "weights": self.weights,
            "max_length": self.max_length,
        }

    def tell(self) -> None:
        """Say which words are several tokens: they are harder to guess."""
        spelled = [
            f"'{word}' ({len(ids)})"
            for label, own in self.words.items()
            for word, ids in zip(self.part.verbalizer[label], own, strict=True)
            if len(ids) > 1
        ]
        if spelled:
            more = f" and {len(spelled) - MOST_NAMED} more" if len(spelled) > MOST_NAMED else ""
            get_console().info(f"words of several tokens: {', '.join(spelled[:MOST_NAMED])}{more}")

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode examples, one feature each: all readings of the template, with labels where something is asked.

        `labels` hold the tokens of the right label's first word where they are asked, elsewhere the token that stands
        there; `truncated` is 1 where a text did not fit.
        """
        features: list[Features] = []
        filled = self.template.fill(examples, self.max_length - self.question.longest)
        for index, (example, item) in enumerate(zip(examples, filled, strict=True)):
            target = None if example.get("label") is None else self.target(example)
            word = {} if target is None else self.question.first_word[target]
            rows = [self._row(reading, item, word, example) for reading in self.question.readings]
            feature: Features = {
                "input_ids": np.concatenate([ids for ids, _ in rows]),
                "labels": np.concatenate([labels for _, labels in rows]),
                "example": np.array(first_index + index, dtype=np.int64),
                "truncated": np.array(item.cut, dtype=np.int64),
            }
            if len(rows) > 1:
                feature["segment"] = np.repeat(np.arange(len(rows)), [len(ids) for ids, _ in rows]).astype(np.int32)
            if target is not None:
                feature["label"] = np.array(target, dtype=np.int64)
            features.append(feature)
        return features

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Put examples into a batch, every reading a row of its own; `label` is one for each example."""
        pad = self.tokenizer.pad_token_id or 0
        batch = collate(features, pad)
        if len(self.question.readings) == 1:
            return batch
        scalars = {name: value for name, value in batch.items() if name not in {*PER_TOKEN_PADDING, "attention_mask"}}
        return {**split_segments(batch, pad), **scalars}

    def asked(self, labels_S: Tensor) -> tuple[Tensor, Tensor]:
        """Return slot by slot which tokens are asked of each example; see `OpenTask.asked`."""
        examples = len(labels_S) // self.question.num_slots
        first_B1 = torch.arange(examples)[:, None] * self.question.num_slots
        return (first_B1 + self.question.slot_K).flatten(), self.question.token_K.repeat(examples)

    def label_scores(self, scores: Tensor) -> Tensor:
        """Return the score of each label, [B, labels], from the log probabilities of all words' tokens."""
        share_KC = self.question.share_KC.to(scores.device)
        return scores.float().view(-1, len(share_KC)) @ share_KC

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Cross-entropy of the labels' scores, summed."""
        return super().loss(self.label_scores(logits), batch)

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """Probabilities of the labels, float32 [labels], for each example."""
        return super().raw_predictions(self.label_scores(logits), batch)

    def target(self, example: Example) -> int:
        """Return the index of an example's label.

        Raises:
            DataError: It has no word.
        """
        label = one_label(example)
        if label not in self._index:
            raise DataError(
                f"no word stands for the label '{label}'{suggest(label, self.labels)}",
                where=place(example),
                mend=f"correct the label, or give it a word in task.verbalizer; known: {', '.join(self.labels)}",
            )
        return self._index[label]

    def _row(self, reading: Reading, filled: Filled, word: Mapping[int, int], example: Example) -> tuple[Array, Array]:
        """Return ids and labels of one reading."""
        begin = len(filled.left)
        if begin + reading.asked[0] < 0:
            raise DataError("nothing stands before the word", where=place(example), mend="give the row a text")
        ids = np.concatenate([filled.left, np.array(reading.fill, dtype=np.int32), filled.right])
        labels = np.full(len(ids), IGNORED_LABEL, dtype=np.int32)
        for offset, slot in zip(reading.asked, reading.slots, strict=True):
            labels[begin + offset] = word.get(slot, int(ids[begin + offset]))
        return ids, labels


def one_label(example: Example) -> str:
    """Return the one label of an example.

    Raises:
        DataError: It has several.
    """
    if isinstance(example["label"], list | tuple):
        raise DataError(
            "a prompt asks for one label, and the row has a list",
            where=place(example),
            mend="take text-classification with problem: multi-label",
        )
    return read_labels(example, "single-label")[0]
