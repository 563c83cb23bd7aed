"""The words that stand for labels: how a template asks for them, and what a label's score is.

A label has one word or several, a word one token or several. A reading of the template puts tokens in the place of the
word: a masked model gets as many masks as the word has tokens and guesses them all at once; a decoder gets the tokens
before the last and says how likely each one is after what stands before it. Words share readings where they can: words
of one token need one reading together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fathom.config import suggest
from fathom.errors import ConfigError

Token = tuple[int, ...]
"""The ids of a word."""
Length = Literal["sum", "mean"]


@dataclass(frozen=True)
class Reading:
    """What stands in the place of the word, and where something is asked.

    Attributes:
        fill: The ids that stand there.
        asked: Positions from the first of `fill`; -1 is the token before it.
        slots: Number of each of these positions among all that an example asks.
    """

    fill: Token
    asked: tuple[int, ...]
    slots: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """How the words of all labels are asked.

    Attributes:
        readings: Each is a sequence of its own.
        num_slots: Positions that are asked in all readings together.
        slot_K: For each token of each word the slot it is asked at, int64.
        token_K: Its id, int64.
        share_KC: How much its log probability counts for each label, float32.
        first_word: Of each label, what is asked where: id by slot.
    """

    readings: tuple[Reading, ...]
    num_slots: int
    slot_K: Tensor
    token_K: Tensor
    share_KC: Tensor
    first_word: tuple[dict[int, int], ...]

    @property
    def longest(self) -> int:
        """Tokens of the longest filling."""
        return max(len(reading.fill) for reading in self.readings)


def check_words(
    words: Mapping[str, Sequence[Token]], spelled: Mapping[str, Sequence[str]], unknown: int | None
) -> None:
    """Refuse words that a vocabulary has not, and words that do not tell labels apart.

    Args:
        words: Ids of each label's words.
        spelled: The words themselves.
        unknown: Id of the token that stands for what the vocabulary has not; None where it has everything.

    Raises:
        ConfigError: Names label and word.
    """
    owner: dict[Token, tuple[str, str]] = {}
    for label, own in words.items():
        where = f"task.verbalizer.{label}"
        for ids, word in zip(own, spelled[label], strict=True):
            if not ids or unknown in ids:
                raise ConfigError(
                    f"'{word}' is not in the model's vocabulary", where=where, mend="choose a word that the model knows"
                )
            if ids in owner:
                other, said = owner[ids]
                told = f"the word '{word}' of the label '{label}' is twice there"
                if other != label:
                    told = f"the labels '{other}' and '{label}' have the same word"
                same = "" if said == word else f" ('{said}' and '{word}' are one to the tokenizer)"
                raise ConfigError(f"{told}{same}", where=where, mend="give each label words of its own")
            owner[ids] = (label, word)


def check_labels(places: Mapping[str, str], verbalizer: Mapping[str, Sequence[str]]) -> None:
    """Refuse labels of the data that have no word.

    Args:
        places: Where each label occurs first.
        verbalizer: Words by label.

    Raises:
        ConfigError: Names them all.
    """
    missing = sorted(places.keys() - verbalizer.keys())
    if missing:
        named = ", ".join(f"'{label}'" for label in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        near = suggest(missing[0], verbalizer) if len(missing) == 1 else ""
        written = ", ".join(f"{label}: WORD" for label in missing[:10])
        raise ConfigError(
            f"no word stands for the label{'s' if len(missing) > 1 else ''} {named}{more}{near} "
            f"(first in {places[missing[0]]})",
            where="task.verbalizer",
            mend=f"write verbalizer: {{{written}}}",
        )


def ask_masked(words: Sequence[Sequence[Token]], mask: int, length: Length) -> Question:
    """Ask for words at masks: one reading for each number of tokens that a word has.

    Args:
        words: Of each label, the ids of its words.
        mask: Id of the mask token.
        length: See `_question`.
    """
    readings: list[Reading] = []
    slots: dict[int, tuple[int, ...]] = {}
    count = 0
    for size in sorted({len(ids) for own in words for ids in own}):
        slots[size] = tuple(range(count, count + size))
        readings.append(Reading((mask,) * size, tuple(range(size)), slots[size]))
        count += size
    asked = [[list(zip(slots[len(ids)], ids, strict=True)) for ids in own] for own in words]
    return _question(readings, count, asked, length)


def ask_causal(words: Sequence[Sequence[Token]], length: Length) -> Question:
    """Ask for words after a prompt: one reading for each beginning of a word that is no beginning of another's.

    Args:
        words: Of each label, the ids of its words.
        length: See `_question`.
    """
    beginnings = {ids[:size] for own in words for ids in own for size in range(len(ids))}
    longest = sorted(
        item for item in beginnings if not any(other != item and other[: len(item)] == item for other in beginnings)
    )
    slot: dict[Token, int] = {}
    readings: list[Reading] = []
    for fill in longest:
        fresh = [size for size in range(len(fill) + 1) if fill[:size] not in slot]
        slot |= {fill[:size]: len(slot) + place for place, size in enumerate(fresh)}
        readings.append(Reading(fill, tuple(size - 1 for size in fresh), tuple(slot[fill[:size]] for size in fresh)))
    asked = [[[(slot[ids[:place]], token) for place, token in enumerate(ids)] for ids in own] for own in words]
    return _question(readings, len(slot), asked, length)


def _question(
    readings: Sequence[Reading], num_slots: int, asked: Sequence[Sequence[Sequence[tuple[int, int]]]], length: Length
) -> Question:
    """Put the tokens of all words in a row.

    A label's score is the mean over its words (Schick & Schütze 2021) of the sum, or the mean, of the log
    probabilities of a word's tokens.

    Args:
        readings: In the order of their slots.
        num_slots: Of all readings.
        asked: Of each label and word the slot and the id of each token.
        length: Whether the tokens of a word count by their sum or their mean.
    """
    pairs = [
        (slot, token, label, 1.0 / (len(own) * (len(word) if length == "mean" else 1)))
        for label, own in enumerate(asked)
        for word in own
        for slot, token in word
    ]
    share_KC = torch.zeros(len(pairs), len(asked))
    for place, (_, _, label, share) in enumerate(pairs):
        share_KC[place, label] = share
    return Question(
        tuple(readings),
        num_slots,
        torch.tensor([pair[0] for pair in pairs]),
        torch.tensor([pair[1] for pair in pairs]),
        share_KC,
        tuple(dict(own[0]) for own in asked),
    )
