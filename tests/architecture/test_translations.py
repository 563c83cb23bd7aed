"""Every guide, concept and worked example has a Chinese page, `zh-NAME.md` beside `NAME.md`, that says the same.

The same code, headings, links and numbers. Pages that a script writes are in English alone.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from architecture.pages import DOCS, blocks, links, prose, read

FOLDERS = ("guides", "concepts", "recipes")
WRITTEN = "Written by `python -m"
"""How a page begins that a script writes."""
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def english_of(page: Path) -> Path:
    return page.with_name(page.name.removeprefix("zh-"))


PAGES = [
    page.with_name(f"zh-{page.name}")
    for folder in FOLDERS
    for page in sorted((DOCS / folder).glob("*.md"))
    if not page.name.startswith("zh-") and WRITTEN not in read(page)
]

pytestmark = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


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
    assert blocks(page) == blocks(english_of(page))


def test_the_headings_are_as_many(page: Path) -> None:
    assert Counter(HEADING.findall(prose(page))) == Counter(HEADING.findall(prose(english_of(page))))


def test_the_tables_have_the_same_rows_and_numbers(page: Path) -> None:
    """Row by row; the order of the numbers within a row is the language's own."""
    numbers, expected = (
        [[sorted(NUMBER.findall(row)) for row in table] for table in tables(one)] for one in (page, english_of(page))
    )
    assert numbers == expected


def test_links_lead_to_the_same_pages_in_chinese(page: Path) -> None:
    """`NAME.md` in the English page is `zh-NAME.md` in the Chinese one, where there is one."""

    def in_chinese(target: str) -> str:
        path = page.parent / target
        chinese = path.with_name(f"zh-{path.name}")
        return target.replace(path.name, chinese.name) if chinese.is_file() else target

    found, expected = ({target.partition("#")[0] for target in links(one)} for one in (page, english_of(page)))
    assert found - {english_of(page).name, ""} == {in_chinese(target) for target in expected - {page.name, ""}}


def test_each_page_names_the_other_under_its_title(page: Path) -> None:
    english = english_of(page)
    for one, line in ((page, f"[English]({english.name})"), (english, f"[中文]({page.name})")):
        title, empty, link, *_ = read(one).splitlines()
        assert title.startswith("# ") and not empty and link == line, f"{one.name}: the line {line} under the title"
