"""Training a unigram language model on counted words: the algorithm of SentencePiece, the same result every time.

Kudo 2018, arXiv 1804.10959. The trainer of `tokenizers` walks its words in the order of a hash map that changes from
process to process: sums of floats end in other digits, ties fall the other way, and the same corpus gives another
file. This one walks them in the order of their characters. Cutting text stays the library's work.

Letters: T characters of all words, E edges, P pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fathom.tokenization.lattice import FloatArray, IntArray, Lattice

SHRINKING = 0.75
"""Share of the pieces that survives a round of pruning."""
SLACK = 1.1
"""Pruning stops at this multiple of the size; the last cut is by probability alone."""
SUB_ITERATIONS = 2
LEAST_EXPECTED = 0.5
"""A piece expected less often than this is dropped."""
SEEDS_PER_PIECE = 20
LEAST_SEEDS = 20_000
MOST_SEEDS = 500_000
_DECIMALS = 6
_CHUNK = 50_000


@dataclass(frozen=True)
class _Words:
    """Words end to end."""

    text: str
    char_T: IntArray
    left_T: IntArray
    """Characters to the end of the word, this one included."""
    node_T: IntArray
    weight_T: FloatArray
    first_R: IntArray
    last_R: IntArray
    weight_R: FloatArray


@dataclass(frozen=True)
class _Found:
    """Substrings of one length that occur at least twice."""

    place: IntArray
    """Where they occur."""
    group: IntArray
    """Which substring it is."""
    sample: IntArray
    """One place of each substring."""
    count: FloatArray
    parent: IntArray
    """The substring that is one character shorter, each begins with."""


def train_unigram(
    words: Mapping[str, int], alphabet: Sequence[str], *, size: int, max_piece_length: int
) -> list[tuple[str, float]]:
    """Return pieces with their log probabilities, the likeliest first; fewer than `size` where the words have no more.

    Args:
        words: How often each word occurs.
        alphabet: Characters that are always pieces; other characters are cut out of the words.
        size: Pieces wanted.
        max_piece_length: Characters of the longest piece.
    """
    laid = _lay_out(words, alphabet)
    if not len(laid.char_T):
        return [(character, 0.0) for character in alphabet]
    lattice, place, length, start_P = _seed(laid, _substrings(laid, max_piece_length), alphabet, size)
    lattice = lattice.sorted_by_start()
    num_single = len(alphabet)
    texts = [*alphabet, *(laid.text[t : t + n] for t, n in zip(place.tolist(), length.tolist(), strict=True))]
    node_P = np.concatenate([np.zeros(num_single, np.int64), laid.node_T[place]])
    length_P = np.concatenate([np.ones(num_single, np.int64), length])
    name_P = np.arange(len(texts))
    score_P = np.log(start_P / start_P.sum())
    while True:
        for _ in range(SUB_ITERATIONS):
            expected_P = lattice.expected(score_P)
            expected_P[:num_single] = np.maximum(expected_P[:num_single], LEAST_EXPECTED)
            kept_P = expected_P >= LEAST_EXPECTED
            lattice, name_P, expected_P = lattice.keep(kept_P), name_P[kept_P], expected_P[kept_P]
            score_P = _digamma(expected_P) - _digamma(expected_P.sum(keepdims=True))
        if len(name_P) <= SLACK * size:
            break
        target = max(int(SLACK * size), int(SHRINKING * len(name_P)))
        kept_P = _prune(lattice, score_P, node_P[name_P], length_P[name_P], target)
        lattice, name_P, score_P = lattice.keep(kept_P), name_P[kept_P], score_P[kept_P]
    scored = [
        (texts[name], round(float(score), _DECIMALS)) for name, score in zip(name_P.tolist(), score_P, strict=True)
    ]
    learnt = sorted(scored[num_single:], key=_by_score)[: max(size - num_single, 0)]
    return sorted([*scored[:num_single], *learnt], key=_by_score)


def _by_score(piece: tuple[str, float]) -> tuple[float, str]:
    return -piece[1], piece[0]


def _lay_out(words: Mapping[str, int], alphabet: Sequence[str]) -> _Words:
    known = set(alphabet)
    counts: dict[str, int] = {}
    for word, count in words.items():
        parts = [word] if known.issuperset(word) else _known_parts(word, known)
        for part in parts:
            counts[part] = counts.get(part, 0) + count
    runs = sorted(counts)
    text = "".join(runs)
    length_R = np.array([len(run) for run in runs], dtype=np.int64)
    end_R = np.cumsum(length_R)
    runs_R = np.arange(len(runs))
    run_T = np.repeat(runs_R, length_R)
    weight_R = np.array([counts[run] for run in runs], dtype=np.float64)
    place_T = np.arange(len(text))
    return _Words(
        text=text,
        char_T=np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.int64),
        left_T=end_R[run_T] - place_T,
        node_T=place_T + run_T,
        weight_T=weight_R[run_T],
        first_R=end_R - length_R + runs_R,
        last_R=end_R + runs_R,
        weight_R=weight_R,
    )


def _known_parts(word: str, known: set[str]) -> list[str]:
    parts = [""]
    for character in word:
        if character in known:
            parts[-1] += character
        else:
            parts.append("")
    return [part for part in parts if part]


def _substrings(laid: _Words, longest: int) -> list[_Found]:
    """Find the substrings of every length; those longer than a character only where they occur twice."""
    codes, class_T = np.unique(laid.char_T, return_inverse=True)
    place = np.arange(len(class_T))
    found = [_group(laid, place, class_T.astype(np.int64), np.empty(0, np.int64))]
    for length in range(2, longest + 1):
        before = found[-1]
        longer = laid.left_T[before.place] >= length
        place, parent = before.place[longer], before.group[longer]
        if not len(place):
            break
        keys, group = np.unique(parent * len(codes) + class_T[place + length - 1], return_inverse=True)
        frequent = np.bincount(group, laid.weight_T[place], minlength=len(keys)) >= 2
        kept, number = frequent[group], np.cumsum(frequent) - 1
        found.append(_group(laid, place[kept], number[group[kept]], keys[frequent] // len(codes)))
    return found


def _group(laid: _Words, place: IntArray, group: IntArray, parent: IntArray) -> _Found:
    count = np.bincount(group, laid.weight_T[place]).astype(np.float64)
    _, sample = np.unique(group, return_index=True)
    return _Found(place, group, place[sample], count, parent)


def _seed(
    laid: _Words, found: list[_Found], alphabet: Sequence[str], size: int
) -> tuple[Lattice, IntArray, IntArray, FloatArray]:
    """Choose the first pieces: every character, and the substrings that cover most text."""
    codes = np.array([ord(character) for character in alphabet], dtype=np.int64)
    single_T = np.searchsorted(codes, laid.char_T)
    starts, ends, pieces = [laid.node_T], [laid.node_T + 1], [single_T]
    sample, length, count, origin = _candidates(found)
    most = min(max(SEEDS_PER_PIECE * size, LEAST_SEEDS), MOST_SEEDS)
    chosen = np.sort(np.argsort(-count * length, kind="stable")[:most])
    number = np.full(len(sample), -1, dtype=np.int64)
    number[chosen] = len(alphabet) + np.arange(len(chosen))
    for index, group in enumerate(found[1:]):
        number_of_group = np.full(len(group.count), -1, dtype=np.int64)
        here = origin[:, 0] == index
        number_of_group[origin[here, 1]] = number[here]
        piece = number_of_group[group.group]
        known = piece >= 0
        starts.append(laid.node_T[group.place[known]])
        ends.append(starts[-1] + index + 2)
        pieces.append(piece[known])
    lattice = Lattice(
        np.concatenate(starts),
        np.concatenate(ends),
        np.concatenate(pieces),
        laid.first_R,
        laid.last_R,
        laid.weight_R,
    )
    single_P = np.maximum(np.bincount(single_T, laid.weight_T, minlength=len(alphabet)), LEAST_EXPECTED)
    start_P = np.concatenate([single_P, (count * length)[chosen]])
    return lattice, sample[chosen], length[chosen], start_P


def _candidates(found: list[_Found]) -> tuple[IntArray, IntArray, FloatArray, IntArray]:
    """Return place, length and count of the substrings that do not always go on the same way, and where they are."""
    sample, length, count, origin = [], [], [], []
    for index, group in enumerate(found[1:]):
        ends_here = np.ones(len(group.count), dtype=bool)
        if index + 2 < len(found):
            longer = found[index + 2]
            ends_here[longer.parent[longer.count == group.count[longer.parent]]] = False
        place = np.flatnonzero(ends_here)
        sample.append(group.sample[place])
        length.append(np.full(len(place), index + 2, dtype=np.int64))
        count.append(group.count[place])
        origin.append(np.stack([np.full(len(place), index, dtype=np.int64), place], axis=1))
    if not sample:
        empty = np.empty(0, np.int64)
        return empty, empty, np.empty(0), np.empty((0, 2), np.int64)
    return np.concatenate(sample), np.concatenate(length), np.concatenate(count), np.concatenate(origin)


def _prune(
    lattice: Lattice, score_P: FloatArray, node_P: IntArray, length_P: IntArray, target: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Keep the pieces whose loss would make the text least likely; single characters stay.

    Args:
        lattice: All words.
        score_P: Log probabilities.
        node_P: A node each piece occurs at.
        length_P: Characters of each piece.
        target: Pieces to keep.
    """
    runs, cut = lattice.best(score_P)
    count_P = np.bincount(cut, lattice.weight_R[runs], minlength=len(score_P))
    kept_P: np.ndarray[Any, np.dtype[np.bool_]] = length_P == 1
    candidate = np.flatnonzero(~kept_P & (count_P > 0))
    total = count_P.sum()
    loss = np.empty(len(candidate))
    for first in range(0, len(candidate), _CHUNK):
        some = candidate[first : first + _CHUNK]
        owner, other = _without_itself(lattice, node_P[some], length_P[some]).best(score_P)
        count = count_P[some]
        num_others = np.bincount(owner, minlength=len(some))
        log_total = np.log(total + count * (num_others - 1))
        others = np.bincount(owner, np.log(count_P[other] + count[owner]), minlength=len(some))
        loss[first : first + _CHUNK] = count * (np.log(count / total) - (others - num_others * log_total))
    kept_P[candidate[np.argsort(-loss, kind="stable")[: max(target - int(kept_P.sum()), 0)]]] = True
    return kept_P


def _without_itself(lattice: Lattice, node: IntArray, length: IntArray) -> Lattice:
    """Return the lattice of pieces seen as words, each without the edge that is the piece itself."""
    start_E, end_E, piece_E = lattice.start_E, lattice.end_E, lattice.piece_E
    inner, inner_node, place = _spread(length, node)
    begin, finish = np.searchsorted(start_E, inner_node, "left"), np.searchsorted(start_E, inner_node, "right")
    at, edge, _ = _spread(finish - begin, begin)
    owner, offset = inner[at], place[at]
    ends = offset + end_E[edge] - start_E[edge]
    inside = (ends <= length[owner]) & ((offset > 0) | (ends < length[owner]))
    owner, offset, ends, edge = owner[inside], offset[inside], ends[inside], edge[inside]
    last = np.cumsum(length + 1) - 1
    first = last - length
    weight = np.ones(len(node))
    return Lattice(first[owner] + offset, first[owner] + ends, piece_E[edge], first, last, weight)


def _spread(length: IntArray, first: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return owner, value and place of the runs `first[i], first[i] + 1, ...` of the given lengths."""
    owner = np.repeat(np.arange(len(length)), length)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(length) - length, length)
    return owner, first[owner] + place, place


def _digamma(value: FloatArray) -> FloatArray:
    """Return the digamma function of positive numbers: the asymptotic series, after steps up to 7."""
    result = np.zeros_like(value)
    value = value.copy()
    for _ in range(7):
        small = value < 7.0
        result[small] -= 1.0 / value[small]
        value[small] += 1.0
    value -= 0.5
    square = 1.0 / value**2
    series = square / 24.0 - 7.0 * square**2 / 960.0 + 31.0 * square**3 / 8064.0 - 127.0 * square**4 / 30720.0
    return result + np.log(value) + series
