"""Examples that stand in two splits: equal, equal after normalisation, or nearly equal, found in bounded time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fathom.data.conversation import text_of
from fathom.data.example import Example
from fathom.data.split import content_key, place_of

BANDS = 20
ROWS = 3
SHINGLE = 3
LEAST_LENGTH = 12
"""Characters below which two texts are near only when they are equal: one edit makes another text of a short one."""
LEAST_AGREEMENT = 0.3
"""Share of equal hashes below which a candidate is dropped: pairs that count as near share half of their shingles."""
MOST_IN_BUCKET = 100
"""Earlier texts looked at for one later text and band."""
MOST_PAIRS = 400_000
"""Candidate pairs whose edits are counted; beyond them the search stops and says so."""
MOST_CELLS = 4_000_000_000
"""Characters of one text times characters of the other, of all pairs whose edits are counted: some seconds; beyond
them the search stops too."""
SHINGLE_COST = 120
"""Such cells that counting a character's shingle takes the time of."""
HASHED_AT_ONCE = 1 << 18
"""Characters whose shingles are hashed at a time: they stay in the processor's cache, however long a split is."""

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Pairs = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Leak:
    """An example of a later split that an earlier one holds: positions in both, and how alike they are."""

    earlier: int
    later: int
    kind: str


@dataclass(frozen=True)
class Leaks:
    """All leaks between two splits; `complete` is False when the search for near ones had to stop."""

    found: tuple[Leak, ...]
    complete: bool = True


def find_leaks(earlier: Sequence[Example], later: Sequence[Example]) -> Leaks:
    """Find examples of one split in another; each later example is told once, by its closest kind.

    Kinds: `exact`; `normalized` (equal after NFKC, case folding and joining of white space); `near` (at most one edit
    per ten characters). Near pairs are found by MinHash (Broder 1997) over 3-character shingles, 20 bands of 3 hashes,
    which finds 99% of the pairs that share 60% of their shingles; the edits of each are counted.
    """
    raw = {_raw_key(example): place for place, example in enumerate(earlier)}
    keys = [content_key(example) for example in earlier]
    normalized = {key: place for place, key in enumerate(keys)}
    found: list[Leak] = []
    rest: list[int] = []
    later_keys = [content_key(example) for example in later]
    for place, example in enumerate(later):
        exact = raw.get(_raw_key(example))
        same = normalized.get(later_keys[place])
        if exact is not None:
            found.append(Leak(exact, place, "exact"))
        elif same is not None:
            found.append(Leak(same, place, "normalized"))
        elif "digest" not in example:  # files with other bytes are not alike by their digests
            rest.append(place)
    near, complete = _near(keys, later_keys, rest)
    return Leaks(tuple(sorted([*found, *near], key=lambda leak: leak.later)), complete)


def _raw_key(example: Example) -> tuple[str, str | None]:
    if "head" in example:
        return text_of(example), f"{place_of(example, 'head')} {place_of(example, 'tail')}"
    return text_of(example), example.get("text_pair", example.get("question"))


def _near(keys: list[str], later_keys: list[str], rest: list[int]) -> tuple[list[Leak], bool]:
    rows = [place for place in rest if len(later_keys[place]) >= LEAST_LENGTH]
    columns = [place for place, key in enumerate(keys) if len(key) >= LEAST_LENGTH]
    if not rows or not columns:
        return [], True
    first = _minhash([keys[place] for place in columns])
    second = _minhash([later_keys[place] for place in rows])
    pairs = _candidates(first, second)
    found: dict[int, int] = {}
    cells, complete = MOST_CELLS, len(pairs) <= MOST_PAIRS
    for row, column in pairs[:MOST_PAIRS].tolist():
        later, earlier = rows[row], columns[column]
        if later in found:
            continue
        if cells < 0:
            complete = False
            break
        near, cost = compare(later_keys[later], keys[earlier])
        cells -= cost
        if near:
            found[later] = earlier
    return [Leak(earlier, later, "near") for later, earlier in found.items()], complete


def _candidates(first: Hashes, second: Hashes) -> Pairs:
    """Pairs (row of second, row of first) that agree in a whole band and in enough hashes, the most alike first."""
    mix = np.uint64(0x9E3779B97F4A7C15)
    codes = [np.empty(0, dtype=np.int64)]
    for band in range(0, BANDS * ROWS, ROWS):
        key_first, key_second = first[:, band].copy(), second[:, band].copy()
        for place in range(band + 1, band + ROWS):
            key_first = key_first * mix ^ first[:, place]
            key_second = key_second * mix ^ second[:, place]
        order = np.argsort(key_first, kind="stable")
        ordered = key_first[order]
        begin = np.searchsorted(ordered, key_second, side="left")
        count = np.minimum(np.searchsorted(ordered, key_second, side="right") - begin, MOST_IN_BUCKET)
        later = np.repeat(np.arange(len(second)), count)
        within = np.arange(len(later)) - np.repeat(np.cumsum(count) - count, count)
        codes.append(later * len(first) + order[np.repeat(begin, count) + within])
    unique = np.unique(np.concatenate(codes))
    row, column = np.divmod(unique, len(first))
    agreement = np.concatenate(
        [np.empty(0)]
        + [
            (second[row[begin : begin + 100_000]] == first[column[begin : begin + 100_000]]).mean(axis=1)
            for begin in range(0, len(row), 100_000)
        ]
    )
    best = np.argsort(-agreement, kind="stable")
    best = best[agreement[best] >= LEAST_AGREEMENT]
    return np.stack([row[best], column[best]], axis=1)


def _minhash(texts: Sequence[str]) -> Hashes:
    """MinHash signatures [texts, hashes] of texts that hold at least one shingle each."""
    parts: list[Hashes] = []
    run: list[str] = []
    held = 0
    for text in texts:
        if run and held + len(text) > HASHED_AT_ONCE:
            parts.append(_minhash_run(run))
            run, held = [], 0
        run.append(text)
        held += len(text)
    return np.concatenate([*parts, _minhash_run(run)])


def _minhash_run(texts: Sequence[str]) -> Hashes:
    joined = np.frombuffer("".join(texts).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in texts])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    shingles = joined[:-2] | joined[1:-1] << np.uint64(21) | joined[2:] << np.uint64(42)
    shingles = np.concatenate([shingles, shingles[-1:], shingles[-1:]])
    # The last two positions of a text would take characters of the next one: they repeat its last whole shingle.
    ends = starts + lengths
    for back in (1, 2):
        shingles[ends - back] = shingles[ends - SHINGLE]
    generator = np.random.default_rng(0)
    factors = generator.integers(1, 2**63, BANDS * ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    shingles ^= shingles >> np.uint64(31)
    shingles *= np.uint64(0xBF58476D1CE4E5B9)
    shingles ^= shingles >> np.uint64(29)
    signatures = np.empty((len(texts), BANDS * ROWS), dtype=np.uint64)
    for column, factor in enumerate(factors):
        hashed = shingles * factor
        hashed ^= hashed >> np.uint64(32)
        signatures[:, column] = np.minimum.reduceat(hashed, starts)
    return signatures


def _allowed_edits(first: str, second: str) -> int:
    return max(1, max(len(first), len(second)) // 10)


def compare(first: str, second: str) -> tuple[bool, int]:
    """Return whether two texts are near, and what it cost to know, in cells; long ones are compared by shingles first.

    An edit takes away `SHINGLE` shingles of a text at most, so near texts share seven tenths of theirs.
    """
    allowed, cells = _allowed_edits(first, second), len(first) * len(second)
    if abs(len(first) - len(second)) > allowed:
        return False, 1
    counting = SHINGLE_COST * (len(first) + len(second))
    if counting < cells:
        held, other = (Counter(zip(text, text[1:], text[2:], strict=False)) for text in (first, second))
        if (held - other).total() > SHINGLE * allowed:
            return False, counting
        cells += counting
    return count_edits(first, second, allowed) <= allowed, cells


def count_edits(first: str, second: str, most: int | None = None) -> int:
    """Return the edit distance of two texts, by bit-parallel columns (Myers 1999); `first` is not empty.

    Args:
        first: A text.
        second: Another one.
        most: Where there are surely more edits than so many, any number above it is returned at once.
    """
    masks: dict[str, int] = {}
    for place, character in enumerate(first):
        masks[character] = masks.get(character, 0) | 1 << place
    full = (1 << len(first)) - 1
    last = 1 << (len(first) - 1)
    positive, negative, score = full, 0, len(first)
    # what is left of the second text can take away one edit a character at most
    ceiling = len(first) + len(second) if most is None else most + len(second)
    for column, character in enumerate(second, 1):
        if score > ceiling - column + 1:
            return score
        equal = masks.get(character, 0)
        vertical = equal | negative
        horizontal = (((equal & positive) + positive) ^ positive) | equal
        up = negative | ~(horizontal | positive) & full
        down = positive & horizontal
        score += bool(up & last) - bool(down & last)
        up = up << 1 | 1
        positive = (down << 1 | ~(vertical | up)) & full
        negative = up & vertical & full
    return score
