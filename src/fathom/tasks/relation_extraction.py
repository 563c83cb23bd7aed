"""The relation between two entities of a text, marked so that the model sees which pair is meant."""

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

from fathom.config import suggest
from fathom.data.example import Example, Features
from fathom.data.relations import is_negative, pair_problem, read_tagged
from fathom.errors import ConfigError, DataError
from fathom.tasks.base import FEWEST_LABELS, LABEL_SMOOTHING, Batch, LossSum, OpenTask, Task
from fathom.tasks.labels import ClassWeights, id_maps, place, sort_labels, unknown_label, weigh_classes
from fathom.tasks.markers import ROLES, Marked, Style, mark, marker_names, marker_signs, type_name
from fathom.tasks.pooling import Pooling, entity_weights
from fathom.tokenization.align import encode_offsets, spans_to_subwords
from fathom.tokenization.encode import check_room, special_tokens
from fathom.tokenization.extend import add_markers

LEAST_ROOM = 16
"""Tokens without which two marked entities cannot be shown."""


class RelationExtraction(Task):
    """Relation extraction: one label for two entities of a text, direction included, or none."""

    form: ClassVar[Literal["relation"]] = "relation"
    auto_class: ClassVar[str] = "AutoModelForTokenClassification"

    kind: Literal["relation-extraction"] = "relation-extraction"
    """Catalog name."""
    markers: Style = "punctuation"
    """What marks the entities: `punctuation` (signs every vocabulary has: @ and #) or `tokens` (new ones, `<e1>`, which
    an adapter's folder has no place for)."""
    typed: bool | None = None
    """Whether marks name the entities' types; left out, where every training example has them."""
    pooling: Pooling = "entity-start"
    """What of an entity is read: `entity-start` (its opening mark), `marker` (the mean of both marks) or `span` (the
    mean of its own sub-words)."""
    no_relation: str | None = None
    """The label that says there is no relation, which scores leave out; left out, told by its name (Other, no_relation,
    NA ...)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, validation_alias=LABEL_SMOOTHING)
    """Share of the probability spread evenly over all labels."""
    class_weights: ClassWeights = "none"
    """How much each label counts in the loss: none, balanced (rare labels more), or {label: weight}."""

    def head_keys(self, num_labels: int | None = None) -> dict[str, Any]:
        """Two outputs for each label; see `Task.head_keys`."""
        return {"num_labels": len(ROLES) * (num_labels or FEWEST_LABELS)}

    def open(
        self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> OpenRelationTask:
        """Read labels and types from the training examples; see `Task.open`."""
        counts = Counter(str(example["label"]) for example in examples if example.get("label") is not None)
        if len(counts) < 2:
            raise DataError(
                f"the training split has only the relation {list(counts)}" if counts else "no example has a relation",
                where=place(examples[0]) if examples else None,
                mend="name the column of the relation under data.columns.label; at least two are needed",
            )
        labels = sort_labels(counts)
        negatives = [label for label in labels if is_negative(label)]
        if self.no_relation is not None and self.no_relation not in labels:
            raise ConfigError(
                f"no relation is called '{self.no_relation}'{suggest(self.no_relation, labels)}",
                where="task.no_relation",
                mend=f"known: {', '.join(labels)}",
            )
        negative = self.no_relation or (negatives[0] if len(negatives) == 1 else None)
        types = {example[role].get("type") for example in examples for role in ROLES}
        typed = None not in types if self.typed is None else self.typed
        if typed and None in types:
            bare = next(example for example in examples if any("type" not in example[role] for role in ROLES))
            raise DataError(
                "an entity has no type", where=place(bare), mend="give every entity a type, or task.typed=false"
            )
        related = {
            (example["head"].get("type"), example["tail"].get("type"))
            for example in examples
            if example.get("label") not in (None, negative)
        }
        state = {
            "labels": labels,
            "negative": negative,
            "weights": weigh_classes(self.class_weights, labels, counts),
            "types": sorted({type_name(str(kind)) for kind in types}) if typed else [],
            "pairs": sorted([list(pair) for pair in related if None not in pair]),
            "max_length": max_length,
        }
        return OpenRelationTask(self, tokenizer, state)

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenRelationTask:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenRelationTask(type(self).model_validate(state["options"]), tokenizer, state)


class OpenRelationTask(OpenTask):
    """Relation extraction with its labels and tokenizer.

    The head is a token classifier of twice as many outputs as there are labels: what it says of the head entity's place
    in the first half, of the tail's in the second. Their sum is a linear layer over the two states side by side, and
    the saved folder is an ordinary `AutoModelForTokenClassification`.
    """

    part: RelationExtraction

    tells_others = True

    def __init__(self, part: RelationExtraction, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]) -> None:
        self.part = part
        self.kind = part.kind
        self.tokenizer = tokenizer
        self.labels: tuple[str, ...] = tuple(state["labels"])
        self.negative: str | None = state["negative"]
        self.weights: list[float] | None = state["weights"]
        self.types: tuple[str, ...] = tuple(state["types"])
        self.pairs = {(head, tail) for head, tail in state["pairs"]}
        """(head type, tail type) of every pair that was related in training."""
        self.max_length = int(state["max_length"])
        self.new_tokens = {}
        if part.markers == "tokens":
            added = add_markers(tokenizer, marker_names(self.types))
            self.new_tokens = {token.id: token.pieces for token in added.new}
        else:
            _check_signs(tokenizer, typed=bool(self.types))
        self._index = {label: index for index, label in enumerate(self.labels)}
        self._special = special_tokens(tokenizer)
        check_room(self.max_length, self._special.count + LEAST_ROOM)
        self._weights_C = None if self.weights is None else torch.tensor(self.weights, dtype=torch.float32)

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Two outputs for each label, named by the entity whose place they are read at."""
        return id_maps([f"{role}:{label}" for role in ROLES for label in self.labels])

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        return ("relation-f1",)

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "f1_micro"

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        options = {"markers": self.part.markers, "types": list(self.types)}
        return {"kind": self.kind, "labels": list(self.labels), "max_length": self.max_length, **options}

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "labels": list(self.labels),
            "negative": self.negative,
            "weights": self.weights,
            "types": list(self.types),
            "pairs": sorted(list(pair) for pair in self.pairs),
            "max_length": self.max_length,
        }

    def prepare(self, example: Example) -> Example:
        """Return an input with its entities: given beside the text, or marked in it; see `OpenTask.prepare`."""
        if "head" in example or "tail" in example:
            return self._checked(example)
        found = read_tagged(example["text"])
        if isinstance(found, str):
            mend = "mark two entities: <e1>..</e1> and <e2>..</e2>, or give head and tail with start and end"
            raise DataError(found, where=place(example), mend=mend)
        text, head, tail = found
        return self._checked({**example, "text": text, "head": head, "tail": tail})

    def mark(self, example: Example) -> Marked:
        """Return the text as the tokenizer gets it."""
        typed = bool(self.types)
        for role in ROLES:
            kind = example[role].get("type")
            if typed and (kind is None or type_name(kind) not in self.types):
                said = f"the {role} has no type" if kind is None else f"the {role} is of the unknown type '{kind}'"
                mend = f"the model was trained on entities of the types {', '.join(self.types)}"
                raise DataError(said, where=place(example), mend=mend)
        return mark(example["text"], example, self.part.markers, typed)

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode examples, one feature each; of a text that is too long, the sub-words nearest to the marks are kept.

        `places` says where the marks and the entities are: (first, last) of the head's opening mark, the head, its
        closing mark, and the tail's three. `truncated` is 1 where something of the text did not fit.
        """
        marked = [self.mark(example) for example in examples]
        encoded = encode_offsets(self.tokenizer, [item.text for item in marked])
        features: list[Features] = []
        for index, (example, item) in enumerate(zip(examples, marked, strict=True)):
            ids, offsets = encoded.of(index)
            places_62 = spans_to_subwords(item.spans, offsets)
            ids, places_62, cut = self._fit(ids, places_62, example)
            feature: Features = {
                "input_ids": np.concatenate([self._special.prefix, ids, self._special.suffix]),
                "places": (places_62 + len(self._special.prefix)).reshape(-1),
                "example": np.array(first_index + index, dtype=np.int64),
                "truncated": np.array(cut, dtype=np.int64),
            }
            if example.get("label") is not None:
                feature["label"] = np.array(self._target(example), dtype=np.int64)
            features.append(feature)
        return features

    def normalizer(self, batch: Batch) -> float:
        """Pairs; with class weights the summed weights of their labels."""
        label = batch["label"]
        if self._weights_C is None:
            return float(label.numel())
        return float(self._weights_C.to(label.device)[label].sum())

    def logits(self, output: Any, batch: Batch) -> Tensor:
        """Sum what is said at the head entity in its half of the outputs, and at the tail in the other; [B, labels]."""
        logits_BLK = output.logits.float()
        weights_B2L = entity_weights(batch["places"], batch["attention_mask"].shape[1], self.part.pooling)
        inside_BL = batch["attention_mask"].to(logits_BLK.device).bool()
        # what stands at padding means nothing, and must not count even times zero
        logits_BLK = logits_BLK.masked_fill(~inside_BL[:, :, None], 0.0)
        pooled_B2K = weights_B2L.to(logits_BLK.device) @ logits_BLK
        num_labels = len(self.labels)
        sum_BC: Tensor = pooled_B2K[:, 0, :num_labels] + pooled_B2K[:, 1, num_labels:]
        return sum_BC

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Cross-entropy summed over the pairs."""
        weights = None if self._weights_C is None else self._weights_C.to(logits.device)
        label_B = batch["label"].to(logits.device)
        smoothing = self.part.label_smoothing
        total = functional.cross_entropy(
            logits.float(), label_B, weight=weights, label_smoothing=smoothing, reduction="sum"
        )
        return LossSum(total)

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """Probabilities of the labels (float32) for each pair."""
        return list(logits.detach().float().softmax(-1).cpu().numpy())

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return the relation of a pair: `{"text", "head", "tail", "label", "score", "probabilities"}`.

        The text is there because an input may have been marked, and the places are those of the text without marks.
        """
        values = np.asarray(raw[0]).tolist()
        best = int(np.argmax(raw[0]))
        told: dict[str, Any] = {"truncated": True} if features and int(features[0].get("truncated", 0)) else {}
        entities = {
            role: {**example[role], "text": example["text"][example[role]["start"] : example[role]["end"]]}
            for role in ROLES
        }
        probabilities = dict(zip(self.labels, values, strict=True))
        found = {"text": example["text"], **entities}
        return {**found, "label": self.labels[best], "score": values[best], "probabilities": probabilities, **told}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the predicted and the true relation, None for no relation."""
        if example.get("label") is None:
            raise DataError("the example has no relation", where=place(example), mend="evaluate on labelled data")
        self._target(example)
        found = [None if label == self.negative else label for label in (prediction["label"], example["label"])]
        return found[0], found[1]

    def _fit(
        self, ids: np.ndarray[Any, Any], places_62: np.ndarray[Any, Any], example: Example
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], bool]:
        """Keep the sub-words nearest to a mark where a text is too long; places follow."""
        if (places_62[[0, 2, 3, 5]] < 0).any():
            raise DataError(
                "the tokenizer drops the marks around the entities", where=place(example), mend="task.markers=tokens"
            )
        lost = places_62[:, 0] < 0  # an entity of characters the tokenizer drops: its opening mark stands for it
        places_62[lost] = places_62[np.flatnonzero(lost) - 1]
        room = self.max_length - self._special.count
        if len(ids) <= room:
            return ids, places_62, False
        marks = places_62[[0, 2, 3, 5]].reshape(-1)
        distance = np.abs(np.arange(len(ids))[:, None] - marks[None, :]).min(1)
        kept = np.sort(np.argsort(distance, kind="stable")[:room])
        first = np.searchsorted(kept, places_62[:, 0], side="left")
        last = np.searchsorted(kept, places_62[:, 1], side="right") - 1
        return ids[kept], np.stack([np.minimum(first, last), last], 1), True

    def _checked(self, example: Example) -> Example:
        for role in ROLES:
            entity = example.get(role)
            if (
                not isinstance(entity, Mapping)
                or type(entity.get("start")) is not int
                or type(entity.get("end")) is not int
            ):
                mend = 'give head and tail as {"start": 0, "end": 5}'
                raise DataError(f"{role} has no start and end", where=place(example), mend=mend)
        problem = pair_problem(example["text"], example["head"], example["tail"])
        if problem is not None:
            raise DataError(problem, where=place(example), mend="start and end are characters of the text")
        return example

    def _target(self, example: Example) -> int:
        label = str(example["label"])
        if label not in self._index:
            raise unknown_label(label, self.labels, example)
        return self._index[label]


def _check_signs(tokenizer: PreTrainedTokenizerBase, *, typed: bool) -> None:
    """Refuse marks that the vocabulary has no signs for: head and tail would look alike."""
    signs = marker_signs(typed)
    ids = [tokenizer.encode(sign, add_special_tokens=False) for sign in signs]
    lacking = [sign for sign, found in zip(signs, ids, strict=True) if not found or tokenizer.unk_token_id in found]
    if lacking:
        raise ConfigError(
            f"the tokenizer does not know the signs {' '.join(lacking)}",
            where="task.markers",
            mend="mark the entities with new tokens: task.markers=tokens",
        )
