"""WordPiece, byte-level BPE, Unigram and characters, on the `tokenizers` library.

The library keeps words in hash maps whose order changes from process to process. Where that order reaches a result
(ids of `##` characters and so ties between merges in WordPiece, the characters a limit drops, the last digits and the
order of Unigram's scores) it is taken out here: the same corpus gives the same file.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fathom.tokenization.algorithm import Algorithm, refuse_preset, require_room, require_size
from fathom.tokenization.corpus import Corpus, count_characters, count_words, feed, most_frequent
from fathom.tokenization.normalization import Normalization, normalizer_of, splitter_of
from fathom.tokenization.special import Reserved, StyleName

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONTINUING = "##"
_NUM_BYTES = 256
_FEWER_CHARACTERS = ", or keep fewer characters with limit_alphabet"
_RARER = ", or lower min_frequency"


class WordPiece(Algorithm):
    """WordPiece as BERT has it: the longest known piece first; pieces inside a word carry `##`."""

    default_style: ClassVar[StyleName] = "bert"
    default_normalization: ClassVar[Normalization] = "bert-cased"

    kind: Literal["wordpiece"] = "wordpiece"
    vocab_size: int = Field(30_000, ge=1)
    """Tokens of the vocabulary, special tokens and single characters included."""
    min_frequency: int = Field(2, ge=1)
    """Least number of times a pair of pieces must occur to be joined."""
    limit_alphabet: int | None = Field(None, ge=1)
    """Most distinct characters to keep, the most frequent ones; left out, every character of the corpus."""

    def pipeline(self, normalization: Normalization, unknown: str) -> Tokenizer:
        """Words at white space and punctuation, as in BERT."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        if normalization == "byte-level":
            raise refuse_preset("WordPiece", normalization, "take byte-bpe, or 'bert-cased'")
        backend = Tokenizer(models.WordPiece(unk_token=unknown))
        normalizer = normalizer_of(normalization, spaced=True)
        if normalizer is not None:
            backend.normalizer = normalizer
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        backend.decoder = decoders.WordPiece(prefix=CONTINUING, cleanup=False)
        return backend

    def learn(self, backend: Tokenizer, corpus: Corpus, reserved: Reserved) -> Tokenizer:
        """Learn the pieces by joining the most frequent pairs."""
        from tokenizers import trainers

        words = count_words(backend, corpus)
        kept = most_frequent(count_characters(words), self.limit_alphabet)
        inside = sorted({character for word in words for character in word[1:]} & set(kept))
        del words
        alphabet = [*kept, *(CONTINUING + character for character in inside)]
        require_room(self.vocab_size, len(alphabet), reserved.count, _FEWER_CHARACTERS)
        # Given as special tokens, characters get their ids in this order; without, `##` ones get them as met.
        trainer = trainers.WordPieceTrainer(
            vocab_size=self.vocab_size - len(reserved.last),
            min_frequency=self.min_frequency,
            special_tokens=[*reserved.first, *alphabet],
            initial_alphabet=kept,
            limit_alphabet=len(kept),
            continuing_subword_prefix=CONTINUING,
            show_progress=False,
        )
        feed(backend, corpus, trainer)
        require_size(backend.get_vocab_size() + len(reserved.last), self.vocab_size, _RARER)
        return backend


class ByteBpe(Algorithm):
    """Byte-pair encoding over bytes, as GPT-2 has it: nothing is unknown and every text comes back as it was."""

    default_style: ClassVar[StyleName] = "gpt2"
    default_normalization: ClassVar[Normalization] = "byte-level"
    has_unknown: ClassVar[bool] = False

    kind: Literal["byte-bpe"] = "byte-bpe"
    vocab_size: int = Field(30_000, ge=1)
    """Tokens of the vocabulary, special tokens and the 256 bytes included."""
    min_frequency: int = Field(2, ge=1)
    """Least number of times a pair of pieces must occur to be joined."""

    def pipeline(self, normalization: Normalization, unknown: str) -> Tokenizer:
        """Words with the space before them, by GPT-2's pattern; then their bytes."""
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        backend = Tokenizer(models.BPE())
        normalizer = normalizer_of(normalization, spaced=False)
        if normalizer is not None:
            backend.normalizer = normalizer
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        splitters = splitter_of(normalization)
        backend.pre_tokenizer = pre_tokenizers.Sequence([*splitters, to_bytes]) if splitters else to_bytes
        backend.decoder = decoders.ByteLevel()
        return backend

    def learn(self, backend: Tokenizer, corpus: Corpus, reserved: Reserved) -> Tokenizer:
        """Learn the merges."""
        from tokenizers import pre_tokenizers, trainers

        require_room(self.vocab_size, _NUM_BYTES, reserved.count, "")
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size - len(reserved.last),
            min_frequency=self.min_frequency,
            special_tokens=list(reserved.first),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        feed(backend, corpus, trainer)
        require_size(backend.get_vocab_size() + len(reserved.last), self.vocab_size, _RARER)
        return backend


class Unigram(Algorithm):
    """The unigram language model of SentencePiece (arXiv 1804.10959): the likeliest pieces, pruned from many."""

    default_style: ClassVar[StyleName] = "t5"
    default_normalization: ClassVar[Normalization] = "none"

    kind: Literal["unigram"] = "unigram"
    vocab_size: int = Field(30_000, ge=1)
    """Tokens of the vocabulary, special tokens and single characters included."""
    limit_alphabet: int | None = Field(None, ge=1)
    """Most distinct characters to keep, the most frequent ones; left out, every character of the corpus."""
    max_piece_length: int = Field(16, ge=1)
    """Characters of the longest piece."""

    def pipeline(self, normalization: Normalization, unknown: str) -> Tokenizer:
        """Words marked with `▁` where a space was; line ends and punctuation apart."""
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        backend = Tokenizer(models.Unigram())
        normalizer = normalizer_of(normalization, spaced=False)
        if normalizer is not None:
            backend.normalizer = normalizer
        if normalization == "byte-level":
            backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
            backend.decoder = decoders.ByteLevel()
            return backend
        marks = pre_tokenizers.Split(Regex(r"[\r\n\t]|▁?\p{P}"), "isolated")
        spaces = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
        backend.pre_tokenizer = pre_tokenizers.Sequence([spaces, marks, *splitter_of(normalization)])
        backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)
        return backend

    def learn(self, backend: Tokenizer, corpus: Corpus, reserved: Reserved) -> Tokenizer:
        """Learn pieces and their probabilities by expectation maximisation."""
        from tokenizers import decoders, models, pre_tokenizers

        from fathom.tokenization.unigram import train_unigram

        words = count_words(backend, corpus)
        kept = most_frequent(count_characters(words), self.limit_alphabet)
        if isinstance(backend.decoder, decoders.ByteLevel):
            kept = sorted({*kept, *pre_tokenizers.ByteLevel.alphabet()})
        require_room(self.vocab_size, len(kept), reserved.count, _FEWER_CHARACTERS)
        size = self.vocab_size - reserved.count
        pieces = train_unigram(words, kept, size=size, max_piece_length=self.max_piece_length)
        require_size(len(pieces) + reserved.count, self.vocab_size, "")
        first = [(token, 0.0) for token in reserved.first]
        backend.model = models.Unigram([*first, *pieces], reserved.first.index(reserved.unknown), False)
        return backend


class Characters(Algorithm):
    """A token for every character of the corpus, spaces and line ends included; what is known comes back as it was."""

    default_style: ClassVar[StyleName] = "gpt2"
    default_normalization: ClassVar[Normalization] = "none"

    kind: Literal["characters"] = "characters"
    vocab_size: int | None = Field(None, ge=1)
    """Tokens of the vocabulary, special tokens included: the most frequent characters; left out, all of them."""
    min_frequency: int = Field(1, ge=1)
    """Least number of times a character must occur to get a token."""

    def pipeline(self, normalization: Normalization, unknown: str) -> Tokenizer:
        """No cuts: byte-pair encoding without merges takes a text apart into its characters."""
        from tokenizers import Tokenizer, decoders, models

        if normalization == "byte-level":
            raise refuse_preset("characters", normalization, "take byte-bpe with a vocab_size of 256 and its specials")
        backend = Tokenizer(models.BPE(unk_token=unknown))
        normalizer = normalizer_of(normalization, spaced=False)
        if normalizer is not None:
            backend.normalizer = normalizer
        backend.decoder = decoders.Fuse()
        return backend

    def learn(self, backend: Tokenizer, corpus: Corpus, reserved: Reserved) -> Tokenizer:
        """Count the characters."""
        counts: Counter[str] = Counter()
        normalize = None if backend.normalizer is None else backend.normalizer.normalize_str
        for batch in corpus.batches():
            for text in batch:
                counts.update(text if normalize is None else normalize(text))
        size = self.vocab_size
        if size is not None:
            require_room(size, 1, reserved.count, "")
        kept = most_frequent(counts, None if size is None else size - reserved.count, self.min_frequency)
        if size is not None:
            require_size(reserved.count + len(kept), size, "; left out, every character gets a token")
        state = json.loads(backend.to_str())
        state["model"]["vocab"] = {token: number for number, token in enumerate([*reserved.first, *kept])}
        return backend.from_str(json.dumps(state))
