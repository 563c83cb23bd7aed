"""One vector for each text, near those of texts that belong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fathom.data.batch import collate
from fathom.data.draw import EVALUATION, PREDICTION, Draw
from fathom.data.example import Example, Features
from fathom.errors import ConfigError, DataError
from fathom.tasks import contrastive
from fathom.tasks.base import Batch, LossSum, OpenTask, Task
from fathom.tasks.embedding_texts import BROUGHT_BEFORE, TRAINING_ONLY, Kind, PairSet, kind_of
from fathom.tasks.labels import place
from fathom.tasks.sentence_transformers import saved_files
from fathom.tokenization.encode import encode_texts

Objective = Literal["contrastive", "cosine", "cosent"]


class SentenceEmbedding(Task):
    """Sentence embeddings: vectors whose cosine says how near two texts are, for search and comparison.

    What the rows hold decides: pairs of texts that belong together (and texts that do not), texts with labels, pairs
    with a score, or texts alone, which are read twice under two dropout masks (SimCSE; Gao et al., 2021, arXiv
    2104.08821).
    """

    form: ClassVar[Literal["text", "spans", "chat", "corpus", "pairs"]] = "pairs"
    auto_class: ClassVar[str] = "AutoModel"

    kind: Literal["sentence-embedding"] = "sentence-embedding"
    """Catalog name."""
    objective: Literal["auto", "contrastive", "cosine", "cosent"] = "auto"
    """`contrastive`: find each text's partner among all of the batch; for scored pairs `cosent` (the order of the
    scores) or `cosine` (the scores themselves). Auto says cosent for scored pairs and contrastive else."""
    pooling: contrastive.Pooling = "mean"
    """How the vectors of a text's tokens become one: their mean, the first (`cls`) or the last (decoders)."""
    temperature: float = Field(0.05, gt=0)
    """Cosines are divided by it (not with `cosine`)."""
    symmetric: bool = False
    """Also find the text that belongs to each partner; contrastive only."""
    matryoshka: tuple[int, ...] = ()
    """Sizes at which the beginning of a vector shall serve by itself, e.g. [64, 128]; the losses of all sizes and of
    the whole vector are added."""
    normalize: bool = True
    """Give vectors of length one."""
    max_negatives: int | None = Field(None, ge=0)
    """Negatives of an example that are used, the first ones; left out, all."""

    @field_validator("matryoshka")
    @classmethod
    def _rising(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if any(size < 1 for size in sizes) or len(set(sizes)) < len(sizes):
            raise ValueError("sizes are different numbers from 1")
        return tuple(sorted(sizes))

    def suited(self, config: Any) -> Self:
        """Return the task itself; see `Task.suited`.

        Raises:
            ConfigError: The model's vectors are too short for the sizes of `matryoshka`.
        """
        self.check_width(config.get_text_config().hidden_size)
        return self

    def check_width(self, width: int) -> None:
        """Refuse sizes that a vector of so many numbers has no beginning of.

        Raises:
            ConfigError: A size is as large as the vector, or larger.
        """
        if self.matryoshka and self.matryoshka[-1] >= width:
            raise ConfigError(
                f"the model's vectors have {width} numbers, and {self.matryoshka[-1]} are no beginning of one",
                where="task.matryoshka",
                mend="name smaller sizes",
            )

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenEmbedding:
        """Read from the training examples what is learnt from; see `Task.open`."""
        kinds = {kind_of(example) for example in examples}
        if len(kinds) > 1:
            other = next(item for item in examples if kind_of(item) != kind_of(examples[0]))
            raise DataError(
                f"the rows are of different kinds: {', '.join(sorted(kinds))}",
                where=place(other),
                mend="give every row the same columns",
            )
        kind = kinds.pop()
        objective = self.objective
        if objective == "auto":
            objective = "cosent" if kind == "scored" else "contrastive"
        if (objective == "contrastive") == (kind == "scored"):
            raise ConfigError(
                f"the training rows are {kind}, from which '{objective}' learns nothing",
                where="task.objective",
                mend="cosine and cosent want pairs with a score, contrastive wants pairs, labels or texts alone",
            )
        highest = max((abs(float(example["score"])) for example in examples if "score" in example), default=1.0)
        state = {"objective": objective, "trained_on": kind, "highest_score": max(highest, 1.0)}
        return OpenEmbedding(self, tokenizer, {**state, "max_length": max_length})

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenEmbedding:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenEmbedding(type(self).model_validate(state["options"]), tokenizer, state)


class OpenEmbedding(OpenTask):
    """Sentence embedding with its tokenizer.

    A sequence of the store is an example with all its texts, one after another, told apart by `segment`; a batch has a
    row for each text. When a split is scored, texts that an earlier example brought are left out of it.
    """

    part: SentenceEmbedding
    whole_batch: ClassVar[bool] = True

    def __init__(self, part: SentenceEmbedding, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]) -> None:
        self.part = part
        self.kind = part.kind
        self.labels = ()
        self.tokenizer = tokenizer
        self.objective: Objective = state["objective"]
        self.trained_on: Kind = state["trained_on"]
        self.highest_score = float(state["highest_score"])
        self.max_length = int(state["max_length"])

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Nothing: there is no head."""
        return {}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics; each judges the examples that are its own."""
        return ("retrieval", "similarity")

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "spearman" if self.trained_on in ("scored", "texts") else "ndcg@10"

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        return {
            "kind": self.kind,
            "trained_on": self.trained_on,
            "max_length": self.max_length,
            "max_negatives": self.part.max_negatives,
            "highest_score": self.highest_score,
        }

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        options = self.part.model_dump(mode="json")
        return {**self.cache_key(), "kind": self.kind, "options": options, "objective": self.objective, "labels": []}

    def files(self, config: Any) -> dict[str, str]:
        """What sentence-transformers wants beside a model."""
        return saved_files(config.hidden_size, self.part.pooling, self.max_length, normalize=self.part.normalize)

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode each example's texts one after another, each with its special tokens, cut at `max_length`."""
        texts = PairSet(examples, self.part.max_negatives)
        flat = encode_texts(self.tokenizer, texts.distinct, self.max_length)
        pieces = [flat.ids[begin:end] for begin, end in zip(flat.starts[:-1], flat.starts[1:], strict=True)]
        cut = np.zeros(len(pieces), dtype=bool) if flat.cut is None else flat.cut
        features: list[Features] = []
        for index, example in enumerate(examples):
            numbers = texts.members[index]
            own = [pieces[number] if len(pieces[number]) else self._empty(example) for number in numbers]
            feature: Features = {
                "input_ids": np.concatenate(own),
                "segment": np.repeat(np.arange(len(own), dtype=np.int32), [len(ids) for ids in own]),
                "identity": texts.padded(texts.identities[index]),
                "needless": texts.padded(texts.needless[index]),
                "group": np.array(texts.groups[index], dtype=np.int64),
                "score": np.array(float(example.get("score", 0.0)) / self.highest_score, dtype=np.float32),
                "example": np.array(first_index + index, dtype=np.int64),
                "truncated": np.array(any(cut[number] for number in numbers), dtype=np.int64),
            }
            features.append(feature)
        return features

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Give every text a row of its own; a split that is scored has each text once."""
        texts: list[Features] = []
        row, place_in_row, identity = [], [], []
        without = {EVALUATION: BROUGHT_BEFORE, PREDICTION: TRAINING_ONLY}.get(draw.step, TRAINING_ONLY + 1)
        for index, feature in enumerate(features):
            for number, ids in enumerate(split_texts(feature)):
                if feature["needless"][number] >= without:
                    continue
                texts.append({"input_ids": ids})
                row.append(index)
                place_in_row.append(number)
                identity.append(int(feature["identity"][number]))
        batch = collate(texts, self.tokenizer.pad_token_id or 0)
        for name, values in (("row", row), ("place", place_in_row), ("identity", identity)):
            batch[name] = torch.tensor(values, dtype=torch.int64)
        batch["group"] = torch.tensor([int(feature["group"]) for feature in features], dtype=torch.int64)
        batch["score"] = torch.tensor([float(feature["score"]) for feature in features])
        return batch

    def join(self, batches: Sequence[Batch]) -> Batch:
        """Join what the loss reads of a batch's parts; see `OpenTask.join`."""
        names = ("place", "identity", "group", "score")
        joined = {name: torch.cat([batch[name] for batch in batches]) for name in names}
        sizes = [len(batch["group"]) for batch in batches]
        firsts = np.cumsum([0, *sizes[:-1]]).tolist()
        joined["row"] = torch.cat([batch["row"] + first for batch, first in zip(batches, firsts, strict=True)])
        return joined

    def normalizer(self, batch: Batch) -> float:
        """Pairs; one where the loss is of their order."""
        return 1.0 if self.objective == "cosent" else float((batch["place"] == contrastive.POSITIVE).sum())

    def logits(self, output: Any, batch: Batch) -> Tensor:
        """Return the vectors of the texts, float32 `[N, D]`, of any length."""
        return contrastive.pool(output.last_hidden_state, batch["attention_mask"], self.part.pooling)

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """The loss of a whole batch; see `tasks.contrastive`."""
        sizes = self.part.matryoshka
        self.part.check_width(logits.shape[1])
        place_N = batch["place"]
        if self.objective == "contrastive":
            if not bool((place_N == contrastive.POSITIVE).any()):
                return LossSum(logits.sum() * 0.0)
            allowed_QC = contrastive.allowed_candidates(place_N, batch["row"], batch["identity"], batch["group"])
            part = partial(
                contrastive.in_batch_negatives,
                place_N=place_N,
                allowed_QC=allowed_QC,
                temperature=self.part.temperature,
                symmetric=self.part.symmetric,
            )
        elif self.objective == "cosine":
            part = partial(contrastive.cosine_error, place_N=place_N, score_B=batch["score"])
        else:
            part = partial(
                contrastive.rank_pairs, place_N=place_N, score_B=batch["score"], temperature=self.part.temperature
            )
        return LossSum(contrastive.over_sizes(part, logits, sizes))

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """The vectors of each example's texts, float32 [texts, D]."""
        vectors_ND = logits.detach().float()
        if self.part.normalize:
            vectors_ND = torch.nn.functional.normalize(vectors_ND, dim=-1)
        counts = torch.bincount(batch["row"].cpu(), minlength=len(batch["group"])).tolist()
        return [vectors_MD.numpy() for vectors_MD in vectors_ND.cpu().split(counts)]

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Return `embedding`, the text's vector; `others` has those of its further texts, `similarity` their cosine."""
        vectors_MD = np.asarray(raw[0])
        told: dict[str, Any] = {"truncated": True} if int(features[0]["truncated"]) else {}
        found = {"embedding": vectors_MD[0].tolist(), **told}
        if len(vectors_MD) == 1:
            return found
        length_M = np.linalg.norm(vectors_MD, axis=1)
        cosine = float(vectors_MD[0] @ vectors_MD[1] / max(float(length_M[0] * length_M[1]), 1e-12))
        return {**found, "similarity": cosine, "others": vectors_MD[1:].tolist()}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the vectors and what is known of them; see `evaluation.retrieval`."""
        kind = kind_of(example)
        if kind == "texts":
            raise DataError(
                "the text has no partner, label or score, so nothing tells whether its vector is good",
                where=place(example),
                mend="give data.validation a file of pairs, labelled texts or scored pairs, or none: "
                "data.validation_fraction=0",
            )
        vectors_MD = np.array([prediction["embedding"], *prediction.get("others", ())], dtype=np.float32)
        return vectors_MD, {"example": example, "sizes": self.part.matryoshka, "negatives": self.part.max_negatives}

    def _empty(self, example: Example) -> np.ndarray[Any, Any]:
        for token in (self.tokenizer.eos_token_id, self.tokenizer.unk_token_id, self.tokenizer.pad_token_id):
            if token is not None:
                return np.array([token], dtype=np.int32)
        raise DataError("the text has no tokens", where=place(example), mend="remove the row")


def split_texts(feature: Features) -> list[np.ndarray[Any, Any]]:
    """Return the token ids of each text of an example."""
    return np.split(feature["input_ids"], np.flatnonzero(np.diff(feature["segment"])) + 1)
