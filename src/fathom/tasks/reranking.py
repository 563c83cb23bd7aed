"""How relevant a document is to a query, both read together: a cross-encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedTokenizerBase

from fathom.data.example import Example, Features
from fathom.data.split import normalize_text
from fathom.errors import DataError
from fathom.tasks.base import Batch, LossSum, OpenTask, Task
from fathom.tasks.labels import place
from fathom.tokenization.encode import encode_texts

Candidate = tuple[str, float]
"""A document and its relevance to the query, 0 to 1."""


class Reranking(Task):
    """Reranking: one number for a query and a document read together (a cross-encoder, Nogueira & Cho, 2019).

    A row is a query, a document and its relevance; or a query, a document that answers it and perhaps some that do not.
    Queries without such get other documents of the split that no row of theirs names, drawn once.
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus", "pairs"]] = "pairs"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"

    kind: Literal["reranking"] = "reranking"
    """Catalog name."""
    num_negatives: int = Field(7, ge=0)
    """Documents that do not answer a query, for each that does; what the row does not name is drawn from the split."""
    negative_seed: int = Field(7, ge=0)
    """Of that draw."""

    def head_keys(self, num_labels: int | None = None) -> dict[str, Any]:
        """One output; see `Task.head_keys`."""
        return {**super().head_keys(num_labels), "num_labels": 1}

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenReranking:
        """Check the rows and read the highest relevance; see `Task.open`."""
        for example in examples:
            if "text_pair" not in example:
                raise DataError(
                    "the row has no document beside its query",
                    where=place(example),
                    mend="name its column: data.columns.text_pair=NAME",
                )
        given = [relevance for example in examples if (relevance := relevance_of(example)) is not None]
        graded = len(given) == len(examples)
        if given and not graded:
            bare = next(example for example in examples if relevance_of(example) is None)
            raise DataError(
                f"the row has no relevance, and {len(given):,} of {len(examples):,} rows have one",
                where=place(bare),
                mend="give every row a number, or none",
            )
        if graded and (not any(given) or all(given)):
            raise DataError(
                "every document is equally relevant, so there is nothing to tell apart",
                where=place(examples[0]),
                mend="give rows with relevance 0 too, or leave the column out: documents are then drawn",
            )
        highest = max([abs(relevance) for relevance in given], default=1.0) if graded else 1.0
        return OpenReranking(self, tokenizer, {"graded": graded, "highest": highest or 1.0, "max_length": max_length})

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenReranking:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenReranking(type(self).model_validate(state["options"]), tokenizer, state)


class OpenReranking(OpenTask):
    """Reranking with its tokenizer: an example has a sequence for each of its documents, the named one first."""

    part: Reranking
    reads_two_texts: ClassVar[bool] = True

    def __init__(self, part: Reranking, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]) -> None:
        self.part = part
        self.kind = part.kind
        self.labels = ()
        self.tokenizer = tokenizer
        self.graded = bool(state["graded"])
        self.highest = float(state["highest"])
        self.max_length = int(state["max_length"])

    @property
    def config_overrides(self) -> dict[str, Any]:
        """One output."""
        return self.part.head_keys()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        return ("reranking",)

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "ndcg@10"

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        return {key: value for key, value in self.state().items() if key != "labels"}

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "graded": self.graded,
            "highest": self.highest,
            "max_length": self.max_length,
            "labels": [],
        }

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode each query with each of its documents."""
        return self._encode(examples, self._candidates(examples), first_index)

    def encode_inputs(self, examples: Sequence[Example]) -> list[Features]:
        """Encode each query with the document it was given."""
        for example in examples:
            if example.get("text_pair") is None:
                raise DataError(
                    "the document is missing: the model takes a query and a document",
                    where=place(example),
                    mend="give text_pair: two texts by themselves, or a file with columns of queries and documents",
                )
        return self._encode(examples, [[(example["text_pair"], 0.0)] for example in examples], 0)

    def normalizer(self, batch: Batch) -> float:
        """Pairs."""
        return float(batch["label"].numel())

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Binary cross-entropy of each pair, summed."""
        target_B = batch["label"].to(logits.device).float()
        return LossSum(functional.binary_cross_entropy_with_logits(logits.float()[:, 0], target_B, reduction="sum"))

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """The logit of each pair: probabilities near one would be equal in float32, and their order lost."""
        return list(logits.detach().float()[:, 0].cpu().numpy())

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return `score`, the probability that the document is relevant; with further candidates `logits` of all."""
        told: dict[str, Any] = {"truncated": True} if any(int(item["truncated"]) for item in features) else {}
        found = {"score": float(1.0 / (1.0 + np.exp(-float(raw[0])))), **told}
        targets = [float(item["label"]) for item in features]
        return found | {"logits": [float(value) for value in raw], "relevances": targets}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the logits of the candidates, and the query with their relevances."""
        return prediction["logits"], (example["text"], prediction["relevances"])

    def _encode(
        self, examples: Sequence[Example], candidates: Sequence[Sequence[Candidate]], first_index: int
    ) -> list[Features]:
        pairs = [(item["text"], text) for item, own in zip(examples, candidates, strict=True) for text, _ in own]
        owner = np.repeat(np.arange(len(examples)), [len(own) for own in candidates])
        with_types = "token_type_ids" in self.tokenizer.model_input_names
        flat = encode_texts(self.tokenizer, pairs, self.max_length, type_ids=with_types)
        targets = [relevance for own in candidates for _, relevance in own]
        features: list[Features] = []
        for number, target in enumerate(targets):
            inside = slice(flat.starts[number], flat.starts[number + 1])
            feature: Features = {
                "input_ids": flat.ids[inside],
                "example": np.array(first_index + owner[number], dtype=np.int64),
                "label": np.array(target, dtype=np.float32),
                "truncated": np.array(flat.cut is not None and flat.cut[number], dtype=np.int64),
            }
            if flat.type_ids is not None:
                feature["token_type_ids"] = flat.type_ids[inside]
            features.append(feature)
        return features

    def _candidates(self, examples: Sequence[Example]) -> list[list[Candidate]]:
        if self.graded:
            return [[(example["text_pair"], self._grade(example))] for example in examples]
        own: dict[str, set[str]] = {}  # of a query, and of a label: documents that may answer are not drawn
        for example in examples:
            for key in _keys(example):
                own.setdefault(key, set()).add(normalize_text(example["text_pair"]))
        documents = list(dict.fromkeys(example["text_pair"] for example in examples))
        plain = [normalize_text(text) for text in documents]
        generator = np.random.default_rng(self.part.negative_seed)
        found: list[list[Candidate]] = []
        for example in examples:
            named = list(example.get("negatives", ()))[: self.part.num_negatives]
            taken = {normalize_text(text) for text in named}.union(*(own[key] for key in _keys(example)))
            for number in in_mixed_order(generator, len(documents)):
                if len(named) >= self.part.num_negatives:
                    break
                if plain[number] not in taken:
                    named.append(documents[number])
            found.append([(example["text_pair"], 1.0), *((text, 0.0) for text in named)])
        return found

    def _grade(self, example: Example) -> float:
        relevance = relevance_of(example)
        if relevance is None:
            raise DataError("the row has no relevance", where=place(example), mend="give every row a number")
        return max(relevance, 0.0) / self.highest


def in_mixed_order(generator: np.random.Generator, count: int) -> Iterator[int]:
    """Yield every number below `count` once, in a random order; what is not asked for costs nothing."""
    moved: dict[int, int] = {}
    for place_ in range(count):
        chosen = int(generator.integers(place_, count))
        yield moved.get(chosen, chosen)
        moved[chosen] = moved.get(place_, place_)


def _keys(example: Example) -> list[str]:
    label = example.get("label")
    return [f"query {normalize_text(example['text'])}", *([] if label is None else [f"label {label}"])]


def relevance_of(example: Example) -> float | None:
    """Return the relevance a row states: its score, or its label where that is a number; None otherwise."""
    if "score" in example:
        return float(example["score"])
    try:
        return float(example["label"])
    except (KeyError, ValueError):
        return None
