"""How an answer is judged against its references: the rules of SQuAD v1.1 and v2.0, and of CMRC 2018 for Chinese.

They are those of the official scripts (Rajpurkar et al. 2016 and 2018; Cui et al. 2019); the tests compare them.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from fathom.evaluation.treebank import split_words

Rule = Callable[[str, Sequence[str]], tuple[float, float]]
"""Takes an answer and its references; returns exact match and F1, each against the reference it fits best."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CHINESE_PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""Characters that do not count in CMRC 2018. Its list holds the two-character ellipsis too, which no single character
equals, so that `…` counts."""
_CHINESE = re.compile("[\u4e00-\u9fa5]")


def normalize_answer(text: str) -> str:
    """Return an English answer as SQuAD compares it: lower case, no punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def squad(answer: str, references: Sequence[str], *, no_answer: bool = False) -> tuple[float, float]:
    """Judge an answer by SQuAD's rule.

    Args:
        answer: May be empty.
        references: Every accepted answer; none where the passage has no answer.
        no_answer: The rule of v2.0, by which an empty answer equals an empty reference.
    """
    if no_answer:
        references = [reference for reference in references if normalize_answer(reference)] or [""]
    found = normalize_answer(answer)
    wanted = [normalize_answer(reference) for reference in references]
    exact = max((float(found == reference) for reference in wanted), default=0.0)
    return exact, max((_overlap(found.split(), words.split(), no_answer) for words in wanted), default=0.0)


squad_v2: Rule = partial(squad, no_answer=True)


def cmrc(answer: str, references: Sequence[str]) -> tuple[float, float]:
    """Judge an answer by CMRC 2018's rule: Chinese characters and English words, F1 of the longest run in common."""
    if not references:
        return (float(not answer), float(not answer))
    exact, best = 0.0, 0.0
    found, units = _bare(answer), mixed_units(answer)
    for reference in references:
        exact = max(exact, float(found == _bare(reference)))
        best = max(best, _run_f1(units, mixed_units(reference)))
    return exact, best


def mixed_units(text: str) -> list[str]:
    """Split a text into single Chinese characters and English words, punctuation left out."""
    units: list[str] = []
    rest = ""
    for character in text.lower().strip():
        if character in _CHINESE_PUNCTUATION:
            continue
        if _CHINESE.match(character):
            units += split_words(rest) if rest else []
            units.append(character)
            rest = ""
        else:
            rest += character
    return units + split_words(rest) if rest else units


def _bare(text: str) -> str:
    return "".join(character for character in text.lower().strip() if character not in _CHINESE_PUNCTUATION)


def _overlap(found: list[str], wanted: list[str], no_answer: bool) -> float:
    if no_answer and not (found and wanted):
        return float(found == wanted)
    same = (Counter(found) & Counter(wanted)).total()
    return 2 * same / (len(found) + len(wanted)) if same else 0.0


def _run_f1(found: list[str], wanted: list[str]) -> float:
    """F1 of the longest contiguous run that two lists of units share."""
    longest = 0
    before = [0] * (len(wanted) + 1)
    for unit in found:
        row = [0] * (len(wanted) + 1)
        for place, other in enumerate(wanted, 1):
            if unit == other:
                row[place] = before[place - 1] + 1
                longest = max(longest, row[place])
        before = row
    return 2 * longest / (len(found) + len(wanted)) if longest else 0.0
