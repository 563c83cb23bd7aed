"""Our ids are transformers' ids."""

from __future__ import annotations

import numpy as np
import pytest

from fathom.tasks.text_classification import TextClassification
from fathom.tasks.token_classification import TokenClassification
from tokenizers_for_tests import KINDS, corpus, read_conll, read_intents, tokenizer_of

WORDWISE = [kind for kind in KINDS if kind != "byte-level"]
"""`byte-level` without a prefix space is the one kind where we differ on purpose; see the last test."""


def _slices(example):
    return [example["text"][start:end] for start, end in example["words"]]


def _assert_same_words(task, tokenizer, examples, max_length):
    features = task.encode(examples)
    expected = tokenizer(
        [_slices(example) for example in examples], is_split_into_words=True, truncation=True, max_length=max_length
    )
    assert len(features) == len(examples)
    for index, feature in enumerate(features):
        assert feature["input_ids"].tolist() == expected["input_ids"][index]
        words = [-1 if word is None else word for word in expected.word_ids(index)]
        assert feature["word_index"].tolist() == words
        first = [word >= 0 and (place == 0 or words[place - 1] != word) for place, word in enumerate(words)]
        labels = [
            task.labels.index(examples[index]["tags"][word]) if is_first else -100
            for word, is_first in zip(words, first, strict=True)
        ]
        assert feature["labels"].tolist() == labels
        assert feature["input_ids"].dtype == feature["labels"].dtype == np.int32


@pytest.mark.parametrize("kind", WORDWISE)
def test_words_of_wnut17(kind):
    examples = read_conll("wnut17/wnut17train.conll")[: None if kind == "minilm" else 300]
    tokenizer = tokenizer_of(kind)
    _assert_same_words(TokenClassification().open(examples, tokenizer, 4096), tokenizer, examples, 4096)


@pytest.mark.parametrize("kind", WORDWISE)
def test_chinese_words(kind):
    examples = read_conll("uner_zh_gsdsimp/zh_gsdsimp-ud-dev.iob2", word=1, tag=2)[:200]
    tokenizer = tokenizer_of(kind)
    task = TokenClassification(chinese_characters=False).open(examples, tokenizer, 4096)
    _assert_same_words(task, tokenizer, examples, 4096)


def test_chinese_characters_equal_words_for_wordpiece():
    """BERT tokenizers cut Chinese by character anyway: the ids do not change, only what carries a tag."""
    examples = read_conll("uner_zh_gsdsimp/zh_gsdsimp-ud-dev.iob2", word=1, tag=2)[:200]
    tokenizer = tokenizer_of("minilm")
    by_word, by_character = (
        TokenClassification(chinese_characters=flag).open(examples, tokenizer, 512).encode(examples)
        for flag in (False, True)
    )
    for one, other in zip(by_word, by_character, strict=True):
        assert one["input_ids"].tolist() == other["input_ids"].tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_length", [8, 64])
def test_texts(kind, max_length):
    tokenizer = tokenizer_of(kind)
    texts = [example["text"] for example in read_intents()[:400]] if kind == "minilm" else list(corpus())
    examples = [{"text": text, "label": str(i % 3), "where": "made up"} for i, text in enumerate(texts)]
    features = TextClassification().open(examples, tokenizer, max_length).encode(examples)
    expected = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    assert [feature["input_ids"].tolist() for feature in features] == expected
    assert all("token_type_ids" not in feature for feature in features)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_length", [9, 64])
def test_pairs(kind, max_length):
    tokenizer = tokenizer_of(kind)
    texts = list(corpus())[:100]
    pairs = [*texts[1:], ""]
    examples = [
        {"text": a, "text_pair": b, "label": str(i % 2), "where": "made up"}
        for i, (a, b) in enumerate(zip(texts, pairs, strict=True))
    ]
    features = TextClassification().open(examples, tokenizer, max_length).encode(examples)
    expected = tokenizer(texts, pairs, truncation=True, max_length=max_length)
    assert [feature["input_ids"].tolist() for feature in features] == expected["input_ids"]
    if "token_type_ids" in tokenizer.model_input_names:
        assert [feature["token_type_ids"].tolist() for feature in features] == expected["token_type_ids"]
    else:
        assert all("token_type_ids" not in feature for feature in features)


def test_byte_level_words_keep_the_space_before_them():
    """Without a prefix space, words one by one would lose theirs; ours equal the ids of the running text."""
    tokenizer = tokenizer_of("byte-level")
    examples = read_conll("wnut17/wnut17train.conll")[:200]
    features = TokenClassification().open(examples, tokenizer, 4096).encode(examples)
    same = 0
    for example, feature in zip(examples, features, strict=True):
        alone = [i for word in _slices(example) for i in tokenizer(word, add_special_tokens=False)["input_ids"]]
        assert feature["input_ids"].tolist()[1:-1] != alone or len(example["words"]) == 1
        same += feature["input_ids"].tolist() == tokenizer(example["text"])["input_ids"]
    assert same > 100  # the rest: pieces the tokenizer itself would join across a word's end, such as "'s"
