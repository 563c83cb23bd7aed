"""Pages can be found and followed: indexes that list them all, anchors that exist, one Chinese word for one idea."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from architecture import source
from architecture.pages import DOCS, LINK, links, named, prose

CHINESE = [source.ROOT / "README.zh-CN.md", *sorted(DOCS.rglob("zh-*.md"))]
PAGES = [*sorted(source.ROOT.glob("*.md")), source.ROOT / "benchmarks" / "README.md", *sorted(DOCS.rglob("*.md"))]
CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
TOKEN = re.compile(r"(?<!词元（)\btokens?\b", re.ASCII | re.IGNORECASE)
BROKEN_SENTENCE = re.compile(r"^.*[\u4e00-\u9fff]\n *[\u4e00-\u9fff]", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The places of a page that a link may name: GitHub's slugs of its headings, which are not repeated."""
    headings = [re.sub(r"[^\w\- ]", "", LINK.sub("", heading)) for heading in HEADING.findall(prose(page))]
    return {heading.lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_anchor_is_a_heading(page: Path) -> None:
    parts = [target.partition("#") for target in links(page)]
    pages = [(page.parent / path if path else page, anchor) for path, _, anchor in parts if anchor]
    assert [f"{named(path)}#{anchor}" for path, anchor in pages if anchor not in anchors(path.resolve())] == []


@pytest.mark.parametrize("index", ["index.md", "zh-index.md"])
def test_an_index_lists_every_page_of_its_language(index: str) -> None:
    """Pages of the other language stand there only where there is none of its own."""
    listed = {(DOCS / target.partition("#")[0]).resolve() for target in links(DOCS / index)}
    chinese = set(DOCS.rglob("zh-*.md"))
    english = set(DOCS.rglob("*.md")) - chinese
    twins = {page.with_name(page.name.removeprefix("zh-")) for page in chinese}
    own = english if index == "index.md" else (english - twins) | chinese
    other = {DOCS / "index.md", DOCS / "zh-index.md"}
    assert listed & (english | chinese) - other == own - other


@pytest.mark.parametrize("page", CHINESE, ids=named)
def test_a_token_has_one_name_in_chinese(page: Path) -> None:
    """词元; the English word stands in code, or in brackets behind it."""
    text = LINK.sub("]", CODE.sub("", prose(page)))
    assert [line for line in text.splitlines() if TOKEN.search(line)] == []


@pytest.mark.parametrize("page", CHINESE, ids=named)
def test_a_chinese_line_breaks_where_a_space_may_stand(page: Path) -> None:
    assert BROKEN_SENTENCE.findall(prose(page)) == []
