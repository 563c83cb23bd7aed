from __future__ import annotations

from itertools import pairwise

import pytest

from fathom.tokenization.measure import longest_pieces, measure, script_of
from tokenizers_for_tests import tokenizer_of


def test_scripts():
    assert [script_of(character) for character in "aéＡ北あカ1!😀дह한"] == [
        *["Latin", "Latin", "Latin", "Han", "Kana", "Kana", "digits", "symbols", "symbols"],
        *["Cyrillic", "Devanagari", "Hangul"],
    ]


def test_fertility_of_a_bert_tokenizer():
    tokenizer = tokenizer_of("minilm")
    found = measure(tokenizer, [["unbelievable cat 龘", "the cat"]])
    pieces = len(tokenizer.tokenize("unbelievable"))
    latin = found["scripts"]["Latin"]
    assert (latin["unit"], latin["units"]) == ("word", 4)
    assert latin["tokens_per_unit"] == pytest.approx((pieces + 3) / 4, abs=1e-4)
    assert latin["cut_share"] == (0.25 if pieces > 1 else 0)
    han = found["scripts"]["Han"]
    assert (han["unit"], han["units"], han["tokens_per_unit"], han["unknown_rate"]) == ("character", 1, 1.0, 1.0)
    assert found["tokens"] == pieces + 4
    assert found["unknown_rate"] == pytest.approx(1 / found["tokens"], abs=1e-6)
    visible = len("unbelievablecat龘thecat")
    assert found["coverage"] == pytest.approx((visible - 1) / visible, abs=1e-6)
    assert found["tokens_per_byte"] == pytest.approx(found["tokens"] / found["bytes"], abs=1e-4)
    assert found["continuation_share"] == pytest.approx((pieces - 1) / found["tokens"], abs=1e-4)
    assert (found["round_trip"]["exact"], found["round_trip"]["changed"]) == (1, 1)
    assert found["round_trip"]["examples"][0]["back"].endswith("[UNK]")


def test_byte_level_loses_nothing():
    tokenizer = tokenizer_of("byte-level")
    found = measure(tokenizer, [["Berlin  北京 😀\n", "", "e\u0301 \u200b"]])
    assert found["round_trip"] == {"exact": 3, "white_space": 0, "changed": 0, "examples": []}
    assert found["coverage"] == 1
    assert found["unknown_rate"] == 0
    assert found["scripts"]["Han"]["units"] == 2
    assert found["scripts"]["Han"]["tokens_per_unit"] == len(tokenizer.tokenize("北京")) / 2


def test_nothing_measures_as_nothing():
    found = measure(tokenizer_of("bpe"), [])
    assert found["tokens"] == 0
    assert found["scripts"] == {}


def test_longest_pieces_are_text():
    longest = longest_pieces(tokenizer_of("byte-level"))
    assert len(longest) == 10
    assert all(len(a) >= len(b) for a, b in pairwise(longest))
    assert any(piece.startswith(" ") for piece in longest), "the byte-level mark is shown as the space it is"
    assert not any(piece.startswith("##") for piece in longest_pieces(tokenizer_of("minilm")))
