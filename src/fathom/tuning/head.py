"""Only the task head learns."""

from __future__ import annotations

from typing import Literal

from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.tuning.base import Tuning
from fathom.tuning.select import mark_trainable, under


class Head(Tuning):
    """Train the task head on the frozen model's features (linear probing).

    The head is everything between the last block and the logits that the family counts to it: BERT's pooler and
    classifier, RoBERTa's two-layer classifier, GPT-2's score.
    """

    kind: Literal["head"] = "head"

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for the scores it was chosen by."""
        return 1e-2

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Freeze everything but the head.

        Raises:
            ModelError: The model has none.
        """
        if not anatomy.head:
            raise ModelError(
                "tuning 'head' trains the task head, and this model has none",
                mend="use tuning 'full', or a task that gives the model a head",
            )
        mark_trainable(model, lambda name: under(name, anatomy.head))
        return model
