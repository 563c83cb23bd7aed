"""Answers are judged as the official scripts of SQuAD v1.1, SQuAD v2.0 and CMRC 2018 judge them, on random cases."""

from __future__ import annotations

import random
import re
import string
from collections import Counter

import pytest

from fathom.evaluation.answers import Answered, Cmrc, Squad, SquadV2
from fathom.evaluation.treebank import split_words

CASES = 200
WORDS = [
    *["the", "a", "an", "The", "cat", "cat's", "U.S.", "$3.50", "25%", "1,000", "Mr.", "don't", "'tis", "cannot"],
    *["--", "(sic)", "[1]", "end.", "“q”", "x-ray?", "gonna;", ","],
]
HAN = [
    "NBA ",
    " 2013",
    "ω-force",
    " it's ",
    "50%",
    "e.g.",
    " ",
    "3.5",
    *"战国无双光荣公司，。《》·“”…—、（）年月日一二三",
]


def normalize(text):
    """The official `normalize_answer` of both versions."""
    text = "".join(character for character in text.lower() if character not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def official_f1(found, wanted, version):
    found, wanted = normalize(found).split(), normalize(wanted).split()
    if version == 2 and (len(found) == 0 or len(wanted) == 0):
        return int(found == wanted)
    same = sum((Counter(found) & Counter(wanted)).values())
    if same == 0:
        return 0
    precision, recall = same / len(found), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


def official_v2(rows):
    """evaluate-v2.0.py: raw scores of the spans, then `find_best_thresh`."""
    best = {}
    judges = {
        "exact_match": lambda found, wanted: int(normalize(found) == normalize(wanted)),
        "f1": lambda found, wanted: official_f1(found, wanted, 2),
    }
    for name, judge in judges.items():
        raw = []
        for answered, references in rows:
            golds = [reference for reference in references if normalize(reference)] or [""]
            raw.append(max(judge(answered.span, gold) for gold in golds))
        current = best_score = sum(not references for _, references in rows)
        threshold = 0.0
        for place in sorted(range(len(rows)), key=lambda place: rows[place][0].margin):
            answered, references = rows[place]
            current += raw[place] if references else (-1 if answered.span else 0)
            if current > best_score:
                best_score, threshold = current, answered.margin
        best |= {f"best_{name}": best_score / len(rows), f"best_{name}_threshold": threshold}
    return best


def english(generator, longest=7):
    return " ".join(generator.choices(WORDS, k=generator.randint(0, longest)))


def near(generator, text):
    """A text like another: some words taken away, some put in."""
    words = [word for word in text.split() if generator.random() < 0.8]
    return " ".join([*words, *generator.choices(WORDS, k=generator.randint(0, 2))])


def scores_of(metric, rows):
    accumulator = metric().open(())
    for answered, references in rows:
        accumulator.update(answered, references)
    return accumulator.compute()


def test_squad_v1():
    generator = random.Random(0)
    for _ in range(CASES):
        text = english(generator)
        references = [near(generator, text) for _ in range(generator.randint(1, 3))]
        found = scores_of(Squad, [(Answered(text, text, 0.0), references)])
        exact = max(normalize(text) == normalize(reference) for reference in references)
        assert found["exact_match"] == exact
        assert found["f1"] == pytest.approx(max(official_f1(text, reference, 1) for reference in references))


def test_squad_v2_and_its_best_threshold():
    generator = random.Random(1)
    for _ in range(CASES):
        rows = []
        for _ in range(generator.randint(1, 12)):
            text = english(generator)
            references = [] if generator.random() < 0.4 else [near(generator, text) for _ in range(2)]
            margin = round(generator.gauss(0, 3), 6)
            rows.append((Answered(text if margin <= 0 else "", text, margin), references))
        found = scores_of(SquadV2, rows)
        official = official_v2(rows)
        for name in ("exact_match", "f1"):
            assert found[f"best_{name}"] == pytest.approx(official[f"best_{name}"]), name
            threshold = found[f"best_{name}_threshold"]
            if official[f"best_{name}_threshold"] != 0.0:  # there it means that no span is given
                assert threshold == pytest.approx(official[f"best_{name}_threshold"]), name
            given = [(Answered(a.span if a.margin <= threshold else "", a.span, a.margin), r) for a, r in rows]
            # the official sum takes 1 from a question without an answer for any span, the official score 1 or 0
            assert scores_of(SquadV2, given)[name] >= official[f"best_{name}"] - 1e-9, name
        at_zero = [
            max(official_f1(answered.text, gold, 2) for gold in [g for g in golds if normalize(g)] or [""])
            for answered, golds in rows
        ]
        assert found["f1"] == pytest.approx(sum(at_zero) / len(rows))


def official_units(text, nltk_words):
    punctuation = [*"-:_*^/\\~`+=，。：？！“”；’《》", "……", *"·、「」（）－～『』"]
    units, rest = [], ""
    for character in text.lower().strip():
        if character in punctuation:
            continue
        if re.search("[\u4e00-\u9fa5]", character):
            if rest != "":
                units.extend(nltk_words(rest))
                rest = ""
            units.append(character)
        else:
            rest += character
    if rest != "":
        units.extend(nltk_words(rest))
    bare = "".join(character for character in text.lower().strip() if character not in punctuation)
    return units, bare


def longest_run(first, second):
    """The official `find_lcs`."""
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    longest = 0
    for i in range(len(first)):
        for j in range(len(second)):
            if first[i] == second[j]:
                table[i + 1][j + 1] = table[i][j] + 1
                longest = max(longest, table[i + 1][j + 1])
    return longest


def test_cmrc():
    """The official script cuts English into sentences first, which needs a model file; a run of it is one here."""
    nltk = pytest.importorskip("nltk.tokenize", reason="nltk is not installed")
    nltk_words = nltk.NLTKWordTokenizer().tokenize
    generator = random.Random(2)
    seen = Counter()
    for _ in range(CASES):
        text = "".join(generator.choices(HAN, k=generator.randint(0, 12)))
        place = generator.randint(0, len(text))
        references = [text[place:] + "年", text[:place], "".join(generator.choices(HAN, k=4))]
        found = scores_of(Cmrc, [(Answered(text, text, 0.0), references)])
        units, bare = official_units(text, nltk_words)
        exact, best = 0, 0.0
        for reference in references:
            other, other_bare = official_units(reference, nltk_words)
            exact = max(exact, int(other_bare == bare))
            common = longest_run(other, units)
            if common:
                precision, recall = common / len(units), common / len(other)
                best = max(best, 2 * precision * recall / (precision + recall))
        assert found == {"exact_match": exact, "f1": pytest.approx(best)}
        seen[exact, 0 < best < 1] += 1
    assert len(seen) > 2


def test_treebank_words():
    nltk = pytest.importorskip("nltk.tokenize", reason="nltk is not installed")
    tokenizer = nltk.NLTKWordTokenizer()
    generator = random.Random(3)
    pieces = [
        *WORDS,
        '"',
        "''",
        "``",
        "wanna",
        "'s",
        "we'll",
        "more'n",
        "a.",
        "...",
        "“",
        "”",
        "<b>",
        "*",
        "…",
        "–",
        ":",
    ]
    for _ in range(2000):
        text = "".join(
            generator.choice(pieces) + generator.choice(["", " ", " "]) for _ in range(generator.randint(0, 9))
        )
        assert split_words(text) == tokenizer.tokenize(text), text
