"""WER and CER are jiwer's and the formula's, over all sounds together, on random cases; Chinese counts by character."""

from __future__ import annotations

import random
from typing import Any

import jiwer
import pytest

from fathom import catalog
from fathom.evaluation.speech import spaced

CASES = 200
ENGLISH = ["the", "cat", "sat", "on", "a", "mat", "don't", "x-ray", "seven", "7", "é", "ß"]
CHINESE = [*"今天气很好我们去公园用手机听音乐", " ok ", " iphone "]


def _case(chance: random.Random, words: list[str], join: str) -> tuple[str, str]:
    said = [chance.choice(words) for _ in range(chance.randint(1, 9))]
    heard = []
    for word in said:
        kind = chance.random()
        heard += [] if kind < 0.15 else [chance.choice(words)] if kind < 0.3 else [word, word] if kind < 0.4 else [word]
    return " ".join(join.join(heard).split()), " ".join(join.join(said).split())


def _distance(first: Any, second: Any) -> int:
    """Edits from one sequence to another, by the recurrence of Levenshtein."""
    row = list(range(len(second) + 1))
    for place, one in enumerate(first, 1):
        before, row[0] = row[0], place
        for across, other in enumerate(second, 1):
            before, row[across] = row[across], min(row[across] + 1, row[across - 1] + 1, before + (one != other))
    return row[-1]


def _score(name: str, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    accumulator = catalog.load("metric", name)().open(())
    for heard, said in pairs:
        accumulator.update(heard, said)
    scores: dict[str, Any] = accumulator.compute()
    sums = [accumulator.counts(heard, said) for heard, said in pairs]
    errors, wanted = (sum(column) for column in zip(*sums, strict=True))
    assert scores[name] == pytest.approx(errors / wanted, abs=1e-15), "the counts of single sounds sum to the score"
    return scores


@pytest.mark.parametrize(("words", "join"), [(ENGLISH, " "), (CHINESE, "")], ids=["english", "chinese"])
def test_rates_are_jiwers_and_the_formulas(words: list[str], join: str) -> None:
    chance = random.Random(7)
    pairs = [_case(chance, words, join) for _ in range(CASES)]
    said = [spaced(text) for _, text in pairs]
    heard = [spaced(text) for text, _ in pairs]
    found = _score("wer", pairs)
    assert found["wer"] == pytest.approx(jiwer.wer(said, heard), abs=1e-12)
    edits = sum(_distance(one.split(), other.split()) for one, other in zip(said, heard, strict=True))
    assert found["wer"] == pytest.approx(edits / sum(len(one.split()) for one in said), abs=1e-12)
    wrong = sum(one != other for one, other in zip(said, heard, strict=True))
    assert found["sentence_error_rate"] == pytest.approx(wrong / CASES)
    found = _score("cer", pairs)
    assert found["cer"] == pytest.approx(jiwer.cer([text for _, text in pairs], [text for text, _ in pairs]), abs=1e-12)
    edits = sum(_distance(text, other) for other, text in pairs)
    assert found["cer"] == pytest.approx(edits / sum(len(text) for _, text in pairs), abs=1e-12)


def test_a_chinese_character_is_a_word_and_nothing_heard_is_all_wrong() -> None:
    assert spaced("我用iphone听音乐") == "我 用 iphone 听 音 乐"
    assert _score("wer", [("今天天器", "今天天气")])["wer"] == 0.25
    assert _score("wer", [("", "two words")])["words_edits"] == {
        "substitutions": 0,
        "deletions": 2,
        "insertions": 0,
        "words": 2,
    }
    assert _score("cer", [("a", "a"), ("abc", "b")])["cer"] == 1.0
