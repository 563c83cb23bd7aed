"""What tasks that see or hear share: files in, and a processor in the place of the tokenizer."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from transformers import PreTrainedConfig

from fathom.data.draw import Draw
from fathom.data.example import Example, Features
from fathom.errors import DataError
from fathom.model.processors import processor_digest
from fathom.tasks.base import FEWEST_LABELS, LABEL_SMOOTHING, Batch, OpenTask, Task
from fathom.tasks.labels import ClassWeights, id_maps, place, sort_labels, weigh_classes
from fathom.tasks.single_label import OpenSingleLabel


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

    def model_overrides(self, config: PreTrainedConfig, processor: Any) -> dict[str, Any]:
        """Return config keys that the task sets besides its labels."""
        return self.fixed_keys(config)

    def fitted(self, processor: Any, config: PreTrainedConfig, examples: Sequence[Example]) -> Any:
        """Return the processor of a pretrained model as this run uses it.

        Args:
            processor: As it was saved.
            config: The model's.
            examples: The training split.

        Raises:
            ModelError: What it makes is not what the model reads.
        """
        return processor


class LabelledFiles(MediaTask):
    """One label for each file."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, validation_alias=LABEL_SMOOTHING)
    """Share of the probability spread evenly over all classes."""
    class_weights: ClassWeights = "none"
    """How much each class counts in the loss: none, balanced (rare classes more), or {label: weight}."""

    def head_keys(self, num_labels: int | None = None) -> dict[str, Any]:
        """An output for each label; see `Task.head_keys`."""
        return {"num_labels": num_labels or FEWEST_LABELS}

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


class OpenFiles(OpenTask):
    """A task on files, with the model's processor.

    Args:
        part: The options.
        processor: Makes model inputs of files; saved beside the weights.
        state: See `state`; `max_length` is the positions the blocks run on.
    """

    part: MediaTask

    def __init__(self, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> None:
        self.part = part
        self.kind = part.kind
        self.overrides: dict[str, Any] = dict(state.get("overrides", {}))
        self.tokenizer = processor
        self.labels: tuple[str, ...] = tuple(state.get("labels", ()))
        self.max_length = int(state["max_length"])

    @classmethod
    def of_state(cls, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> Self:
        """Return the live task of a saved model."""
        return cls(type(part).model_validate(state["options"]), processor, state)

    def tokenizer_digest(self) -> str:
        """Of everything the processor does."""
        return processor_digest(self.tokenizer)

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {
            "kind": self.kind,
            "options": self.part.model_dump(mode="json"),
            "labels": list(self.labels),
            "max_length": self.max_length,
            "overrides": self.overrides,
        }

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and processor."""
        return {"kind": self.kind, "length": self.max_length}

    def unfit(self, example: Example) -> str | None:
        """Say why a labelled example cannot be learnt from by this model; None where it can."""
        return None

    def encode(self, examples: Sequence[Example], first_index: int = 0) -> list[Features]:
        """Decode files; see `encode_one`."""
        return [item for row, one in enumerate(examples) for item in self.encode_one(one, first_index + row)]

    def encode_one(self, example: Example, index: int) -> list[Features]:
        """Decode one file and add what is learnt of it, where it is labelled, and the index of its example.

        Raises:
            DataError: It is damaged, or cannot be learnt from.
        """
        learnt = self.learnt(example)
        features = self.read(example)
        for item in features:
            item.setdefault("length", np.array(self.max_length, dtype=np.int64))
            item["example"] = np.array(index, dtype=np.int64)
            if learnt is not None:
                item["label"] = learnt
        return features

    @abstractmethod
    def learnt(self, example: Example) -> np.ndarray[Any, Any] | None:
        """Return what is learnt of an example, of one shape for all; None where it is not labelled."""

    @abstractmethod
    def read(self, example: Example) -> list[Features]:
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


class OpenLabelledFiles(OpenFiles, OpenSingleLabel):
    """One label for each file, with the labels and the model's processor; see `OpenFiles`."""

    part: LabelledFiles

    def __init__(self, part: MediaTask, processor: Any, state: Mapping[str, Any]) -> None:
        OpenFiles.__init__(self, part, processor, state)
        OpenSingleLabel.__init__(self, state["labels"], state["weights"], self.part.label_smoothing)

    @property
    def config_overrides(self) -> dict[str, Any]:
        """Number of outputs, label maps and problem type."""
        return {**id_maps(self.labels), "problem_type": "single_label_classification", **self.overrides}

    @property
    def metrics(self) -> tuple[str, ...]:
        """Catalog names of the metrics."""
        top = ("top-k",) if len(self.labels) > 5 else ()
        return ("accuracy", *top, "f1", "calibration", "per-class")

    def state(self) -> dict[str, Any]:
        """Everything `reopen` needs, as JSON."""
        return {**super().state(), "weights": self.weights}

    def cache_key(self) -> dict[str, Any]:
        """What the features depend on besides data and processor."""
        return {**super().cache_key(), "labels": list(self.labels)}

    def learnt(self, example: Example) -> np.ndarray[Any, Any] | None:
        """Return the index of the label."""
        return np.array(self.target(example), dtype=np.int64) if "label" in example else None
