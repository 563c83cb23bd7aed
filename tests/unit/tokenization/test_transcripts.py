"""Transcripts become what a model writes, and their characters its vocabulary."""

from __future__ import annotations

import pytest
from transformers import Wav2Vec2CTCTokenizer

from fathom.tokenization.transcripts import (
    character_tokenizer,
    joined,
    letters_of,
    normalize_transcript,
    unknown_characters,
)


@pytest.mark.parametrize(
    ("given", "letters", "wanted"),
    [
        ("  Hello,   WORLD! ", "lower", "hello world"),
        ("It’s (really) fine…", "upper", "IT'S REALLY FINE"),
        ("Ｍｒ　Ｂ， 12", "keep", "Mr B 12"),
        ("而 对 楼市 成交，抑制", "lower", "而对楼市成交抑制"),
        ("我 用 iPhone 手机 。", "lower", "我用iphone手机"),
        ("!?", "lower", ""),
        ("a|b", "lower", "a b"),
    ],
)
def test_a_transcript_is_normalised(given, letters, wanted):
    assert normalize_transcript(given, letters) == wanted
    assert normalize_transcript(wanted, letters) == wanted


def test_what_is_left_out_is_the_users_to_say():
    assert normalize_transcript("well-known, e.g.", "lower", "-.") == "well known, e g"


def test_windows_are_joined_without_spaces_beside_chinese_characters():
    assert joined(["one ", " two", "", "three"]) == "one two three"
    assert joined(["我们", "说 OK", "好"]) == "我们说 OK好"
    assert joined([]) == ""


def test_a_vocabulary_is_the_characters_and_survives_saving(tmp_path):
    made = character_tokenizer(["ab c", "", "éa", "我们"])
    assert made.get_vocab() == {"<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4, "c": 5, "é": 6, "们": 7, "我": 8}
    assert len(made) == 9 and made.name_or_path == ""
    assert made("ab c")["input_ids"] == [3, 4, 2, 5]
    assert made("ax")["input_ids"] == [3, 1]
    assert made("")["input_ids"] == []
    made.save_pretrained(str(tmp_path))
    again = Wav2Vec2CTCTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == made.get_vocab()
    assert again.decode([3, 3, 0, 3, 2, 8]) == "aa 我"
    assert character_tokenizer(["我们", "éa", "c ab"]).get_vocab() == made.get_vocab()


def test_letters_are_told_from_the_vocabulary():
    assert letters_of(character_tokenizer(["ab"])) == "lower"
    assert letters_of(character_tokenizer(["AB"])) == "upper"
    assert letters_of(character_tokenizer(["Ab"])) == "keep"
    assert letters_of(character_tokenizer(["12 我"])) == "lower"


def test_characters_without_a_token_are_named():
    made = character_tokenizer(["ab"])
    assert unknown_characters("a b", made) == set()
    assert unknown_characters("a çx", made) == {"ç", "x"}
