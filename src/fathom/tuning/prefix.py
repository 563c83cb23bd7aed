"""Learned keys and values in every block, through `peft`."""

from __future__ import annotations

import inspect
from typing import Literal

from pydantic import Field
from torch import nn

from fathom.errors import ModelError
from fathom.model.anatomy import Anatomy
from fathom.tuning.virtual import Virtual


class Prefix(Virtual):
    """Train keys and values that every token of every block attends to, and the head.

    They go in where a decoder keeps the keys and values of earlier tokens, so the family must have such a place: BERT
    and RoBERTa have, DistilBERT and ModernBERT have not. PEFT runs them with padded batches, and so does Fathom: short
    texts beside long ones cost what the longest costs.

    Source: Li, Liang, "Prefix-Tuning", 2021 (arXiv 2101.00190).
    """

    kind: Literal["prefix"] = "prefix"
    head_scale: float = Field(1.0, gt=0)
    """The head's learning rate is this many times that of the added parameters; a new head wants about 0.01."""
    projection: bool = False
    """Make keys and values from shorter vectors by a small network, as the paper does; it is not saved."""
    hidden_size: int = Field(128, ge=1)
    """With `projection`, inner width of the network."""
    zero: bool = False
    """Begin with zeros instead of random numbers; attention then begins closer to the model's own."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 1e-2

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Put keys and values before those of every block; returns a `peft.PeftModel`.

        Raises:
            ModelError: The model is no classifier or decoder, has two stacks, or no place for earlier keys.
        """
        from peft import PrefixTuningConfig

        options = self.common_options(model, anatomy)
        takers = [module for module in (model, _body(model)) if "past_key_values" in _words(module)]
        if not takers:
            raise ModelError(
                f"tuning 'prefix' adds earlier keys and values, and {type(model).__name__} has no place for any",
                mend="use tuning 'prompt', which puts virtual tokens before the text",
            )
        config = PrefixTuningConfig(
            **options,
            prefix_projection=self.projection,
            encoder_hidden_size=self.hidden_size,
            init_weights="zero" if self.zero else None,
        )
        return self.wrapped(model, config)


def _body(model: nn.Module) -> nn.Module:
    from transformers import PreTrainedModel

    assert isinstance(model, PreTrainedModel)
    body: nn.Module = model.base_model
    return body


def _words(module: nn.Module) -> set[str]:
    return set(inspect.signature(module.forward).parameters)
