"""Learned keys and values in every block, through `peft`."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from fathom.errors import ConfigError, ModelError
from fathom.model.anatomy import Anatomy
from fathom.model.families import NO_PREFIX_CLASSIFIER
from fathom.tuning.adapted import on_meta
from fathom.tuning.prefix_pair import pair_options, start_pair_from_words
from fathom.tuning.prefix_start import start_from_words
from fathom.tuning.virtual import Virtual, check_text, repeated, text_ids


class Prefix(Virtual):
    """Train keys and values that every token of every block attends to, and the head.

    They go in where a decoder keeps the keys and values of earlier tokens, so the family must have such a place: BERT
    and RoBERTa have, DistilBERT and ModernBERT have not; of an encoder-decoder it is the decoder's self-attention. PEFT
    runs them with padded batches, and so does Fathom: short texts beside long ones cost what the longest costs.

    They begin as what the model itself makes of real words, which the paper found better than random numbers, most of
    all where examples are few.

    Source: Li, Liang, "Prefix-Tuning", 2021 (arXiv 2101.00190), section 7.4 on the beginning.
    """

    kind: Literal["prefix"] = "prefix"
    head_scale: float = Field(1.0, gt=0)
    """The head's learning rate is this many times that of the added parameters; a new head wants about 0.01."""
    projection: bool = False
    """Make keys and values from shorter vectors by a small network, as the paper does; it is not saved."""
    hidden_size: int = Field(128, ge=1)
    """With `projection`, inner width of the network."""
    initialization: Literal["vocabulary", "text", "random", "zero"] | None = None
    """What keys and values begin as: those that the model makes of random words or of `text`, random numbers, or zeros.
    Left out, `vocabulary`; with `projection`, whose network words cannot begin, `random`."""
    text: str | None = None
    """With `initialization: text`, the words; repeated or cut to `num_virtual_tokens`."""

    @model_validator(mode="before")
    @classmethod
    def _named_as_before(cls, raw: Any) -> Any:
        """`zero: true` is the older name of `initialization: zero`."""
        if not isinstance(raw, dict) or "zero" not in raw:
            return raw
        rest = {key: value for key, value in raw.items() if key != "zero"}
        return {"initialization": "zero", **rest} if raw["zero"] is True else rest

    @property
    def default_learning_rate(self) -> float:
        """See `docs/guides/tuning.md` for what it was chosen by."""
        return 1e-2

    def apply(self, model: nn.Module, anatomy: Anatomy) -> nn.Module:
        """Put keys and values before those of every block; returns a `peft.PeftModel`.

        Raises:
            ModelError: See `common_options`; or the model has no place for earlier keys, or a head for whole texts that
                PEFT cannot run behind them.
            ConfigError: `text` without `initialization: text`, or the reverse; words with `projection`.
        """
        from peft import PrefixTuningConfig

        begins = self._begins
        options = self.common_options(model, anatomy)
        takers = [module for module in (model, _body(model)) if "past_key_values" in _words(module)]
        if not takers:
            raise ModelError(
                f"tuning 'prefix' adds earlier keys and values, and {type(model).__name__} has no place for any",
                mend="use tuning 'prompt', which puts virtual tokens before the text",
            )
        inner: Any = model
        if options["task_type"] == "SEQ_CLS" and inner.config.model_type in NO_PREFIX_CLASSIFIER:
            raise ModelError(
                f"under tuning 'prefix' PEFT does not give the head of {type(model).__name__} what it reads",
                mend="use tuning 'prompt', which puts virtual tokens before the text, or 'lora'",
            )
        paired = len(anatomy.stacks) == 2
        config = PrefixTuningConfig(
            **options | (pair_options(model, anatomy) if paired else {}),
            prefix_projection=self.projection,
            encoder_hidden_size=self.hidden_size,
            init_weights="zero" if begins == "zero" else None,
        )
        if begins not in ("vocabulary", "text") or on_meta(model):
            return self.wrapped(model, config)
        words_1N = self._words_1N(model)
        wrapped = self.wrapped(model, config)
        (start_pair_from_words if paired else start_from_words)(wrapped, takers[-1], words_1N)
        return wrapped

    @property
    def _begins(self) -> str:
        check_text(self.text, self.initialization)
        if self.projection and self.initialization in ("vocabulary", "text"):
            raise ConfigError(
                f"with `projection` a network makes keys and values, and none can be found that makes those of words "
                f"(initialization: {self.initialization})",
                where="tuning.initialization",
                mend="leave out tuning.projection, or write tuning.initialization=zero",
            )
        return self.initialization or ("random" if self.projection else "vocabulary")

    def _words_1N(self, model: nn.Module) -> Tensor:
        """Return ids of at least as many tokens as the prefix has, `[1, N]`."""
        table = _embeddings(model)
        if self.text is None:
            return torch.randint(0, len(table), (1, self.num_virtual_tokens)).to(table.device)
        ids = repeated(text_ids(model, self.text), self.num_virtual_tokens)
        return torch.tensor([ids], device=table.device)


def _embeddings(model: nn.Module) -> Tensor:
    from transformers import PreTrainedModel

    assert isinstance(model, PreTrainedModel)
    table: Tensor = model.get_input_embeddings().get_parameter("weight")
    return table


def _body(model: nn.Module) -> nn.Module:
    from transformers import PreTrainedModel

    assert isinstance(model, PreTrainedModel)
    body: nn.Module = model.base_model
    return body


def _words(module: nn.Module) -> set[str]:
    return set(inspect.signature(module.forward).parameters)
