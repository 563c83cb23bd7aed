"""What each filter leaves out, in English and Chinese alike, and the counts of it."""

from __future__ import annotations

import sys

import pytest

from fathom import catalog
from fathom.data.corpus.filters.base import WORD, FilterChain
from fathom.data.corpus.filters.duplicates import ExactDuplicates, NearDuplicates
from fathom.data.corpus.filters.language import Language
from fathom.data.corpus.filters.quality import MinLength, Repetition, Symbols
from fathom.data.corpus.pieces import Document
from fathom.errors import ConfigError, MissingExtraError

ENGLISH = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. "
    "There were a king with a large jaw and a queen with a plain face, on the throne of England.\n"
    "In both countries it was clearer than crystal that things in general were settled for ever."
)
CHINESE = "北方有佳人，绝世而独立。一顾倾人城，再顾倾人国。\n宁不知倾城与倾国，佳人难再得。"


def stays(part, *texts):
    verdict = part.open()
    return [verdict(Document(text, "here")) for text in texts]


def test_a_chinese_character_is_a_word():
    assert WORD.findall("It's 春眠 café3, ok") == ["It", "s", "春", "眠", "café3", "ok"]


def test_min_length():
    assert stays(MinLength(min_words=5), "one two three four", "one two three four five", "春眠不觉", "春眠不觉晓") == [
        False, True, False, True
    ]  # fmt: skip


def test_symbols():
    assert stays(Symbols(), ENGLISH, CHINESE, "### >>> *** --- a b c", "हिन्दी में लिखा हुआ वाक्य", "") == [
        True, True, False, True, True
    ]  # fmt: skip


def test_repetition():
    menu = "Home\nAbout\nContact\n" * 10
    phrase = "buy now " * 30 + "at the shop around the corner of the old town"
    verse = "".join(f"{number}个新的句子说了一件不同的事情。\n" for number in "一二三四五六七八九十")
    assert stays(Repetition(), ENGLISH, CHINESE, menu, phrase, "买一送一" * 30) == [True, True, False, False, False]
    assert stays(Repetition(max_duplicate_phrases=1, max_top_phrase=1), verse) == [True]


def test_exact_duplicates():
    texts = ["One text", "one  TEXT\n", "another", "Ｏｎｅ text", "another text"]
    assert stays(ExactDuplicates(), *texts) == [True, False, True, False, True]


def test_pieces_are_not_taken_for_duplicates():
    verdict = ExactDuplicates().open()
    assert [verdict(Document("same", "here", continues=True)) for _ in range(2)] == [True, True]


def test_near_duplicates():
    pytest.importorskip("rensa")
    near = ENGLISH.replace("plain", "fair")
    far = "Quite another text about the weather in the mountains, and how the rain came down on all of us that day."
    poem = CHINESE * 3
    texts = [ENGLISH, near, far, poem, poem.replace("绝世", "绝代"), "short", "short", ""]
    assert stays(NearDuplicates(threshold=0.7), *texts) == [True, False, True, True, False, True, False, True]
    assert stays(NearDuplicates(threshold=0.99), ENGLISH, near, ENGLISH) == [True, True, False]


def test_near_duplicates_do_not_depend_on_the_process():
    pytest.importorskip("rensa")
    texts = [" ".join(f"w{(number * place) % 97}" for place in range(60)) for number in range(1, 60)]
    assert stays(NearDuplicates(), *texts) == stays(NearDuplicates(), *texts)


def test_language():
    pytest.importorskip("py3langid")
    assert stays(Language(languages=("en", "zh")), ENGLISH, CHINESE, "Das ist ein deutscher Satz über das Wetter.") == [
        True, True, False
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="no language has the code 'cn'"):
        Language(languages=("cn",)).open()


@pytest.mark.parametrize(("part", "package"), [(NearDuplicates(), "rensa"), (Language(languages=("en",)), "py3langid")])
def test_missing_extra(part, package, monkeypatch):
    for name in (package, f"{package}.langid"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"fathom-lm\[corpus\]"):
        part.open()


def test_chain_counts_for_the_first_that_removes():
    chain = FilterChain((MinLength(min_words=2), ExactDuplicates(), MinLength(min_words=3)))
    documents = [Document(text, f"a:{line}") for line, text in enumerate(["a", "b c", "b c d", "a", "B c D"])]
    assert [document.text for document in chain.keep(documents)] == ["b c d"]
    assert chain.num_read == 5
    assert chain.removed == {"min-length 1": 2, "exact-duplicates": 1, "min-length 3": 1}


def test_the_first_piece_decides():
    chain = FilterChain((MinLength(min_words=2),))
    documents = [
        Document("a", "a", continues=True), Document("long enough", "a"),
        Document("b c", "b", continues=True), Document("d", "b"),
    ]  # fmt: skip
    assert [document.text for document in chain.keep(documents)] == ["b c", "d"]
    assert chain.num_read == 2


def test_filters_are_in_the_catalog():
    assert set(catalog.names("corpus_filter")) == {
        "min-length", "symbols", "repetition", "language", "exact-duplicates", "near-duplicates"
    }  # fmt: skip
