"""Words of English text as the Penn Treebank counts them: `can't` is two, a final period is one.

The rules are those of NLTK's word tokenizer (after Robert MacIntyre's script), whose import alone takes a second and
which the metric of one language needs. A text counts as one sentence.
"""

from __future__ import annotations

import re
from functools import cache

_BEFORE: tuple[tuple[str, str], ...] = (
    # opening quotes
    ("([«“‘„]|[`]+)", r" \1 "),
    (r"^\"", r"``"),
    (r"(``)", r" \1 "),
    (r"([ \(\[{<])(\"|\'{2})", r"\1 `` "),
    (r"(?i)(?<!\w)(\')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", r"\1 "),
    # punctuation
    (r"([^\.])(\.)([\]\)}>\"\'»”’ ]*+)\s*$", r"\1 \2 \3 "),
    (r"([:,])([^\d])", r" \1 \2"),
    (r"([:,])$", r" \1 "),
    (r"\.{2,}", r" \g<0> "),
    (r"[;@#$%&]", r" \g<0> "),
    (r"[\u2012-\u2015]", r" \g<0> "),
    (r"([^\.])(\.)([\]\)}>\"\']*)\s*$", r"\1 \2\3 "),
    (r"[?!]", r" \g<0> "),
    (r"([^'])' ", r"\1 ' "),
    (r"[*]", r" \g<0> "),
    # brackets and dashes
    (r"[\]\[\(\)\{\}\<\>]", r" \g<0> "),
    (r"--", r" -- "),
)
_AFTER: tuple[tuple[str, str], ...] = (
    # closing quotes, on the text with a space at both ends
    ("([»”’])", r" \1 "),
    (r"''", " '' "),
    (r'"', " '' "),
    (r"\s+", " "),
    (r"([^' ])('[sS]|'[mM]|'[dD]|') ", r"\1 \2 "),
    (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
    # words grown together
    *(
        (rf"(?i)\b({first})(?#X)({second})\b", r" \1 \2 ")
        for first, second in (("can", "not"), ("d", "'ye"), ("gim", "me"), ("gon", "na"), ("got", "ta"), ("lem", "me"))
    ),
    (r"(?i)\b(more)(?#X)('n)\b", r" \1 \2 "),
    (r"(?i)\b(wan)(?#X)(na)(?=\s)", r" \1 \2 "),
    (r"(?i) ('t)(?#X)(is)\b", r" \1 \2 "),
    (r"(?i) ('t)(?#X)(was)\b", r" \1 \2 "),
)


def split_words(text: str) -> list[str]:
    """Return the words of a text."""
    for pattern, replacement in _rules(_BEFORE):
        text = pattern.sub(replacement, text)
    text = f" {text} "
    for pattern, replacement in _rules(_AFTER):
        text = pattern.sub(replacement, text)
    return text.split()


@cache
def _rules(written: tuple[tuple[str, str], ...]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(pattern), replacement) for pattern, replacement in written]
