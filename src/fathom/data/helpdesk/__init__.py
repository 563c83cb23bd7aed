"""A bilingual customer-service corpus written for this project: a seeded grammar, no downloads."""

from __future__ import annotations

from fathom.data.helpdesk.corpus import DEFAULT_SIZES, KINDS, LANGUAGES, Kind, generate
from fathom.data.helpdesk.grammar import SPLITS, Language, Split

__all__ = ["DEFAULT_SIZES", "KINDS", "LANGUAGES", "SPLITS", "Kind", "Language", "Split", "generate"]
