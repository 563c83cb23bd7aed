"""The pages of the documentation, and what to look at in them."""

from __future__ import annotations

import re
from pathlib import Path

from architecture import source

DOCS = source.ROOT / "docs"
FENCE = re.compile(r"^ *```[^\n]*\n.*?^ *```[^\n]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def named(page: Path) -> str:
    """The path of a page in the project."""
    return page.relative_to(source.ROOT).as_posix()


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[str]:
    """The fenced blocks of a page."""
    return FENCE.findall(read(page))


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", read(page))


def links(page: Path) -> list[str]:
    """Where the links of a page lead, in this project."""
    return [target for target in LINK.findall(prose(page)) if "://" not in target]
