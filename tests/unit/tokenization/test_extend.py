"""A larger vocabulary: old ids stay, other text is cut as before, new tokens are where they are wanted."""

from __future__ import annotations

import copy

import pytest

from corpora_for_tests import corpus, texts
from fathom.errors import DataError
from fathom.tokenization.corpus import Corpus
from fathom.tokenization.extend import add_given, learn_more
from fathom.tokenization.train import NewTokenizer, train
from tokenizers_for_tests import tokenizer_of


def trained(kind, **options):
    new = NewTokenizer.model_validate({"algorithm": {"kind": kind, **options}, "style": "bert"})
    return train(new, corpus(60)).tokenizer


@pytest.mark.parametrize(("kind", "size"), [("wordpiece", 150), ("byte-bpe", 300), ("unigram", 150)])
def test_learnt_pieces_follow_the_old_ones(kind, size, tmp_path):
    tokenizer = trained(kind, vocab_size=size)
    before = tokenizer.get_vocab()
    ids = tokenizer("Ω q z")["input_ids"]
    extended = learn_more(tokenizer, corpus(), 20, tmp_path)
    after = extended.tokenizer.get_vocab()
    assert before.items() <= after.items()
    assert [item.id for item in extended.new] == list(range(size, size + 20))
    assert sorted(after.values()) == list(range(size + 20))
    assert extended.tokenizer("Ω q z")["input_ids"] == ids
    whole = [len(made.tokenize(text)) for made in (tokenizer, extended.tokenizer) for text in ["".join(texts())]]
    assert whole[1] < whole[0]
    joined = {item.token.removeprefix("##"): item.pieces for item in extended.new}
    for token, pieces in joined.items():
        parts = [part.removeprefix("##") for part in tokenizer.convert_ids_to_tokens(list(pieces))]
        assert "".join(parts) == token and len(parts) > 1


def test_more_than_the_corpus_supports(tmp_path):
    with pytest.raises(DataError, match=r"supports [\d,]+ new tokens and 90,000 were asked for"):
        learn_more(trained("byte-bpe", vocab_size=300), corpus(), 90_000, tmp_path)


def test_text_without_words_is_joined_in_runs(tmp_path):
    """Characters are not cut into words: one run of a whole book would take the trainer hours."""
    tokenizer = trained("characters")
    book = "".join(texts(60)) * 200
    extended = learn_more(tokenizer, Corpus(lambda: [book]), 5, tmp_path)
    assert extended.tokenizer.decode(extended.tokenizer(book, add_special_tokens=False)["input_ids"]) == book


def test_given_tokens_that_are_one_to_the_tokenizer():
    tokenizer = copy.deepcopy(tokenizer_of("minilm"))
    ids = tokenizer("the cat")["input_ids"]
    extended = add_given(tokenizer, ["Qwxyz", "qwxyz", "THE", "cat", "江南"])
    assert [item.token for item in extended.new] == ["Qwxyz", "江南"]
    assert extended.known == ("qwxyz", "THE", "cat")
    assert extended.tokenizer("the cat")["input_ids"] == ids
    ids = extended.tokenizer("QWXYZ 江南", add_special_tokens=False)["input_ids"]
    assert ids == [item.id for item in extended.new]
    with pytest.raises(DataError, match="in the vocabulary already"):
        add_given(copy.deepcopy(tokenizer_of("minilm")), ["The"])
