"""What becomes of a text before it is cut: the presets by name.

NFKC is a decision, not a default. It folds what a reader of Chinese keeps apart: the full-width comma, colon, question
mark and brackets become ASCII ones, `①` becomes `1`, `½` becomes `1⁄2`, `㎡` becomes `m2`. That helps a classifier and
harms whatever must write Chinese again, so `chinese` composes characters (NFC, which also unifies compatibility
ideographs) and leaves punctuation as it was written; `chinese-nfkc` folds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from fathom.tokenization.words import HAN

if TYPE_CHECKING:
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer

Normalization = Literal["bert-cased", "bert-uncased", "chinese", "chinese-nfkc", "byte-level", "none"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)


def normalizer_of(preset: Normalization, *, spaced: bool) -> Normalizer | None:
    """Return the normaliser of a preset, or None where the text stays as it is.

    Args:
        preset: `bert-cased` drops control characters and makes every white space a space; `bert-uncased` also lowers
            case and takes accents off; `chinese` composes characters (NFC); `chinese-nfkc` folds compatibility forms.
            `byte-level` and `none` change nothing.
        spaced: Whether Chinese characters get spaces round them, as WordPiece needs; else they are only cut apart.
    """
    from tokenizers import normalizers

    if preset in ("byte-level", "none"):
        return None
    if preset in ("bert-cased", "bert-uncased"):
        return _bert(spaced, uncased=preset == "bert-uncased")
    form = normalizers.NFC() if preset == "chinese" else normalizers.NFKC()
    return normalizers.Sequence([form, _bert(spaced, uncased=False)]) if spaced else form


def splitter_of(preset: Normalization) -> list[PreTokenizer]:
    """Return the cut at every Chinese character, for presets that make each a word; empty for the others."""
    from tokenizers import Regex, pre_tokenizers

    if preset in ("byte-level", "none"):
        return []
    return [pre_tokenizers.Split(Regex(f"[{HAN}]"), "isolated")]


def _bert(spaced: bool, *, uncased: bool) -> Normalizer:
    from tokenizers import normalizers

    return normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=spaced, strip_accents=uncased, lowercase=uncased
    )
