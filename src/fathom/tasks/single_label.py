"""What tasks with one label for each example share: cross-entropy, probabilities, the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fathom.data.example import Example, Features
from fathom.errors import DataError
from fathom.tasks.base import Batch, LossSum, OpenTask
from fathom.tasks.labels import place, unknown_label


class OpenSingleLabel(OpenTask):
    """A task that gives each example one of its labels.

    Args:
        labels: In the order of the logits.
        weights: How much each label counts in the loss; None where all count alike.
        smoothing: Share of the probability spread evenly over all labels.
    """

    tells_others = True

    def __init__(self, labels: Sequence[str], weights: Sequence[float] | None, smoothing: float) -> None:
        self.labels = tuple(labels)
        self.weights = None if weights is None else list(weights)
        self.smoothing = smoothing
        self._index = {label: index for index, label in enumerate(self.labels)}
        self._weights_C = None if weights is None else torch.tensor(self.weights, dtype=torch.float32)

    @property
    def main_metric(self) -> str:
        """The score that chooses the best model."""
        return "accuracy"

    def normalizer(self, batch: Batch) -> float:
        """Examples; with class weights the summed weights of their labels."""
        label = batch["label"]
        return float(len(label)) if self._weights_C is None else float(self._weights_C.to(label.device)[label].sum())

    def loss(self, logits: Tensor, batch: Batch) -> LossSum:
        """Cross-entropy, summed."""
        weights = None if self._weights_C is None else self._weights_C.to(logits.device)
        label = batch["label"].to(logits.device)
        total = functional.cross_entropy(
            logits.float(), label, weight=weights, label_smoothing=self.smoothing, reduction="sum"
        )
        return LossSum(total)

    def raw_predictions(self, logits: Tensor, batch: Batch) -> list[Any]:
        """Probabilities of the labels, float32 [labels], for each example."""
        return list(logits.detach().float().softmax(-1).cpu().numpy())

    def decode(self, example: Example, features: Sequence[Features], raw: Sequence[Any]) -> dict[str, Any]:
        """Turn the record of an example into a prediction; see `OpenTask.decode`.

        `truncated: true` is added where the end of the input was not read.
        """
        values = np.asarray(raw[0]).tolist()
        best = int(np.argmax(raw[0]))
        probabilities = dict(zip(self.labels, values, strict=True))
        told: dict[str, Any] = {"truncated": True} if features and int(features[0].get("truncated", 0)) else {}
        return {"label": self.labels[best], "score": values[best], "probabilities": probabilities, **told}

    def score_pair(self, example: Example, prediction: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (probabilities, label index)."""
        if example.get("label") is None:
            raise DataError("the example has no label", where=place(example), mend="evaluate on labelled data")
        return np.array(list(prediction["probabilities"].values()), dtype=np.float32), self.target(example)

    def target(self, example: Example) -> int:
        """Return the index of an example's label.

        Raises:
            DataError: The label is unknown.
        """
        label = str(example["label"])
        if label not in self._index:
            raise unknown_label(label, self.labels, example)
        return self._index[label]
