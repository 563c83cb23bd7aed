from __future__ import annotations

import numpy as np
import pytest

from fathom.tokenization.align import (
    coverage,
    encode_offsets,
    spans_to_subwords,
    subwords_to_spans,
    trim,
    widen,
    words_of_offsets,
)
from fathom.tokenization.survey import survey_spans
from tokenizers_for_tests import KINDS, tokenizer_of

OFFSETS = np.array([[0, 0], [0, 3], [3, 5], [6, 9], [9, 9], [10, 14]])


def test_words_of_offsets():
    assert words_of_offsets([(0, 5), (6, 9), (12, 13)], OFFSETS).tolist() == [-1, 0, 0, 1, -1, 2]
    assert words_of_offsets([], OFFSETS).tolist() == [-1] * 6
    assert words_of_offsets([(0, 1)], np.empty((0, 2), dtype=np.int64)).tolist() == []


def test_spans_to_subwords_and_back():
    spans = [(0, 5), (4, 8), (9, 10), (14, 20), (0, 14), (2, 2)]
    places = spans_to_subwords(spans, OFFSETS)
    assert places.tolist() == [[1, 2], [2, 3], [-1, -1], [-1, -1], [1, 5], [-1, -1]]
    assert subwords_to_spans(places, OFFSETS) == [(0, 5), (3, 9), None, None, (0, 14), None]
    assert spans_to_subwords([], OFFSETS).shape == (0, 2)
    assert spans_to_subwords([(0, 1)], OFFSETS[:1]).tolist() == [[-1, -1]]


def test_widen_to_words():
    assert widen((1, 2), [(0, 5), (6, 9)]) == (0, 5)
    assert widen((4, 7), [(0, 5), (6, 9)]) == (0, 9)
    assert widen((5, 6), [(0, 5), (6, 9)]) == (5, 6)


def test_trim_takes_white_space_off():
    text = " ab \u3000c\t"
    given = np.array([[0, 3], [3, 6], [6, 7], [2, 2], [0, 7]])
    assert trim(text, given).tolist() == [[1, 3], [5, 6], [6, 6], [2, 2], [1, 6]]
    for character in map(chr, range(0x3001)):
        if trim(character, np.array([[0, 1]])).tolist() == [[0, 0]]:
            assert character.isspace(), hex(ord(character))
        else:
            assert not character.isspace(), hex(ord(character))


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_are_in_the_text(kind):
    texts = ["  Berlin  北京 😀", "", "e\u0301e\u0301 ﬁne½"]
    encoded = encode_offsets(tokenizer_of(kind), texts)
    assert encoded.starts.tolist() == sorted(encoded.starts.tolist())
    for index, text in enumerate(texts):
        ids, offsets = encoded.of(index)
        assert len(ids) == len(offsets)
        for start, end in offsets.tolist():
            assert 0 <= start <= end <= len(text)
            assert text[start:end] == text[start:end].strip()


def test_coverage_names_the_words_that_vanish():
    found = coverage(tokenizer_of("minilm"), [["a", "\u200b"], [], ["\u0301", "b", "\x07"]])
    assert found.words == 5
    assert found.untokenised == ((0, 1), (2, 0), (2, 2))
    assert found.subwords == 2


def test_survey_names_what_is_lost():
    text = "a \u200b b"
    words = [(0, 1), (2, 3), (4, 5)]
    spans = [(0, 1), (2, 3), (0, 5), (4, 5)]
    survey = survey_spans(tokenizer_of("minilm"), [text], [words], [spans], max_subwords=1)
    assert (survey.identical, survey.untokenisable, survey.truncated) == (1, ((0, 1),), ((0, 2), (0, 3)))
    glued = survey_spans(tokenizer_of("minilm"), ["aa"], [[(0, 1), (1, 2)]], [[(0, 1)]])
    assert (glued.identical, glued.shared, glued.moved) == (0, ((0, 0),), ())
