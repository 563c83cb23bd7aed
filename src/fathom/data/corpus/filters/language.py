"""A filter by the language of a text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fathom.config import suggest
from fathom.data.corpus.filters.base import CorpusFilter, Verdict
from fathom.data.corpus.pieces import Document
from fathom.errors import ConfigError, MissingExtraError

SAMPLE_CHARACTERS = 2000
"""A language shows in so many characters."""


class Language(CorpusFilter):
    """Leaves out documents in other languages than those named (py3langid, which knows 140).

    Needs the extra `corpus`.
    """

    kind: Literal["language"] = "language"
    languages: tuple[str, ...] = Field(min_length=1)
    """Codes of ISO 639: `en`, `zh`, `de` ..."""
    min_probability: float = Field(0.5, ge=0, le=1)
    """Probability that a document is in one of them, below which it is left out."""

    def open(self) -> Verdict:
        """Return the function that tells languages.

        Raises:
            ConfigError: A language is not known.
            MissingExtraError: The extra `corpus` is not installed.
        """
        try:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier
        except ImportError:
            raise MissingExtraError("py3langid", "corpus") from None
        identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
        known = tuple(str(label) for label in identifier.labels)
        for language in self.languages:
            if language not in known:
                raise ConfigError(
                    f"no language has the code '{language}'{suggest(language, known)}",
                    where="languages",
                    mend=f"known: {', '.join(sorted(known))}",
                )

        def stays(document: Document) -> bool:
            ranks = dict(identifier.rank(document.text[:SAMPLE_CHARACTERS]))
            return bool(sum(ranks[language] for language in self.languages) >= self.min_probability)

        return stays
