"""Ids put together from words equal those of whole texts, whatever stands in them."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from fathom.data.corpus.encoding import FastEncoder
from fathom.data.corpus.word_cache import LINE_RULES, WordCache, cutter_of

SAMPLE = [
    "The quick brown fox jumps over the lazy dog. It's 1995 and they'll say: \"we've won 3-0!\"\n\n  Done.",
    "我们今天去北京，明天回来。价格是128元，not 99.5! “好的”，他说…\n第二行　全角空格",
    "def f(x):\n\treturn x  # naïve café ﬁ \u00a0 self.assertEqual(a[0], {'b': 1})\r\n",
] * 3
PARTS = [
    *(
        "a",
        "the",
        "'s",
        "'LL",
        "'",
        "x1",
        "12",
        "1234567",
        "...",
        "!",
        "?!",
        "_",
        "[MASK]",
        "[",
        "]",
        "<|end|>",
        "<|",
        "K",
    ),
    *(" ", " ", " ", "  ", "\n", "\n\n", "\r\n", "\t", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\u00a0", "\u2003"),
    *("\u2028", "\u3000", "\u200b", "\ufeff", "\x00", "\x01", "\x7f", "\ufffd", "\u00ad", "\u0301", "e\u0301", "é"),
    *(
        "我们",
        "北",
        "，",
        "。",
        "“",
        "龥",
        "\u9fff",
        "㐀",
        "\U00020000",
        "\U0002b820",
        "\uf900",
        "カナ",
        "한국",
        "😀",
        "👩‍👩‍👧",
    ),
    *("ß", "İ", "ſ", "Σ", "ς", "²", "½", "٣", "\u1680", "ﬁ", "€", "—", "\u0e33", "\u1160", "क्षि"),
]


def _trained(tokenizer: Tokenizer, *, wordpiece: bool = False) -> Tokenizer:
    options = {"vocab_size": 600, "show_progress": False}
    if wordpiece:
        tokenizer.train_from_iterator(SAMPLE, trainers.WordPieceTrainer(special_tokens=["[UNK]", "[MASK]"], **options))
    else:
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.train_from_iterator(SAMPLE, trainers.BpeTrainer(initial_alphabet=alphabet, **options))
    return tokenizer


def _byte_level(normalizer: normalizers.Normalizer | None = None, **options: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(**{"add_prefix_space": False, **options})
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    return _trained(tokenizer)


def _lines(rules: str, normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(rules), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer = _trained(tokenizer)
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True, normalized=False, lstrip=True, rstrip=True)])
    return tokenizer


def _bert(**options: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _trained(tokenizer, wordpiece=True)


KNOWN = {
    "gpt2": _byte_level,
    "gpt2, composed": lambda: _byte_level(normalizers.NFC()),
    "llama 3": lambda: _lines(LINE_RULES[0]),
    "qwen": lambda: _lines(LINE_RULES[1], normalizers.NFC()),
    "bert": _bert,
    "bert, cased": lambda: _bert(lowercase=False),
    "bert, Chinese whole": lambda: _bert(handle_chinese_chars=False),
}


def _whole(tokenizer: Tokenizer, texts: list[str]) -> tuple[list[int], list[int]]:
    encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
    return [number for encoding in encodings for number in encoding.ids], [len(encoding) for encoding in encodings]


@pytest.mark.parametrize("name", KNOWN)
def test_ids_of_words_are_those_of_whole_texts(name: str) -> None:
    tokenizer = KNOWN[name]()
    cutter = cutter_of(tokenizer.to_str())
    assert cutter is not None
    cache = WordCache(tokenizer, cutter, most_words=200)  # so few that some stay outside
    chance = random.Random(name)
    for _ in range(60):
        texts = ["".join(chance.choices(PARTS, k=chance.randint(0, 30))) for _ in range(40)]
        texts += ["".join(chance.choices([part for part in PARTS if part.isascii()], k=25)) for _ in range(10)]
        texts += [SAMPLE[chance.randrange(len(SAMPLE))][chance.randrange(9) :], "", "\n"]
        ids, lengths = cache.encode(texts)
        expected, counts = _whole(tokenizer, texts)
        if ids.tolist() != expected:  # name the text, not two long lists
            wrong = [text for text in texts if cache.encode([text])[0].tolist() != _whole(tokenizer, [text])[0]]
            pytest.fail(f"{wrong[:3]!r}: {cutter.cut(wrong[0])!r}")
        assert lengths.tolist() == counts
        assert ids.dtype == np.uint32
        assert lengths.dtype == np.int64


@pytest.mark.parametrize("name", KNOWN)
def test_texts_are_really_cut(name: str) -> None:
    """A cutter that gave back whole texts would pass every comparison."""
    cutter = cutter_of(KNOWN[name]().to_str())
    assert cutter is not None
    assert len(cutter.cut("The quick brown fox, isn't it?")) >= 8
    assert len(cutter.cut("The quick brown fox is “here” now")) >= 6


def test_rules_that_are_not_known_are_left_to_the_library() -> None:
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    random_merges = _byte_level()
    random_merges.model.dropout = 0.1
    hidden = _byte_level(normalizers.Lowercase())
    hidden.add_tokens([AddedToken("fox", normalized=True)])
    for tokenizer in (
        unigram,
        random_merges,
        hidden,
        _byte_level(add_prefix_space=True),
        _byte_level(normalizers.NFKC()),
        _byte_level(normalizers.Lowercase()),
        _bert(clean_text=False),
        _lines(r"\p{L}+|\P{L}+"),
    ):
        assert cutter_of(tokenizer.to_str()) is None


def test_the_encoder_of_a_corpus_uses_words_and_gives_the_same_ids() -> None:
    tokenizer = _byte_level()
    encode = FastEncoder(tokenizer.to_str())()
    assert isinstance(getattr(encode, "__self__", None), WordCache)
    ids, lengths = encode(SAMPLE)
    assert (ids.tolist(), lengths.tolist()) == _whole(tokenizer, SAMPLE)


def test_no_more_words_are_kept_than_asked_for() -> None:
    tokenizer = _byte_level()
    cutter = cutter_of(tokenizer.to_str())
    assert cutter is not None
    cache = WordCache(tokenizer, cutter, most_words=5)
    cache.encode(["one two three four five six seven eight"])
    assert len(cache) == 5
