"""What texts are made of, told from themselves: English words, other words, Chinese, or characters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Literal

Units = Literal["english", "words", "chinese", "characters"]
"""Kinds of text as metrics cut it; see `evaluation.units`."""

SAMPLE = 1000
"""Texts looked at."""
PLAIN = 0.99
"""Share of letters without accents above which words are taken for English, whose stemmer then applies."""
SOME = 0.2
"""Share of letters of a script without spaces above which a text is cut by its characters."""

_HAN = re.compile(r"[\u3400-\u9fff]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")
_ASCII = re.compile(r"[A-Za-z]")


def guess_units(texts: Iterable[str]) -> Units:
    """Return what a sample of texts is made of."""
    text = "".join(islice(texts, SAMPLE))
    letters = max(len(_LETTER.findall(text)), 1)
    if len(_KANA_OR_HANGUL.findall(text)) > SOME * letters:
        return "characters"
    if len(_HAN.findall(text)) > SOME * letters:
        return "chinese"
    return "english" if len(_ASCII.findall(text)) >= PLAIN * letters else "words"
