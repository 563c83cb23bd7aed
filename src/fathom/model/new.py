"""A model that does not exist yet: from a family and a depth to a config and first weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from pydantic import AliasChoices, Field, field_validator, model_validator

from fathom.config import suggest
from fathom.errors import ConfigError, ModelError
from fathom.model.architectures import ARCHITECTURES, Architecture, Vocabulary
from fathom.model.section import ModelSection
from fathom.model.sizes import MOST_DEPTH, Sizes, derive, learning_rate_at

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

SIZES = ("width", "heads", "key_value_heads", "head_width", "feed_forward", "positions")
FRAMES_A_SECOND = 50
"""Of Whisper's encoder."""
FARTHEST_PAD = 255
"""RoBERTa's positions begin after the padding id; beyond this the rows before it would be a waste nobody meant."""


def _also(name: str, *others: str) -> AliasChoices:
    return AliasChoices(name, *others)


class NewModel(ModelSection):
    """A model of new weights: a family and a depth; every other size follows from them unless it is given."""

    kind: Literal["new"] = "new"
    architecture: str
    """One of `bert`, `roberta`, `modernbert`, `gpt2`, `llama`, `qwen3`, `t5`, `bart`, `vit`, `ast`, `wav2vec2`,
    `whisper`."""
    depth: int = Field(6, ge=1, le=MOST_DEPTH, validation_alias=_also("depth", "num_hidden_layers", "num_layers"))
    """Blocks; with two stacks (T5, BART, Whisper), of each."""
    tokenizer: str | None = None
    """Folder or name of the tokenizer, or of a model that has one; `fathom tokenizer train` makes one. Required for
    families that read text."""
    width: int | None = Field(None, ge=1, validation_alias=_also("width", "hidden_size", "d_model"))
    """Numbers in a hidden state."""
    heads: int | None = Field(None, ge=1, validation_alias=_also("heads", "num_attention_heads"))
    """Attention heads; left out, heads of 64."""
    key_value_heads: int | None = Field(None, ge=1, validation_alias=_also("key_value_heads", "num_key_value_heads"))
    """Heads of keys and values, which several heads of queries share (`llama`, `qwen3`)."""
    head_width: int | None = Field(None, ge=1, validation_alias=_also("head_width", "head_dim", "d_kv"))
    """Numbers of one head."""
    feed_forward: int | None = Field(None, ge=1, validation_alias=_also("feed_forward", "intermediate_size", "d_ff"))
    """Inner width of the feed-forward."""
    positions: int | None = Field(None, ge=1, validation_alias=_also("positions", "max_position_embeddings"))
    """Tokens of the longest sequence the model can read; of `ast`, frames of 10 ms of the longest sound; of `whisper`,
    frames of 20 ms of every sound, in whole seconds (1500: half a minute, as published)."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Every dropout rate of the config; left out, those of the family."""
    tie_embeddings: bool | None = Field(None, validation_alias=_also("tie_embeddings", "tie_word_embeddings"))
    """Whether the output reads the embedding table; left out, as the family does at this size."""
    vocabulary_size: int | None = Field(None, ge=2, validation_alias=_also("vocabulary_size", "vocab_size"))
    """Rows of the embedding table; left out, the tokenizer's tokens. More leave room for tokens to come."""
    vocabulary_multiple: int = Field(1, ge=1, validation_alias=_also("vocabulary_multiple", "pad_to_multiple_of"))
    """Round the rows of the embedding table up to a multiple, for GPUs; 1 has a row for each token and no more."""
    image_size: int | None = Field(None, ge=1)
    """Pixels of an image's side (`vit`); left out, 224."""
    patch_size: int | None = Field(None, ge=1)
    """Pixels of a patch's side (`vit`); left out, 16."""

    @field_validator("architecture")
    @classmethod
    def _known(cls, architecture: str) -> str:
        name = architecture.lower().replace("-", "").replace("_", "")
        if name not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise ValueError(
                f"no architecture is called '{architecture}'{suggest(name, ARCHITECTURES)} (known: {known})"
            )
        return name

    @model_validator(mode="after")
    def _sizes_go_together(self) -> Self:
        sizes = self.sizes()
        if not self.family.reads_text:
            if self.tokenizer is not None:
                raise ValueError(f"{self.architecture} reads no text and takes no tokenizer")
            if self.architecture != "vit" and (self.image_size or self.patch_size):
                raise ValueError(f"{self.architecture} reads sound and has no image_size or patch_size")
            frames = sizes.positions or 0
            if self.architecture == "whisper" and frames % FRAMES_A_SECOND:
                whole = max(round(frames / FRAMES_A_SECOND), 1) * FRAMES_A_SECOND
                raise ValueError(f"whisper reads whole seconds, {FRAMES_A_SECOND} positions each: write {whole}")
            if (self.image_size or 224) % (self.patch_size or 16):
                raise ValueError(
                    f"an image of {self.image_size or 224} is not made of patches of {self.patch_size or 16}"
                )
        elif self.image_size is not None or self.patch_size is not None:
            raise ValueError(f"{self.architecture} reads text and has no image_size or patch_size")
        if self.architecture == "t5" and self.tie_embeddings is False:
            raise ValueError("transformers ties the tables of every t5: leave tie_embeddings out")
        assert sizes.depth == self.depth
        return self

    @property
    def family(self) -> Architecture:
        """The family's entry in the table."""
        return ARCHITECTURES[self.architecture]

    def sizes(self) -> Sizes:
        """Return every size; raises `ValueError` where those given do not go together."""
        return derive(self.family.dial, self.depth, {name: vars(self)[name] for name in SIZES})

    @property
    def label(self) -> str:
        """For example `new:bert depth 6`."""
        return f"new:{self.architecture} depth {self.depth}"

    @property
    def tokenizer_source(self) -> str:
        """The tokenizer the recipe names."""
        if self.tokenizer is None:
            raise ConfigError(
                f"a new {self.architecture} has no tokenizer", where="model.tokenizer", mend=TOKENIZER_MEND
            )
        return self.tokenizer

    @property
    def default_learning_rate(self) -> float:
        """The family's rate for pretraining with AdamW, scaled to this width."""
        return learning_rate_at(self.family.learning_rate, self.sizes().width)

    def read_config(self, tokenizer: PreTrainedTokenizerBase | None, overrides: Mapping[str, Any]) -> PreTrainedConfig:
        """Build the config for a tokenizer."""
        return build_config(self, vocabulary_of(tokenizer) if tokenizer and self.family.reads_text else None, overrides)

    def adopt(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Make the positions the tokenizer's limit; what limit it had was another model's."""
        positions = self.sizes().positions
        if positions is not None:
            tokenizer.model_max_length = positions

    def load(
        self,
        tokenizer: PreTrainedTokenizerBase | None,
        auto_class: str,
        overrides: Mapping[str, Any],
        seed: int,
    ) -> PreTrainedModel:
        """Draw the first weights, as the family's paper draws them."""
        from fathom.model.load import draw_model

        return draw_model(self.read_config(tokenizer, overrides), auto_class, seed)


TOKENIZER_MEND = "name a folder or a model that has one; 'fathom tokenizer train' makes one from your text"


def vocabulary_of(tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    """Return what a model has to know of a tokenizer."""
    highest = max(tokenizer.get_vocab().values(), default=-1)
    begin, finish = tokenizer.bos_token_id, tokenizer.eos_token_id
    first, last = tokenizer.cls_token_id, tokenizer.sep_token_id
    return Vocabulary(
        size=max(len(tokenizer), highest + 1),
        pad=tokenizer.pad_token_id,
        start=begin if begin is not None else first,
        end=finish if finish is not None else last,
        separator=last if last is not None else finish,
    )


def build_config(
    new: NewModel, vocabulary: Vocabulary | None, overrides: Mapping[str, Any] | None = None
) -> PreTrainedConfig:
    """Build the transformers config of a new model.

    Args:
        new: What the recipe says.
        vocabulary: Of the tokenizer; None for a family that reads no text, or where `vocabulary_size` is all there is.
        overrides: Config keys and values that come last, e.g. `num_labels`.

    Raises:
        ModelError: The tokenizer lacks a token that the family cannot do without.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from fathom.model.load import dropout_overrides

    family = new.family
    known = vocabulary or Vocabulary(new.vocabulary_size or 0, pad=0, start=0, end=0, separator=0)
    if family.reads_text:
        _check_vocabulary(new, known)
    rows = new.vocabulary_size or known.size
    rows = -(-rows // new.vocabulary_multiple) * new.vocabulary_multiple
    keys = family.keys(new.sizes(), replace(known, size=rows))
    if new.architecture == "vit":
        keys |= {"image_size": new.image_size or 224, "patch_size": new.patch_size or 16}
    if new.tie_embeddings is not None:
        keys["tie_word_embeddings"] = new.tie_embeddings
    config_class = CONFIG_MAPPING[family.model_type or new.architecture]
    if new.dropout is not None:
        keys |= dropout_overrides(config_class(**keys), new.dropout)
    return cast("PreTrainedConfig", config_class(**{**keys, **(overrides or {})}))


def _check_vocabulary(new: NewModel, vocabulary: Vocabulary) -> None:
    if new.vocabulary_size is not None and new.vocabulary_size < vocabulary.size:
        raise ModelError(
            f"the tokenizer has {vocabulary.size:,} tokens and vocabulary_size leaves room for {new.vocabulary_size:,}",
            where="model.vocabulary_size",
            mend=f"leave it out, or write at least {vocabulary.size}",
        )
    if vocabulary.size < 2:
        raise ModelError("the tokenizer has no vocabulary", where=new.tokenizer, mend=TOKENIZER_MEND)
    told = {"pad": "padding token", "end": "token that ends a text (eos or sep)"}
    missing = [told[name] for name in new.family.needs if vars(vocabulary)[name] is None]
    if missing:
        raise ModelError(
            f"the tokenizer has no {' and no '.join(missing)}, which {new.architecture} cannot do without",
            where=new.tokenizer,
            mend="add it to the tokenizer's special tokens, or choose another architecture",
        )
    if new.architecture == "roberta" and (vocabulary.pad or 0) > FARTHEST_PAD:
        raise ModelError(
            f"roberta counts positions from its padding id, and the tokenizer's is {vocabulary.pad}",
            where=new.tokenizer,
            mend="train the tokenizer with its special tokens first, or choose bert",
        )
