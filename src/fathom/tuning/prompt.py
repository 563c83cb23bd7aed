"""Learned word vectors before every text, through `peft`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from torch import nn

from fathom.model.anatomy import Anatomy
from fathom.tuning.adapted import on_meta
from fathom.tuning.virtual import Virtual, check_text, tokenizer_name


class Prompt(Virtual):
    """Train a few word vectors that stand before every text, and the head.

    They begin as vectors of real words: from random numbers prompt tuning learns far slower (in PEFT's own benchmark
    the beginning alone took it from 0.06 to 0.34). In an encoder with a pooled first position the first virtual token
    takes the place of [CLS], as in PEFT.

    Source: Lester, Al-Rfou, Constant, "The Power of Scale for Parameter-Efficient Prompt Tuning", 2021 (arXiv
    2104.08691).
    """

    kind: Literal["prompt"] = "prompt"
    head_scale: float = Field(1.0, gt=0)
    """The head's learning rate is this many times that of the added parameters; a new head wants about 0.01."""
    initialization: Literal["vocabulary", "text", "random"] = "vocabulary"
    """What the vectors begin as: those of random words, those of `text`, or random numbers."""
    text: str | None = None
    """With `initialization: text`, the words; repeated or cut to `num_virtual_tokens`."""

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 1e-2

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Put the vectors before the word embeddings; returns a `peft.PeftModel`.

        Raises:
            ModelError: See `Virtual.embedded_options`.
            ConfigError: `text` without `initialization: text`, or the reverse.
        """
        from peft import PromptTuningConfig, PromptTuningInit

        check_text(self.text, self.initialization)
        begins: dict[str, Any] = {"prompt_tuning_init": PromptTuningInit.RANDOM}
        if not on_meta(model):
            if self.initialization == "vocabulary":
                begins["prompt_tuning_init"] = PromptTuningInit.SAMPLE_VOCAB
            elif self.text:
                begins = {
                    "prompt_tuning_init": PromptTuningInit.TEXT,
                    "prompt_tuning_init_text": self.text,
                    "tokenizer_name_or_path": tokenizer_name(model),
                }
        return self.wrapped(model, PromptTuningConfig(**self.embedded_options(model, anatomy), **begins))
