"""How written text is cut into the units that are compared: words, or characters where words have no spaces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

TextUnits = Literal["english", "words", "chinese", "characters"]
"""`english`: words of Latin letters, stemmed where a metric stems; `words`: words of any letters, not stemmed;
`chinese`: every Chinese character by itself, other words whole; `characters`: every character by itself."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")


def cut(text: str, units: TextUnits) -> list[str]:
    """Return the units of a text in lower case, punctuation left out."""
    if units == "characters":
        return [character for character in text.lower() if character.isalnum()]
    return _WORD.findall(text.lower())


class UnitTokenizer:
    """`cut` in the form that the package rouge-score takes."""

    def __init__(self, units: TextUnits) -> None:
        self.units = units

    def tokenize(self, text: str) -> Sequence[str]:
        """Return the units of a text."""
        return cut(text, self.units)
