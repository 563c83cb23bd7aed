from __future__ import annotations

import pytest

from fathom.tokenization.words import find_words, has_han, slices, split_han


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's 3.5% off!", ["It", "'", "s", "3", ".", "5", "%", "off", "!"]),
        ("订单A12,北京。", ["订", "单", "A12", ",", "北", "京", "。"]),
        ("cafe\u0301 x\u0301\u0302y", ["cafe\u0301", "x\u0301\u0302y"]),
        ("👩‍👩‍👧 👍🏽", ["👩‍👩‍👧", "👍🏽"]),
        ("नमस्ते", ["नमस्ते"]),
        ("snake_case", ["snake_case"]),
        (" \t\n", []),
        ("", []),
    ],
)
def test_find_words(text, words):
    assert slices(text, find_words(text)) == words


def test_every_visible_character_is_in_a_word():
    text = "a\u0301 \u200d \ufe0f½…\U00020000\u200b💡-"
    covered = {place for start, end in find_words(text) for place in range(start, end)}
    assert covered == {place for place, character in enumerate(text) if not character.isspace()}


def test_split_han():
    text = "在3月5日 May"
    units, owners = split_han(text, [(0, 5), (6, 9)])
    assert slices(text, units) == ["在", "3", "月", "5", "日", "May"]
    assert owners == [0, 0, 0, 0, 0, 1]
    assert has_han(text)
    assert not has_han("May, 한국, かな")
