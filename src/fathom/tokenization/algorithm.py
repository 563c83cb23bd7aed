"""How a vocabulary is learnt: the contract of the algorithms, and the checks they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from fathom.config import Part
from fathom.errors import ConfigError, DataError
from fathom.tokenization.corpus import Corpus
from fathom.tokenization.normalization import Normalization
from fathom.tokenization.special import Reserved, StyleName

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class Algorithm(Part, ABC):
    """A way to learn a vocabulary from text and to cut text with it."""

    default_style: ClassVar[StyleName]
    """The special tokens it usually comes with."""
    default_normalization: ClassVar[Normalization]
    """The preset it usually comes with."""
    has_unknown: ClassVar[bool] = True
    """Whether there are characters it has no token for."""

    kind: str

    @abstractmethod
    def pipeline(self, normalization: Normalization, unknown: str) -> Tokenizer:
        """Return an untrained backend: normaliser, pre-tokeniser, empty model, decoder.

        Raises:
            ConfigError: The preset does not go with this algorithm.
        """

    @abstractmethod
    def learn(self, backend: Tokenizer, corpus: Corpus, reserved: Reserved) -> Tokenizer:
        """Return a trained backend: the first reserved tokens have the first ids, room is left for the last ones.

        Args:
            backend: What `pipeline` returned; may be trained in place.
            corpus: The texts.
            reserved: The special tokens.

        Raises:
            ConfigError: The vocabulary is too small for the special tokens and the characters.
            DataError: The vocabulary is larger than the corpus supports, or the corpus is no text.
        """


def refuse_preset(algorithm: str, normalization: str, mend: str) -> ConfigError:
    """Return the error of a preset that does not go with an algorithm."""
    return ConfigError(
        f"the normalisation '{normalization}' does not go with {algorithm}", where="normalization", mend=mend
    )


def require_room(size: int, alphabet: int, special: int, mend: str) -> None:
    """Refuse a vocabulary that cannot hold its special tokens and its characters.

    Raises:
        ConfigError: It is too small; says the least size.
    """
    if size < alphabet + special:
        raise ConfigError(
            f"a vocabulary of {size:,} has no room for {special} special tokens and {alphabet:,} characters",
            where="vocab_size",
            mend=f"give at least {alphabet + special:,}{mend}",
        )


def require_size(reached: int, size: int, mend: str) -> None:
    """Refuse a vocabulary that stayed smaller than it was asked to be.

    Raises:
        DataError: The corpus does not support the size; says the size it supports.
    """
    if reached < size:
        raise DataError(
            f"a vocabulary of {size:,} is more than the corpus supports: it gave {reached:,} tokens",
            where="vocab_size",
            mend=f"give {reached:,} or fewer, or more text{mend}",
        )


def vocabulary_in_order(state: dict[str, Any]) -> list[str]:
    """Return the tokens of a backend's serialised model in the order of their ids."""
    vocabulary = state["model"]["vocab"]
    if isinstance(vocabulary, list):
        return [token for token, _ in vocabulary]
    return sorted(vocabulary, key=vocabulary.__getitem__)
