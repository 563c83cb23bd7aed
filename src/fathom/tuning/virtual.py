"""What strategies with virtual tokens have in common."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import nn

from fathom.errors import ConfigError, ModelError
from fathom.model.anatomy import Anatomy
from fathom.model.families import most_positions, scales_outside_table
from fathom.model.virtual_tokens import install
from fathom.tokenization.load import load_tokenizer
from fathom.tuning.adapted import Adapted, task_type, trained_heads, wrap

PAIRED = "SEQ_2_SEQ_LM"
"""PEFT's name of what an encoder-decoder does that writes."""
TASKS = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "CAUSAL_LM", PAIRED)
"""PEFT's names of what a model with virtual tokens can do."""


class Virtual(Adapted):
    """Learned vectors that every sequence sees before its own tokens; the model itself stays as it is."""

    num_virtual_tokens: int = Field(20, ge=1)
    """How many there are; each takes a position of the model and a share of its time."""

    @property
    def virtual_tokens(self) -> int:
        """Positions before every sequence."""
        return self.num_virtual_tokens

    def common_options(self, model: nn.Module, anatomy: Anatomy) -> dict[str, Any]:
        """Return the keywords every PEFT prompt config has.

        Raises:
            ModelError: The model is no classifier and does not write, or is an encoder-decoder with another head.
        """
        kind, name = task_type(model), type(model).__name__
        if kind not in TASKS:
            raise ModelError(
                f"tuning '{self.kind}' is built for classifiers and for models that write, and {name} is neither",
                mend="use tuning 'lora'",
            )
        if len(anatomy.stacks) != 1 and kind != PAIRED:
            raise ModelError(
                f"tuning '{self.kind}' is built for encoder-decoders that write; PEFT does not run {name} with virtual "
                "tokens, for its decoder reads the source itself",
                mend="use tuning 'lora'",
            )
        return {
            "task_type": task_type(model),
            "num_virtual_tokens": self.num_virtual_tokens,
            "num_transformer_submodules": 1,
            "modules_to_save": trained_heads(model, anatomy),
        }

    def embedded_options(self, model: nn.Module, anatomy: Anatomy) -> dict[str, Any]:
        """Return the keywords of a config whose vectors stand among the word embeddings.

        The sizes are told, not left to PEFT: it looks for names DistilBERT's config has not, and takes the blocks'
        width where ELECTRA's embeddings are narrower.

        Raises:
            ModelError: See `common_options`; or PEFT would read the words of a source otherwise than the model does.
        """
        options = self.common_options(model, anatomy)
        inner: Any = model
        if len(anatomy.stacks) == 2 and scales_outside_table(inner.get_encoder()):
            raise ModelError(
                f"tuning '{self.kind}' is saved for PEFT, which looks up the vectors of words by itself, and "
                f"{type(model).__name__} scales those that it looks up: PEFT alone would answer otherwise",
                mend="use tuning 'prefix' or 'lora'",
            )
        return {
            **options,
            "token_dim": inner.get_input_embeddings().weight.shape[1],
            "num_layers": len(anatomy.blocks),
            "num_attention_heads": inner.config.get_text_config().num_attention_heads,
        }

    @staticmethod
    def wrapped(model: nn.Module, config: Any) -> nn.Module:
        """Return the model under the config, its virtual tokens running as tokens."""
        return install(wrap(model, config))


def check_text(text: str | None, initialization: str | None) -> None:
    """Refuse a text that nothing begins as, and the reverse.

    Raises:
        ConfigError: One is given without the other.
    """
    if (initialization == "text") != bool(text):
        mend = "give both tuning.text and tuning.initialization=text, or neither"
        raise ConfigError("`text` and `initialization: text` go together", where="tuning.text", mend=mend)


def tokenizer_name(model: nn.Module) -> str:
    """Return where a model's tokenizer is loaded from.

    Raises:
        ConfigError: The model is new, and its words mean nothing yet.
    """
    named: Any = model
    name = str(named.name_or_path)
    if not name:
        raise ConfigError(
            "a new model has not learned any words to begin with",
            where="tuning.text",
            mend="leave out tuning.text and tuning.initialization, or start from a trained model",
        )
    return name


def text_ids(model: nn.Module, text: str) -> list[int]:
    """Return the tokens of a text, what the tokenizer puts around every text included; no more than the model takes."""
    tokenizer = load_tokenizer(tokenizer_name(model))
    ids: list[int] = tokenizer(text)["input_ids"]
    inner: Any = model
    return ids[: most_positions(inner.config)]


def repeated(ids: list[int], count: int) -> list[int]:
    """Return ids, at least so many of them: repeated where they are fewer."""
    return ids if len(ids) >= count else (ids * -(-count // len(ids)))[:count]
