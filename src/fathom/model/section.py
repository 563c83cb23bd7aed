"""The `model:` section of a recipe: which model a run starts from, and where its tokenizer comes from.

A run loads the tokenizer of `tokenizer_source`, lets the section `adopt` it, and asks for config and weights with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from fathom.config import Part

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


class ModelSection(Part, ABC):
    """Where a run gets its model, its config and its tokenizer."""

    kind: str

    @property
    @abstractmethod
    def label(self) -> str:
        """What reports, messages and saved folders call the model."""

    @property
    @abstractmethod
    def tokenizer_source(self) -> str:
        """Name or folder of the tokenizer, as `resolve_model` takes it; raises `ConfigError` where there is none."""

    @property
    def default_learning_rate(self) -> float | None:
        """The peak rate these weights want; None leaves it to the tuning strategy."""
        return None

    @abstractmethod
    def read_config(self, tokenizer: PreTrainedTokenizerBase | None, overrides: Mapping[str, Any]) -> PreTrainedConfig:
        """Return the config of the model, with overrides."""

    def adopt(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Make a tokenizer the model's own; what lies beside weights is so already."""

    @abstractmethod
    def load(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        auto_class: str,
        overrides: Mapping[str, Any],
        seed: int,
    ) -> PreTrainedModel:
        """Return the model in float32 under a transformers auto class; new weights come from the seed alone."""


class Pretrained(ModelSection):
    """A model with weights: from the hub, a folder, an earlier run, or built in."""

    kind: Literal["pretrained"] = "pretrained"
    name: str
    """Hub name, folder, built-in name such as `minilm`, or the model folder of an earlier run."""

    @property
    def label(self) -> str:
        """The name."""
        return self.name

    @property
    def tokenizer_source(self) -> str:
        """The tokenizer lies beside the weights."""
        return self.name

    def read_config(self, tokenizer: PreTrainedTokenizerBase | None, overrides: Mapping[str, Any]) -> PreTrainedConfig:
        """Read the config beside the weights; the tokenizer is not asked."""
        from fathom.model.load import load_config

        return load_config(self.name, overrides)

    def load(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        auto_class: str,
        overrides: Mapping[str, Any],
        seed: int,
    ) -> PreTrainedModel:
        """Load the weights; a head they lack is drawn from the seed."""
        from fathom.model.load import load_model

        return load_model(self.name, auto_class, overrides, seed)
