"""A Chinese guide or concept says what its English page says: the same code, headings and numbers.

A page `zh-NAME.md` is compared with the `NAME.md` beside it as soon as both are there.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from architecture import source

FENCE = re.compile(r"^ *```[^\n]*\n.*?^ *```[^\n]*$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def english_of(page: Path) -> Path:
    return page.with_name(page.name.removeprefix("zh-"))


PAGES = [
    page
    for folder in ("guides", "concepts")
    for page in sorted((source.ROOT / "docs" / folder).glob("zh-*.md"))
    if english_of(page).is_file()
]

pytestmark = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", read(page))


def tables(page: Path) -> list[list[str]]:
    """The rows of each table of a page."""
    found: list[list[str]] = []
    inside = False
    for line in prose(page).splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            found[-1].append(line)
        inside = line.startswith("|")
    return found


def test_the_code_is_the_same(page: Path) -> None:
    assert FENCE.findall(read(page)) == FENCE.findall(read(english_of(page)))


def test_the_headings_are_as_many(page: Path) -> None:
    assert Counter(HEADING.findall(prose(page))) == Counter(HEADING.findall(prose(english_of(page))))


def test_the_tables_have_the_same_rows_and_numbers(page: Path) -> None:
    """Row by row; the order of the numbers within a row is the language's own."""
    numbers, expected = (
        [[sorted(NUMBER.findall(row)) for row in table] for table in tables(one)] for one in (page, english_of(page))
    )
    assert numbers == expected


def test_links_lead_to_files(page: Path) -> None:
    targets = [target.partition("#")[0] for target in LINK.findall(prose(page)) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).is_file()] == []


def test_each_page_names_the_other_under_its_title(page: Path) -> None:
    english = english_of(page)
    for one, line in ((page, f"[English]({english.name})"), (english, f"[中文]({page.name})")):
        title, empty, link, *_ = read(one).splitlines()
        assert title.startswith("# ") and not empty and link == line, f"{one.name}: the line {line} under the title"
