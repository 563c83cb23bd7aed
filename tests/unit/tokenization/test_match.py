from __future__ import annotations

import copy

import pytest
from transformers import BertConfig, ViTConfig

from fathom.errors import ModelError
from fathom.tokenization.match import check_ids, check_matches, check_vocabulary
from tokenizers_for_tests import tokenizer_of


def test_ids_beyond_the_table_are_refused():
    tokenizer = tokenizer_of("bpe")
    check_matches(tokenizer, BertConfig(vocab_size=len(tokenizer)))
    check_matches(tokenizer, BertConfig(vocab_size=len(tokenizer) + 28))
    with pytest.raises(
        ModelError, match=rf"2 of its {len(tokenizer)} tokens have no row .* table of {len(tokenizer) - 2}"
    ):
        check_matches(tokenizer, BertConfig(vocab_size=len(tokenizer) - 2))


def test_a_model_without_words_takes_any_tokenizer():
    check_matches(tokenizer_of("bpe"), ViTConfig())


def test_added_tokens_without_a_row_are_refused_only_where_a_text_has_them():
    tokenizer = copy.deepcopy(tokenizer_of("bpe"))
    rows = len(tokenizer)
    tokenizer.add_tokens(["<picture>"])
    check_vocabulary(tokenizer, BertConfig(vocab_size=rows))
    check_ids(tokenizer, rows, [0, rows - 1])
    with pytest.raises(ModelError, match=f"1 of its {rows + 1} tokens have no row .*'<picture>' is {rows}"):
        check_ids(tokenizer, rows, [0, rows])


def test_a_vocabulary_larger_than_the_table_is_refused_whatever_the_text():
    tokenizer = tokenizer_of("bpe")
    most = max(number for number in tokenizer.get_vocab().values() if number not in tokenizer.added_tokens_decoder)
    check_vocabulary(tokenizer, BertConfig(vocab_size=most + 1))
    with pytest.raises(ModelError, match=r"1 of its .* tokens have no row"):
        check_vocabulary(tokenizer, BertConfig(vocab_size=most))
