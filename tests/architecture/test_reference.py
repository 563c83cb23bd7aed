"""The reference pages say what the classes say."""

from __future__ import annotations

import importlib.util

import pytest

from architecture import source
from fathom import catalog


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", source.ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(generate):
    for name, text in generate.pages().items():
        path = generate.FOLDER / name
        assert path.is_file() and path.read_text(encoding="utf-8") == text, f"{name} is old: python docs/generate.py"


def test_every_part_has_a_section(generate):
    text = (generate.FOLDER / "parts.md").read_text(encoding="utf-8")
    missing = [name for parts in catalog.CATALOG.values() for name in parts if f"### {name}\n" not in text]
    assert not missing


def test_links_of_the_documentation_lead_somewhere():
    import re

    broken = []
    for page in [*source.ROOT.glob("*.md"), *(source.ROOT / "docs").rglob("*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(source.ROOT)}: {target}")
    assert not broken
