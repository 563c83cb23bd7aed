"""A tokenizer from text: an algorithm, a preset and a style put together into a standard fast tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AliasChoices, Field, SerializeAsAny

from fathom.config import Part, choice
from fathom.tokenization.algorithm import Algorithm
from fathom.tokenization.chat import CHATML
from fathom.tokenization.corpus import Corpus
from fathom.tokenization.normalization import Normalization
from fathom.tokenization.special import CHAT_TOKENS, STYLES, Reserved, Style, StyleName

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


class NewTokenizer(Part):
    """What a tokenizer to be trained is like."""

    algorithm: Annotated[SerializeAsAny[Algorithm], choice("tokenizer_algorithm", default="wordpiece")] = Field(
        "wordpiece", validate_default=True
    )
    """`wordpiece`, `byte-bpe`, `unigram` or `characters`, with options."""
    style: StyleName | None = Field(None, validation_alias=AliasChoices("style", "architecture"))
    """Whose special tokens: the architecture that will read the tokens; left out, what goes with the algorithm."""
    normalization: Normalization | None = None
    """What becomes of a text before it is cut; left out, what goes with the algorithm."""
    chat: bool = False
    """Add `<|im_start|>` and `<|im_end|>` and a chat template that uses them."""
    max_length: int | None = Field(None, gt=0, validation_alias=AliasChoices("max_length", "model_max_length"))
    """Tokens of the longest input; left out, the tokenizer states no limit and the model's positions are the limit."""


@dataclass(frozen=True)
class Trained:
    """A new tokenizer, and what it was learnt from."""

    tokenizer: PreTrainedTokenizerBase
    texts: int
    characters: int


def train(new: NewTokenizer, corpus: Corpus) -> Trained:
    """Learn a tokenizer; the same corpus gives the same tokenizer.

    Args:
        new: What it is like.
        corpus: The texts; some algorithms read them twice.

    Raises:
        ConfigError: The vocabulary is too small for the special tokens and the characters, or options do not go
            together.
        DataError: The corpus is no text, or too small for the vocabulary.
    """
    algorithm = new.algorithm
    style = STYLES[new.style or algorithm.default_style]
    reserved = style.reserved(algorithm.has_unknown, new.chat)
    backend = algorithm.pipeline(new.normalization or algorithm.default_normalization, reserved.unknown)
    learnt = algorithm.learn(backend, corpus, reserved)
    return Trained(_wrap(_finish(learnt, reserved, style), style, new), corpus.texts, corpus.characters)


def _finish(backend: Tokenizer, reserved: Reserved, style: Style) -> Tokenizer:
    """Put the last tokens in, mark the reserved ones special, and frame texts with them."""
    from tokenizers import Tokenizer, processors

    state = json.loads(backend.to_str())
    vocabulary = state["model"]["vocab"]
    for token in reserved.last:
        if isinstance(vocabulary, list):
            vocabulary.append([token, 0.0])
        else:
            vocabulary[token] = len(vocabulary)
    # Whatever else the trainer was given as special, such as single characters to fix their ids, is not.
    state["added_tokens"] = []
    finished = Tokenizer.from_str(json.dumps(state))
    finished.add_special_tokens([_special(token) for token in (*reserved.first, *reserved.last)])
    frame = sorted({*style.single.split(), *style.pair.split()})
    names = sorted({part.rpartition(":")[0] for part in frame if not part.startswith("$")})
    finished.post_processor = processors.TemplateProcessing(
        single=style.single, pair=style.pair, special_tokens=[(name, finished.token_to_id(name)) for name in names]
    )
    return finished


def _wrap(backend: Tokenizer, style: Style, new: NewTokenizer) -> PreTrainedTokenizerBase:
    from transformers import PreTrainedTokenizerFast

    reserved = style.reserved(new.algorithm.has_unknown, new.chat)
    roles: dict[str, Any] = dict(style.roles_with(new.algorithm.has_unknown))
    roles.update({role: _special(token) for role, token in roles.items() if role == "mask_token"})
    limit = {} if new.max_length is None else {"model_max_length": new.max_length}
    tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=list(style.inputs),
        clean_up_tokenization_spaces=False,
        padding_side="right",
        truncation_side="right",
        extra_special_tokens=[*(CHAT_TOKENS if new.chat else ()), *reserved.last],
        **limit,
        **roles,
    )
    if new.chat:
        tokenizer.chat_template = CHATML
    return tokenizer


def _special(token: str) -> Any:
    from tokenizers import AddedToken

    # As in RoBERTa and BART: a masked word is masked with the space before it.
    return AddedToken(token, special=True, normalized=False, lstrip=token == "<mask>")
