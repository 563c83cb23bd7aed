"""One label, several labels or a number for a text or a pair of texts."""

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

from fathom.data.example import Example, Features
from fathom.errors import ConfigError, DataError
from fathom.tasks.base import FEWEST_LABELS, LABEL_SMOOTHING, Batch, LossSum, OpenTask, Task
from fathom.tasks.labels import ClassWeights, id_maps, place, sort_labels, unknown_label, weigh_classes
from fathom.tokenization.encode import encode_texts

DEFAULT_THRESHOLD = 0.5
Problem = Literal["single-label", "multi-label", "regression"]

_PROBLEM_TYPE = {
    "single-label": "single_label_classification",
    "multi-label": "multi_label_classification",
    "regression": "regression",
}


class TextClassification(Task):
    """Text classification: a single label, several labels, or a number, for a text or a pair of texts."""

    form: ClassVar[Literal["text", "spans"]] = "text"
    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"

    kind: Literal["text-classification"] = "text-classification"
    """Catalog name."""
    problem: Literal["auto", "single-label", "multi-label", "regression"] = "auto"
    """What a label is. Auto says multi-label for lists and single-label else; files hold numbers as text, so a number
    to be predicted wants `regression` (`fathom init` writes it where labels look like measurements)."""
    label_smoothing: float = Field(0.0, ge=0, lt=1, validation_alias=LABEL_SMOOTHING)
    """Share of the probability spread evenly over all classes; single label only."""
    class_weights: ClassWeights = "none"
    """How much each class counts in the loss: none, balanced (rare classes more), or {label: weight}."""
    threshold: float = Field(DEFAULT_THRESHOLD, gt=0, lt=1)
    """Probability from which a label is given; multi-label only."""

    def head_keys(self, num_labels: int | None = None) -> dict[str, Any]:
        """An output for each label, one for a number; see `Task.head_keys`."""
        if self.problem == "regression":
            return {**super().head_keys(num_labels), "num_labels": 1}
        return {"num_labels": num_labels or FEWEST_LABELS}

    def open(self, examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, max_length: int) -> OpenTextTask:
        """Read problem and labels from the training examples; see `Task.open`."""
        labelled = [example for example in examples if example.get("label") is not None]
        if not labelled:
            raise DataError(
                "no training example has a label",
                where=place(examples[0]) if examples else None,
                mend="name the label column under data.columns",
            )
        problem = _find_problem(labelled) if self.problem == "auto" else self.problem
        self._check_options(problem)
        counts: Counter[str] = Counter()
        if problem == "regression":
            for example in labelled:
                read_number(example)
        else:
            for example in labelled:
                counts.update(set(read_labels(example, problem)))
            if len(counts) < (2 if problem == "single-label" else 1):
                raise DataError(
                    f"the training split has only the class {list(counts)}" if counts else "every label list is empty",
                    where=place(labelled[0]),
                    mend="a classifier needs at least two classes; check the label column",
                )
        labels = sort_labels(counts)
        weights = weigh_classes(self.class_weights, labels, counts) if labels else None
        if problem == "multi-label" and self.class_weights == "balanced":
            weights = [max(len(labelled) - counts[label], 1) / counts[label] for label in labels]
        pair = any(example.get("text_pair") is not None for example in examples)
        state = {"problem": problem, "labels": labels, "weights": weights, "pair": pair, "max_length": max_length}
        return OpenTextTask(self, tokenizer, state)

    def reopen(self, state: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> OpenTextTask:
        """Return the live task of a saved model; see `Task.reopen`."""
        return OpenTextTask(type(self).model_validate(state["options"]), tokenizer, state)

    def _check_options(self, problem: Problem) -> None:
        if self.label_smoothing and problem != "single-label":
            raise ConfigError(
                f"label smoothing spreads the probability of one label; the problem is {problem}",
                where="task.label_smoothing",
                mend="remove it",
            )
        if self.class_weights != "none" and problem == "regression":
            raise ConfigError("a regression has no classes", where="task.class_weights", mend="remove it")
        if self.threshold != DEFAULT_THRESHOLD and problem != "multi-label":
            raise ConfigError(
                f"a threshold decides whether each of several labels is given; the problem is {problem}",
                where="task.threshold",
                mend="remove it, or set task.problem to multi-label",
            )


class OpenTextTask(OpenTask):
    """Text classification with its labels and tokenizer."""

    part: TextClassification

    def __init__(self, part: TextClassification, tokenizer: PreTrainedTokenizerBase, state: Mapping[str, Any]) -> None:
        self.part = part
        self.kind = part.kind
        self.tokenizer = tokenizer
        self.problem: Problem = state["problem"]
        self.labels: tuple[str, ...] = tuple(state["labels"])
        self.weights: list[float] | None = state["weights"]
        self.pair = bool(state["pair"])
        self.max_length = int(state["max_length"])
        self._index = {label: index for index, label in enumerate(self.labels)}
        self._weights_C = None if self.weights is None else torch.tensor(self.weights, dtype=torch.float32)

    @property
    def tells_others(self) -> bool:  # type: ignore[override]
        """A number has no others."""
        return self.problem != "regression"

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Number of outputs, label maps and problem type."""
        maps = id_maps(self.labels) if self.labels else {"num_labels": 1}
        return {**maps, "problem_type": _PROBLEM_TYPE[self.problem]}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics of this problem."""
        if self.problem == "regression":
            return ("pearson", "spearman", "mse")
        if self.problem == "multi-label":
            return ("accuracy", "f1", "auc", "per-class")
        return ("accuracy", "f1", "matthews", "auc", "per-class")

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return {"single-label": "accuracy", "multi-label": "f1_micro", "regression": "pearson"}[self.problem]

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and tokenizer."""
        keys = ("kind", "problem", "labels", "pair", "max_length")
        state = self.state()
        return {**{key: state[key] for key in keys}, "fields": 2}  # 2: with `truncated`

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "problem": self.problem,
            "labels": list(self.labels),
            "weights": self.weights,
            "pair": self.pair,
            "max_length": self.max_length,
            "threshold": self.part.threshold,
        }

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Encode examples, one feature each; `token_type_ids` only for pairs of a tokenizer that makes them.

        `truncated` is 1 where the end of a text did not fit.
        """
        with_types = self.pair and "token_type_ids" in self.tokenizer.model_input_names
        flat = encode_texts(self.tokenizer, self._texts(examples), self.max_length, type_ids=with_types)
        starts = flat.starts.tolist()
        cut = [False] * len(examples) if flat.cut is None else flat.cut.tolist()
        features: list[Features] = []
        for index, example in enumerate(examples):
            start, end = starts[index], starts[index + 1]
            feature: Features = {
                "input_ids": flat.ids[start:end] if end > start else self._empty(example),
                "example": np.array(first_index + index, dtype=np.int64),
                "truncated": np.array(cut[index], dtype=np.int64),
            }
            if flat.type_ids is not None:
                feature["token_type_ids"] = flat.type_ids[start:end]
            if example.get("label") is not None:
                feature["label"] = self._target(example)
            features.append(feature)
        return features

    def normalizer(self, batch: Batch) -> float:
        """Sequences; for multi-label sequences times classes; with class weights the summed weights of the labels."""
        label = batch["label"]
        if self.problem == "single-label" and self._weights_C is not None:
            return float(self._weights_C.to(label.device)[label].sum())
        return float(label.numel())

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Cross-entropy, binary cross-entropy or squared error, summed; the losses of transformers' own heads."""
        logits_BC = logits.float()
        label = batch["label"].to(logits.device)
        weights = None if self._weights_C is None else self._weights_C.to(logits.device)
        if self.problem == "regression":
            return LossSum(functional.mse_loss(logits_BC.squeeze(-1), label.float(), reduction="sum"))
        if self.problem == "multi-label":
            target_BC = label.float()
            total = functional.binary_cross_entropy_with_logits(
                logits_BC, target_BC, pos_weight=weights, reduction="sum"
            )
            return LossSum(total)
        smoothing = self.part.label_smoothing
        total = functional.cross_entropy(logits_BC, label, weight=weights, label_smoothing=smoothing, reduction="sum")
        return LossSum(total)

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """Probabilities of the classes (float32 [classes]), or one number, for each sequence."""
        values_BC = logits.detach().float()
        if self.problem == "regression":
            return list(values_BC.squeeze(-1).cpu().numpy())
        values_BC = values_BC.softmax(-1) if self.problem == "single-label" else values_BC.sigmoid()
        return list(values_BC.cpu().numpy())

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Turn the one record of an example into a prediction; see `OpenTask.decode`.

        `truncated: true` is added where the end of the text was not read.
        """
        told: dict[str, Any] = {"truncated": True} if features and int(features[0].get("truncated", 0)) else {}
        if self.problem == "regression":
            return {"value": float(raw[0]), **told}
        values = np.asarray(raw[0]).tolist()
        probabilities = dict(zip(self.labels, values, strict=True))
        if self.problem == "multi-label":
            given = [label for label, value in probabilities.items() if value >= self.part.threshold]
            return {"labels": given, "probabilities": probabilities, **told}
        best = int(np.argmax(raw[0]))
        return {"label": self.labels[best], "score": values[best], "probabilities": probabilities, **told}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (prediction, reference); multi-label probabilities are rescaled so that the threshold lies at 0.5.

        The rescaling is piecewise linear and rising, so that rankings (AUC) stay as they are.
        """
        if example.get("label") is None:
            raise DataError("the example has no label", where=place(example), mend="evaluate on labelled data")
        target = self._target(example)
        if self.problem == "regression":
            return float(prediction["value"]), float(target)
        probabilities = np.array(list(prediction["probabilities"].values()), dtype=np.float64)
        if self.problem == "single-label":
            return probabilities.astype(np.float32), int(target)
        cut = self.part.threshold
        if cut != 0.5:
            above = 0.5 + 0.5 * (probabilities - cut) / (1 - cut)
            probabilities = np.where(probabilities >= cut, above, 0.5 * probabilities / cut)
        return probabilities, target.astype(np.int64)

    def _texts(self, examples: Sequence[Example]) -> list[str] | list[tuple[str, str]]:
        if not self.pair:
            for example in examples:
                if example.get("text_pair") is not None:
                    raise DataError(
                        "this example has a second text, the training examples had one",
                        where=place(example),
                        mend="remove text_pair, or train on pairs",
                    )
            return [example["text"] for example in examples]
        for example in examples:
            if example.get("text_pair") is None:
                raise DataError(
                    "the second text is missing: the model takes pairs of texts",
                    where=place(example),
                    mend="give text_pair, or name its column under data.columns",
                )
        return [(example["text"], example["text_pair"]) for example in examples]

    def _empty(self, example: Example) -> np.ndarray[Any, Any]:
        """Stand for a text without a single token, where the tokenizer adds no special tokens either."""
        tokenizer = self.tokenizer
        for token in (tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id, tokenizer.pad_token_id):
            if token is not None:
                return np.array([token], dtype=np.int32)
        raise DataError("the text has no tokens", where=place(example), mend="remove the row")

    def _target(self, example: Example) -> np.ndarray[Any, Any]:
        if self.problem == "regression":
            return np.array(read_number(example), dtype=np.float32)
        names = read_labels(example, self.problem)
        for name in names:
            if name not in self._index:
                raise unknown_label(name, self.labels, example)
        if self.problem == "single-label":
            return np.array(self._index[names[0]], dtype=np.int64)
        target_C = np.zeros(len(self.labels), dtype=np.float32)
        target_C[[self._index[name] for name in names]] = 1.0
        return target_C


def read_labels(example: Example, problem: Problem) -> list[str]:
    """Return the labels of an example as a list; exactly one for a single-label problem.

    Raises:
        DataError: A list where one label is expected, or a label that is not text.
    """
    value = example["label"]
    values = list(value) if isinstance(value, list | tuple) else [value]
    if problem == "single-label" and len(values) != 1:
        raise DataError(
            f"{len(values)} labels {values} where the problem is single-label",
            where=place(example),
            mend="set task.problem to multi-label, or give one label",
        )
    names = []
    for given in values:
        item = int(given) if isinstance(given, float) and given.is_integer() else given
        if not isinstance(item, str | int) or (isinstance(item, str) and not item and problem == "single-label"):
            raise DataError(f"{item!r} is not a label", where=place(example), mend="a label is a non-empty text")
        if item != "":
            names.append(str(item))
    return names


def read_number(example: Example) -> float:
    """Return the label of an example as a finite number.

    Raises:
        DataError: Not a number, NaN or infinite.
    """
    value = example["label"]
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise DataError(f"{value!r} is not a number", where=place(example), mend="give a number, or set task.problem")
    return number


def _find_problem(examples: Sequence[Example]) -> Problem:
    kinds = {_kind(example) for example in examples}
    if len(kinds) > 1:
        first = next(example for example in examples if _kind(example) != _kind(examples[0]))
        raise DataError(
            f"the labels are of different kinds ({', '.join(sorted(kinds))})",
            where=place(first),
            mend="make them alike, or set task.problem",
        )
    return kinds.pop()


def _kind(example: Example) -> Problem:
    label = example["label"]
    if isinstance(label, list | tuple):
        return "multi-label"
    return "regression" if isinstance(label, float) else "single-label"
