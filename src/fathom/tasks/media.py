"""What tasks that see or hear share: one label for each file, and a processor in the place of the tokenizer."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedConfig

from fathom.data.draw import Draw
from fathom.data.example import Example, Features
from fathom.errors import DataError
from fathom.model.processors import processor_digest
from fathom.tasks.base import Batch, LossSum, OpenTask, Task
from fathom.tasks.labels import ClassWeights, id_maps, place, sort_labels, unknown_label, weigh_classes


class MediaTask(Task):
    """A task whose inputs are files of images or sounds; the model's processor stands in the tokenizer's place."""

    @abstractmethod
    def new_processor(self, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Return the processor of a model that does not exist yet.

        Args:
            config: The model's.
            examples: The training split, for processors that are made of it (an alphabet).
        """

    def num_positions(self, config: PreTrainedConfig) -> int:
        """Return the positions the model's blocks run on, of one input; 1 where they are not all alike."""
        return 1

    def model_overrides(self, config: PreTrainedConfig) -> dict[str, Any]:
        """Return config keys that the task sets besides its labels."""
        return {}

    def fitted(self, processor: Any, config: PreTrainedConfig) -> Any:
        """Return the processor of a pretrained model as this run uses it.

        Raises:
            ModelError: What it makes is not what the model reads.
        """
        return processor


class LabelledFiles(MediaTask):
    """One label for each file."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the probability spread evenly over all classes."""
    class_weights: ClassWeights = "none"
    """How much each class counts in the loss: none, balanced (rare classes more), or {label: weight}."""

    def read_labels(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return `labels` and `weights` of the state.

        Raises:
            DataError: No labels, or one class only.
        """
        counts = Counter(str(example["label"]) for example in examples if "label" in example)
        if len(counts) < 2:
            raise DataError(
                f"the training split has only the class {list(counts)}"
                if counts
                else "no training example has a label",
                where=place(examples[0]) if examples else None,
                mend="a classifier needs at least two classes: a folder for each, or a column of labels",
            )
        labels = sort_labels(counts)
        return {"labels": list(labels), "weights": weigh_classes(self.class_weights, labels, counts)}


class OpenLabelledFiles(OpenTask):
    """One label for each file, with the labels and the model's processor.

    Args:
        part: The options.
        processor: Makes model inputs of files; saved beside the weights.
        state: See `state`; `max_length` is the positions the blocks run on.
    """

    def __init__(self, part: LabelledFiles, processor: Any, state: Mapping[str, Any]) -> None:
        self.part = part
        self.overrides: dict[str, Any] = dict(state.get("overrides", {}))
        self.tokenizer = processor
        self.labels: tuple[str, ...] = tuple(state["labels"])
        self.weights: list[float] | None = state["weights"]
        self.max_length = int(state["max_length"])
        self._index = {label: index for index, label in enumerate(self.labels)}
        self._weights_C = None if self.weights is None else torch.tensor(self.weights, dtype=torch.float32)

    @classmethod
    def of_state(cls, part: LabelledFiles, processor: Any, state: Mapping[str, Any]) -> Self:
        """Return the live task of a saved model."""
        return cls(type(part).model_validate(state["options"]), processor, state)

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Number of outputs, label maps and problem type."""
        return {**id_maps(self.labels), "problem_type": "single_label_classification", **self.overrides}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        top = ("top-k",) if len(self.labels) > 5 else ()
        return ("accuracy", *top, "f1", "calibration", "per-class")

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "accuracy"

    def tokenizer_digest(self) -> str:
        """Of everything the processor does."""
        return processor_digest(self.tokenizer)

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "labels": list(self.labels),
            "weights": self.weights,
            "max_length": self.max_length,
            "overrides": self.overrides,
        }

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and processor."""
        return {"kind": self.kind, "labels": list(self.labels), "length": self.max_length}

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Decode files, one feature each; see `read`."""
        return [self.encode_one(example, first_index + place) for place, example in enumerate(examples)]

    def encode_one(self, example: Example, index: int) -> Features:
        """Decode one file and add its label, where it has one, and the index of its example."""
        features = self.read(example)
        features.setdefault("length", np.array(self.max_length, dtype=np.int64))
        features["example"] = np.array(index, dtype=np.int64)
        if "label" in example:
            features["label"] = np.array(self._target(example), dtype=np.int64)
        return features

    @abstractmethod
    def read(self, example: Example) -> Features:
        """Decode one file into what the store keeps: bytes of pixels, samples or a spectrogram; see `data.example`."""

    @abstractmethod
    def inputs(self, features: Sequence[Features], draw: Draw) -> dict[str, Tensor]:
        """Return the model's inputs for a batch: augmented in training, scaled as the processor says."""

    def make_batch(self, features: Sequence[Features], draw: Draw) -> Batch:
        """Put files into one batch; augmentation is drawn from `draw`, and left out when a model is scored."""
        batch = self.inputs(features, draw)
        if "label" in features[0]:
            batch["label"] = torch.from_numpy(np.stack([item["label"] for item in features]))
        return batch

    def normalizer(self, batch: Batch) -> float:
        """Files; with class weights the summed weights of their labels."""
        label = batch["label"]
        return float(len(label)) if self._weights_C is None else float(self._weights_C.to(label.device)[label].sum())

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Cross-entropy, summed."""
        weights = None if self._weights_C is None else self._weights_C.to(logits.device)
        label = batch["label"].to(logits.device)
        smoothing = self.part.label_smoothing
        total = functional.cross_entropy(
            logits.float(), label, weight=weights, label_smoothing=smoothing, reduction="sum"
        )
        return LossSum(total)

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """Probabilities of the classes, float32 [classes], for each file."""
        return list(logits.detach().float().softmax(-1).cpu().numpy())

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Turn the record of a file into a prediction; see `OpenTask.decode`."""
        values = np.asarray(raw[0]).tolist()
        best = int(np.argmax(raw[0]))
        probabilities = dict(zip(self.labels, values, strict=True))
        told: dict[str, Any] = {"truncated": True} if features and int(features[0].get("truncated", 0)) else {}
        return {"label": self.labels[best], "score": values[best], "probabilities": probabilities, **told}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (probabilities, label index)."""
        if "label" not in example:
            raise DataError("the example has no label", where=place(example), mend="evaluate on labelled data")
        return np.array(list(prediction["probabilities"].values()), dtype=np.float32), self._target(example)

    def _target(self, example: Example) -> int:
        label = str(example["label"])
        if label not in self._index:
            raise unknown_label(label, self.labels, example)
        return self._index[label]
