"""A bilingual customer-service corpus written for this project: a seeded grammar, no downloads."""

from __future__ import annotations

from fathom.data.helpdesk.corpus import DEFAULT_SIZES, KINDS, LANGUAGES, SPLITS, generate

__all__ = ["DEFAULT_SIZES", "KINDS", "LANGUAGES", "SPLITS", "generate"]
