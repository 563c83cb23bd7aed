"""Scores of written texts equal those of sacrebleu and rouge-score on random cases, taken one by one or at once."""

from __future__ import annotations

import random
import re

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from fathom.evaluation.copying import CopyRate, LengthRatio
from fathom.evaluation.rouge import Rouge
from fathom.evaluation.translation import Bleu, ChrF, Ter

TEXT = "the cat sat on a mat , it was running runs ran fast ! 3.5 km U.S. don't (yes) well-known Houses"
ENGLISH = TEXT.split()
CHINESE = ["我", "们", "今天", "去", "北京", "，", "看", "天气", "很", "好", "。", "iPhone", "15", "元"]
ACCENTS = ["été", "naïve", "Привет", "мир", "straße", "über", "niño", "l'homme", "déjà"]
CASES = 200


def texts(words, seed, references):
    chance = random.Random(seed)

    def text():
        return (" " if words is not CHINESE else "").join(chance.choices(words, k=chance.randint(1, 14)))

    found = []
    for _ in range(CASES):
        reference = text()
        split = reference.split() if words is not CHINESE else list(reference)
        for _ in range(chance.randint(0, 3)):
            split[chance.randrange(len(split))] = chance.choice(words)
        said = (" " if words is not CHINESE else "").join(split) if chance.random() < 0.9 else text()
        more = chance.randint(0, references - 1) if references > 1 else 0
        found.append((said, [reference, *(text() for _ in range(more))]))
    return found


def scored(part, cases):
    accumulator = part.open(())
    for said, references in cases:
        accumulator.update(said, {"source": "x", "references": references})
    return accumulator.compute()


def streams(cases):
    most = max(len(references) for _, references in cases)
    padded = [references + [None] * (most - len(references)) for _, references in cases]
    return [said for said, _ in cases], [list(stream) for stream in zip(*padded, strict=True)]


@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize(("units", "words"), [("english", ENGLISH), ("chinese", CHINESE), ("words", ACCENTS)])
def test_sacrebleu(units, words, references):
    cases = texts(words, 11, references)
    said, wanted = streams(cases)
    apart = units == "chinese"
    for part, reference in (
        (Bleu(units=units), sacrebleu.BLEU(tokenize="zh" if apart else "13a")),
        (ChrF(units=units), sacrebleu.CHRF()),
        (Ter(units=units), sacrebleu.TER(normalized=apart, asian_support=apart)),
    ):
        found = scored(part, cases)
        name = part.score_name
        assert found[name] == pytest.approx(reference.corpus_score(said, wanted).score, abs=1e-9), name
        assert found[f"{name}_signature"] == str(reference.get_signature())
        one = scored(part, cases[:1])
        again = reference.corpus_score(said[:1], [[text] for text in cases[0][1]]).score
        assert one[name] == pytest.approx(again, abs=1e-9)


@pytest.mark.parametrize("references", [1, 3])
def test_rouge_of_english_is_the_packages(references):
    cases = texts(ENGLISH, 5, references)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    found = scored(Rouge(), cases)
    for name, own in (("rouge1", "rouge1"), ("rouge2", "rouge2"), ("rougeL", "rouge_l")):
        best = [max(scorer.score(text, said)[name].fmeasure for text in wanted) for said, wanted in cases]
        assert found[own] == pytest.approx(sum(best) / CASES, abs=1e-12)


def test_rouge_of_chinese_is_that_of_its_characters():
    """The package on the same texts, every character written as a word it knows."""
    cases = texts(CHINESE, 5, 2)
    latin = re.compile("[A-Za-z0-9]+")
    cases = [(latin.sub("", said) or "我", [latin.sub("", text) or "我" for text in wanted]) for said, wanted in cases]

    def spell(text):
        return " ".join(f"w{ord(character)}" for character in text if character not in "，。")

    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    found = scored(Rouge(units="chinese"), cases)
    for name, own in (("rouge1", "rouge1"), ("rouge2", "rouge2"), ("rougeL", "rouge_l")):
        best = [max(scorer.score(spell(t), spell(said))[name].fmeasure for t in wanted) for said, wanted in cases]
        assert found[own] == pytest.approx(sum(best) / CASES, abs=1e-12)


def test_words_of_other_alphabets_count():
    assert scored(Rouge(units="words"), [("Привет мир", ["привет мир"])])["rouge2"] == 1.0
    assert scored(Rouge(), [("Привет мир", ["Привет мир"])])["rouge1"] == 0.0  # why `words` exists


def test_length_and_copy():
    cases = [
        ("a b c", {"source": "a x c", "references": ["a b", "a b c d"]}),
        ("", {"source": "q", "references": ["z"]}),
    ]
    ratio, copied = LengthRatio().open(()), CopyRate().open(())
    for said, reference in cases:
        ratio.update(said, reference)
        copied.update(said, reference)
    assert ratio.compute() == {"length_ratio": 3 / 4, "num_empty": 1}
    assert copied.compute() == {"copy_rate": 2 / 3, "identical_to_source": 0.0}
    same = CopyRate(units="chinese").open(())
    same.update("今天好", {"source": "今天好。", "references": ["明天"]})
    assert same.compute() == {"copy_rate": 1.0, "identical_to_source": 1.0}
