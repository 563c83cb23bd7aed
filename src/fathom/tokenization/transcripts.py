"""Transcripts as a speech model writes them, and the characters it writes them with."""

from __future__ import annotations

import json
import re
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Letters = Literal["keep", "lower", "upper"]

BLANK, UNKNOWN, SPACE = "<pad>", "<unk>", "|"
"""The blank of CTC, which transformers calls padding; what no character stands for; the space between words."""
UNHEARD = ',.!?;:"“”„«»…()[]{}<>*_/\\|~—–、。，！？；：（）《》〈〉「」『』【】·'
"""Characters nobody hears. The apostrophe and the hyphen are parts of words."""

_WIDE = "\u3040-\u30ff\u3400-\u9fff"
_AT_START, _AT_END = re.compile(f"[{_WIDE}]"), re.compile(f"[{_WIDE}]$")
_SPACE_BESIDE_WIDE = re.compile(rf"(?<=[{_WIDE}]) | (?=[{_WIDE}])")


def normalize_transcript(text: str, letters: Letters, left_out: str = UNHEARD) -> str:
    """Return a transcript as a model learns it and is scored on it.

    NFKC (full-width digits and letters become plain ones), plain apostrophes, spaces in the place of what is left out,
    single spaces between words and none beside Chinese or Japanese characters, letters of one case.

    Args:
        text: As the data has it.
        letters: Their case.
        left_out: Characters that are no part of it.
    """
    text = unicodedata.normalize("NFKC", text).replace("’", "'")
    text = text.translate({ord(character): " " for character in left_out})
    text = text.lower() if letters == "lower" else text.upper() if letters == "upper" else text
    return _SPACE_BESIDE_WIDE.sub("", " ".join(text.split()))


def joined(parts: Iterable[str]) -> str:
    """Return the transcripts of windows as one, with no space beside Chinese or Japanese characters."""
    found = ""
    for part in (text.strip() for text in parts):
        space = " " if found and part and not (_AT_END.search(found) or _AT_START.match(part)) else ""
        found += space + part
    return found


def character_tokenizer(transcripts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Return a CTC tokenizer of the characters of transcripts, in the order of their code points.

    Args:
        transcripts: Normalised; see `normalize_transcript`.
    """
    from transformers import Wav2Vec2CTCTokenizer

    characters = sorted({character for text in transcripts for character in text} - {" ", SPACE})
    vocabulary = {token: number for number, token in enumerate([BLANK, UNKNOWN, SPACE, *characters])}
    with tempfile.TemporaryDirectory(prefix="fathom-characters-") as folder:
        path = Path(folder) / "vocab.json"  # transformers reads a vocabulary from a file only
        path.write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
        return Wav2Vec2CTCTokenizer(
            str(path), bos_token=None, eos_token=None, pad_token=BLANK, unk_token=UNKNOWN, word_delimiter_token=SPACE
        )


def letters_of(tokenizer: Any) -> Letters:
    """Return the case of a CTC tokenizer's letters: `keep` where it has both."""
    if tokenizer.do_lower_case:  # it makes them upper itself, and what it writes lower
        return "lower"
    letters = [token for token in tokenizer.get_vocab() if len(token) == 1 and token.lower() != token.upper()]
    if any(token.islower() for token in letters):
        return "keep" if any(token.isupper() for token in letters) else "lower"
    return "upper" if letters else "lower"


def unknown_characters(text: str, tokenizer: Any) -> set[str]:
    """Return the characters of a normalised transcript that a CTC tokenizer has no token for."""
    known = tokenizer.get_vocab()
    shown = text.upper() if tokenizer.do_lower_case else text
    return {character for character in shown if character != " " and character not in known}
