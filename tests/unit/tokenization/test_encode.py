from __future__ import annotations

import numpy as np
import pytest

from fathom.errors import ConfigError, DataError
from fathom.tokenization import encode
from fathom.tokenization.show import show, vocabulary_facts
from tokenizers_for_tests import KINDS, tokenizer_of


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens(kind):
    tokenizer = tokenizer_of(kind)
    special = encode.special_tokens(tokenizer)
    names = ["[CLS]", "[SEP]"] if kind == "minilm" else ["<s>", "</s>"]
    assert tokenizer.convert_ids_to_tokens([*special.prefix.tolist(), *special.suffix.tolist()]) == names
    assert special.count == 2


def test_only_plain_byte_level_needs_spaces():
    assert [kind for kind in KINDS if encode.needs_spaces(tokenizer_of(kind))] == ["byte-level"]


def test_chunks_change_nothing(monkeypatch):
    tokenizer = tokenizer_of("bpe")
    texts = [f"the {i} Berlin" for i in range(10)]
    words = [text.split() for text in texts]
    whole = encode.encode_texts(tokenizer, texts, 16), encode.encode_words(tokenizer, words)
    monkeypatch.setattr(encode, "CHUNK", 3)
    pieces = encode.encode_texts(tokenizer, texts, 16), encode.encode_words(tokenizer, words)
    for one, other in zip(whole, pieces, strict=True):
        assert np.array_equal(one.ids, other.ids)
        assert np.array_equal(one.starts, other.starts)
    assert np.array_equal(whole[1].words, pieces[1].words)
    assert np.array_equal(whole[0].cut, pieces[0].cut)


def test_nothing_to_encode():
    flat = encode.encode_texts(tokenizer_of("bpe"), [], 16)
    assert len(flat.ids) == 0
    assert flat.starts.tolist() == [0]
    flat = encode.encode_words(tokenizer_of("bpe"), [[], ["a"], []])
    assert flat.starts.tolist() == [0, 0, 1, 1]
    assert encode.encode_words(tokenizer_of("bpe"), []).starts.tolist() == [0]
    assert encode.encode_words(tokenizer_of("bpe"), [[]]).starts.tolist() == [0, 0]


def test_half_a_character_is_an_error_of_the_data():
    tokenizer = tokenizer_of("bpe")
    for call in (
        lambda: encode.encode_texts(tokenizer, ["fine", "a\ud83d"], 8),
        lambda: encode.encode_texts(tokenizer, [("fine", "a\ud83d")], 8),
        lambda: encode.encode_words(tokenizer, [["fine"], ["a\ud83d"]]),
    ):
        with pytest.raises(DataError, match=r"character 2 \(U\+D83D\)"):
            call()


def test_cut_marks_the_texts_that_lost_their_end():
    tokenizer = tokenizer_of("bpe")
    texts = ["the " * words for words in (1, 2, 3, 4, 9)]
    whole = encode.encode_texts(tokenizer, texts, 64)
    assert not whole.cut.any()
    limit = int(np.diff(whole.starts)[2])  # the third text fills it
    flat = encode.encode_texts(tokenizer, texts, limit)
    assert flat.cut.tolist() == [False, False, False, True, True]
    assert np.diff(flat.starts)[2:].tolist() == [limit] * 3
    assert encode.encode_words(tokenizer, [["the"] * 9]).cut is None


def test_truncation_does_not_stay_on():
    tokenizer = tokenizer_of("bpe")
    encode.encode_texts(tokenizer, ["the the the"], 3)
    assert tokenizer.backend_tokenizer.truncation is None
    with pytest.raises(ConfigError, match=r"data\.max_length"):
        encode.encode_texts(tokenizer, [("a", "b")], 4)


def test_show():
    tokenizer = tokenizer_of("minilm")
    facts = vocabulary_facts(tokenizer)
    assert (facts["algorithm"], facts["vocabulary"], facts["max_length"]) == ("WordPiece", 30522, 512)
    shown = show(tokenizer, "Berlin\u200b 龘 unbelievable")
    assert [token["token"] for token in shown["tokens"]][:2] == ["[CLS]", "berlin"]
    assert shown["num_unknown"] == 1
    assert shown["lost"] == [6]
    assert all(shown["text"][t["start"] : t["end"]] == t["text"] for t in shown["tokens"])
    assert vocabulary_facts(tokenizer_of("unigram"))["algorithm"] == "Unigram"
