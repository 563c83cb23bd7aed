"""A question and a passage as one sequence, a long passage as overlapping windows of it, every token with its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.errors import ConfigError
from fathom.tokenization.align import Encoded, encode_offsets
from fathom.tokenization.encode import clean_backend, encode_words, starts_of
from fathom.tokenization.words import HAN, has_han

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = np.ndarray[Any, np.dtype[np.int32]]

_HAN = re.compile(f"[{HAN}]")
_PROBES = ("a", "1", ".")


@dataclass(frozen=True)
class PairTemplate:
    """What a tokenizer puts around and between two texts, and the type of every part."""

    prefix: Ids
    middle: Ids
    suffix: Ids
    types: tuple[int, int, int, int, int]
    """Of the prefix, the first text, the middle, the second text and the suffix."""

    @property
    def count(self) -> int:
        """Tokens that are not text."""
        return len(self.prefix) + len(self.middle) + len(self.suffix)

    def join(self, first: Ids, second: Ids) -> tuple[Ids, Ids]:
        """Return ids and types of two texts put together."""
        parts = (self.prefix, first, self.middle, second, self.suffix)
        types = np.repeat(np.array(self.types, dtype=np.int32), [len(part) for part in parts])
        return np.concatenate(parts), types


def pair_template(tokenizer: PreTrainedTokenizerBase) -> PairTemplate:
    """Read off what is placed around two texts from an encoded probe.

    Raises:
        ConfigError: The tokenizer makes nothing of every probe.
    """
    backend = clean_backend(tokenizer)
    for probe in _PROBES:
        encoding = backend.encode(probe, probe)
        owner = np.array([-1 if number is None else number for number in encoding.sequence_ids])
        if not {0, 1} <= set(owner.tolist()):
            continue
        ids, types = np.array(encoding.ids, dtype=np.int32), encoding.type_ids
        first, second = np.flatnonzero(owner == 0), np.flatnonzero(owner == 1)
        cuts = (first[0], first[-1] + 1, second[0], second[-1] + 1)
        prefix, _, middle, _, suffix = np.split(ids, cuts)
        before, after = types[first[0]], types[second[0]]
        kinds = (
            types[0] if len(prefix) else before, before, types[cuts[1]] if len(middle) else before, after,
            types[-1] if len(suffix) else after,
        )  # fmt: skip
        return PairTemplate(prefix, middle, suffix, kinds)
    raise ConfigError("the tokenizer turns 'a', '1' and '.' into nothing", mend="check its vocabulary")


def encode_passages(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, by_character: bool = True) -> Encoded:
    """Encode running texts with the characters of every sub-word.

    Args:
        tokenizer: A fast tokenizer.
        texts: Passages.
        by_character: Cut every sub-word that holds a Chinese character and more than that one into the sub-words of its
            characters, so that an answer may begin and end at any of them. Chinese has no spaces: a tokenizer that
            does not set its characters apart takes a clause for one word, which is often unknown as a whole.
    """
    encoded = encode_offsets(tokenizer, texts)
    if not by_character or not any(map(has_han, texts)):
        return encoded
    pieces = [_cut(tokenizer, text, *encoded.of(index)) for index, text in enumerate(texts)]
    lengths = np.array([len(ids) for ids, _ in pieces], dtype=np.int64)
    return Encoded(
        np.concatenate([ids for ids, _ in pieces]),
        np.concatenate([offsets for _, offsets in pieces]),
        starts_of(lengths),
    )


def plan_token_windows(count: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Cover `count` tokens with windows of at most `room`, each sharing `stride` with the one before it.

    They are those of a tokenizer that returns overflowing tokens.
    """
    windows = [(0, min(room, count))]
    while windows[-1][1] < count:
        start = windows[-1][0] + room - stride
        windows.append((start, min(start + room, count)))
    return windows


def _cut(tokenizer: PreTrainedTokenizerBase, text: str, ids_T: Ids, offsets_T2: Any) -> tuple[Ids, Any]:
    """Replace the sub-words that hold a Chinese character and more by those of single characters."""
    wide = [
        place
        for place in np.flatnonzero(offsets_T2[:, 1] - offsets_T2[:, 0] > 1).tolist()
        if _HAN.search(text, int(offsets_T2[place, 0]), int(offsets_T2[place, 1]))
    ]
    if not wide:
        return ids_T, offsets_T2
    characters = [list(text[offsets_T2[place, 0] : offsets_T2[place, 1]]) for place in wide]
    flat = encode_words(tokenizer, characters)
    assert flat.words is not None
    ids: list[Any] = []
    offsets: list[Any] = []
    done = 0
    for number, place in enumerate(wide):
        own = slice(flat.starts[number], flat.starts[number + 1])
        first = int(offsets_T2[place, 0]) + flat.words[own].astype(np.int64)
        ids += [ids_T[done:place], flat.ids[own]]
        offsets += [offsets_T2[done:place], np.stack([first, first + 1], axis=1)]
        done = place + 1
    return np.concatenate([*ids, ids_T[done:]]), np.concatenate([*offsets, offsets_T2[done:]])
