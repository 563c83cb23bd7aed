from __future__ import annotations

import pytest
from transformers import BertConfig, ViTConfig

from fathom.errors import ModelError
from fathom.tokenization.match import check_matches
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
