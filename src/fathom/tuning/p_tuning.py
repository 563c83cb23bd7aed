"""Virtual tokens made by a small network, through `peft`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.virtual import Virtual


class PTuning(Virtual):
    """Train a small network that makes the vectors before every text, and the head.

    The network ties the vectors to one another, which makes them easier to learn than `prompt`'s. Only what it makes is
    saved: after training the network is not needed.

    Source: Liu et al., "GPT Understands, Too", 2021 (arXiv 2103.10385).
    """

    kind: Literal["p-tuning"] = "p-tuning"
    head_scale: float = Field(3.0, gt=0)
    """The head's learning rate is this many times that of the added parameters; a new head wants about 0.01."""
    encoder: Literal["mlp", "lstm"] = "mlp"
    """The small network: three linear layers, or a bidirectional LSTM with two."""
    hidden_size: int = Field(128, ge=1)
    """Inner width of the network."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 3e-3

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Put what the network makes before the word embeddings; returns a `peft.PeftModel`.

        Raises:
            ModelError: See `Virtual.embedded_options`.
        """
        from peft import PromptEncoderConfig

        config = PromptEncoderConfig(
            **self.embedded_options(model, anatomy),
            encoder_reparameterization_type=self.encoder.upper(),
            encoder_hidden_size=self.hidden_size,
        )
        return self.wrapped(model, config)
