from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.special import digamma

from corpora_for_tests import corpus
from fathom.tokenization.corpus import count_characters, count_words, most_frequent
from fathom.tokenization.lattice import Lattice
from fathom.tokenization.unigram import _digamma, train_unigram

PIECES = ["a", "b", "c", "ab", "bc", "abc", "ca"]
SCORES = np.log(np.array([0.2, 0.15, 0.1, 0.25, 0.1, 0.05, 0.15]))
WORDS = {"abc": 3, "abcab": 2, "cab": 1, "a": 5}


def lattice_of(words: dict[str, int]) -> Lattice:
    edges, first, last, node = [], [], [], 0
    for word in words:
        for start, end in itertools.combinations(range(len(word) + 1), 2):
            if word[start:end] in PIECES:
                edges.append((node + start, node + end, PIECES.index(word[start:end])))
        first.append(node)
        last.append(node + len(word))
        node += len(word) + 1
    start, end, piece = np.array(edges).T
    return Lattice(start, end, piece, np.array(first), np.array(last), np.array(list(words.values()), float))


def cuts(word: str) -> list[list[str]]:
    if not word:
        return [[]]
    return [[piece, *rest] for piece in PIECES if word.startswith(piece) for rest in cuts(word[len(piece) :])]


def test_expected_counts_equal_a_sum_over_all_cuts():
    wanted = np.zeros(len(PIECES))
    for word, count in WORDS.items():
        likely = [math.exp(sum(SCORES[PIECES.index(piece)] for piece in cut)) for cut in cuts(word)]
        for cut, share in zip(cuts(word), likely, strict=True):
            for piece in cut:
                wanted[PIECES.index(piece)] += count * share / sum(likely)
    np.testing.assert_allclose(lattice_of(WORDS).expected(SCORES), wanted, rtol=1e-12)


def test_best_cuts_equal_a_search_over_all_cuts():
    runs, pieces = lattice_of(WORDS).best(SCORES)
    for number, word in enumerate(WORDS):
        found = [PIECES[piece] for piece in pieces[runs == number][::-1]]
        best = max(cuts(word), key=lambda cut: sum(SCORES[PIECES.index(piece)] for piece in cut))
        assert found == best


def test_digamma_equals_scipys():
    values = np.array([0.5, 1.0, 2.5, 6.9, 7.0, 30.0, 1e6])
    np.testing.assert_allclose(_digamma(values), digamma(values), rtol=1e-6)


def test_pieces_are_probabilities_of_the_asked_size():
    from tokenizers import Tokenizer, models, pre_tokenizers

    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    words = count_words(backend, corpus())
    alphabet = most_frequent(count_characters(words), None)
    pieces = train_unigram(words, alphabet, size=260, max_piece_length=16)
    assert len(pieces) == 260
    assert {piece for piece, _ in pieces} >= set(alphabet)
    assert pieces == sorted(pieces, key=lambda item: (-item[1], item[0]))
    assert sum(math.exp(score) for _, score in pieces) == pytest.approx(1, abs=0.2)
    assert max(len(piece) for piece, _ in pieces) <= 16


def test_characters_outside_the_alphabet_are_cut_out():
    pieces = dict(train_unigram({"abxab": 4, "xx": 2, "ab": 9}, ["a", "b"], size=10, max_piece_length=8))
    assert set(pieces) == {"a", "b", "ab"}
    assert train_unigram({"xx": 2}, ["a"], size=10, max_piece_length=8) == [("a", 0.0)]
